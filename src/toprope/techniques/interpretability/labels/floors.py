"""The labeller without a chat model, which an explainer has to be better than.

`TokenStatistics` names tokens by which the windows where a latent fires can be told from those
where only its neighbours do. Candidates are those most over-represented around the firings, by the
log-odds ratio with a Dirichlet prior (Monroe, Colaresi and Quinn 2008, Political Analysis 16:372,
section 3.5.1). Of them it takes the one that is in the most windows that fire, and in the fewest
others, then the one that adds most to that, and so on: five tokens that come in the same windows
say no more than one.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import numpy as np

from toprope.techniques.interpretability.examples import Examples, LatentExamples
from toprope.techniques.interpretability.labels.labeller import Label
from toprope.techniques.interpretability.labels.prompting import plain
from toprope.techniques.interpretability.labels.scorers.asking import digest
from toprope.techniques.interpretability.windows import Window

PRIOR = 500.0
"""Tokens that the background is worth as a prior."""

CANDIDATES = 200
"""Tokens that are looked at, the most over-represented."""

WORTH = 10.0
"""Windows that the background is worth beside the negatives, where a token's frequency there says
how many windows would have it by chance."""

LEAST = 1.5
"""Windows that a further token has to gain."""


class TokenStatistics:
    """`tokens: "the", "a"`.

    Args:
        examples: whose background is what tokens are compared with; its windows are read with their
            tokenizer.
        most: tokens named.
    """

    def __init__(self, examples: Examples, *, most: int = 10) -> None:
        self.most = most
        self._background: Counter[str] = Counter()
        for token in np.flatnonzero(examples.background_V).tolist():
            said = plain(examples.pieces.of([token])[0])
            self._background[said] += int(examples.background_V[token])
        self._total = max(1, sum(self._background.values()))
        self._compared_with = digest(sorted(self._background.items()))

    @property
    def name(self) -> str:
        return "token statistics"

    def fingerprint(self, examples: LatentExamples) -> str:
        settings = (self.most, PRIOR, CANDIDATES, WORTH, LEAST)
        return digest(self.name, *settings, self._compared_with, shown(examples))

    async def label(self, examples: LatentExamples) -> Label:
        fires = [set(_said(window)) for window in examples.explaining]
        silent = [set(_said(window)) for window in examples.contrast]
        around = Counter(said for one in fires for said in one)
        at = Counter(
            said
            for window in examples.explaining
            for i in window.active
            if (said := plain(window.tokens[i]))
        )
        found = log_odds(at, self._background)
        near = log_odds(around, self._background)
        scores = {said: max(found.get(said, 0.0), near[said]) for said in around}
        by_score = sorted(scores, key=lambda said: (-scores[said], said))
        candidates = [said for said in by_score if scores[said] > 0]
        named = self._telling(candidates[:CANDIDATES], fires, silent)
        if not named:
            return Label("", "empty")
        return Label("tokens: " + ", ".join(f'"{said}"' for said in named))

    def _telling(
        self, candidates: Sequence[str], fires: Sequence[set[str]], silent: Sequence[set[str]]
    ) -> list[str]:
        """The tokens that together tell windows best, from the one that tells most."""
        if not candidates:
            return []
        fires_CN = np.array([[said in one for one in fires] for said in candidates], dtype=bool)
        silent_CM = np.array([[said in one for one in silent] for said in candidates], dtype=bool)
        silent_CM = silent_CM.reshape(len(candidates), len(silent))
        tokens = np.mean([len(one) for one in fires])
        frequency_C = np.array([self._background[said] / self._total for said in candidates])
        absent_C = (1 - frequency_C).clip(1e-6) ** tokens
        named: list[int] = []
        has_N, has_M, absent = np.zeros(len(fires), bool), np.zeros(len(silent), bool), 1.0
        best = 0.0
        while len(named) < self.most:
            hits_C = (fires_CN | has_N).mean(axis=1)
            false_C = (silent_CM | has_M).sum(axis=1) + WORTH * (1 - absent * absent_C)
            value_C = hits_C - false_C / (len(silent) + WORTH)
            value_C[named] = -np.inf
            chosen = int(value_C.argmax())
            if named and value_C[chosen] - best < LEAST / len(fires):
                break
            named.append(chosen)
            best = value_C[chosen]
            has_N |= fires_CN[chosen]
            has_M |= silent_CM[chosen]
            absent *= absent_C[chosen]
        return [candidates[i] for i in named]


def log_odds(fires: Counter[str], background: Counter[str]) -> dict[str, float]:
    """For each word that fires the z-score of its log-odds ratio against the background, with the
    background's frequencies, worth `PRIOR` words, as the prior of both."""
    total, n = sum(background.values()), sum(fires.values())
    found = {}
    for word, count in fires.items():
        # A word that only fires is as rare in the background as a word can be.
        prior = PRIOR * max(1, background[word]) / max(1, total)
        here = np.log((count + prior) / max(n + PRIOR - count - prior, prior))
        there_count = background[word] + prior
        there = np.log(there_count / max(total + PRIOR - there_count, prior))
        found[word] = float((here - there) / np.sqrt(1 / (count + prior) + 1 / there_count))
    return found


def shown(examples: LatentExamples) -> list[tuple[str, tuple[int, ...]]]:
    """What it reads of a latent."""
    windows = (*examples.explaining, *examples.contrast)
    return [(window.text, window.active) for window in windows]


def _said(window: Window) -> list[str]:
    return [said for token in window.tokens if (said := plain(token))]
