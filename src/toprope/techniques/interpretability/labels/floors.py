"""The labeller without a chat model, which an explainer has to be better than.

`TokenStatistics` names the tokens that are most over-represented among those that fire, by the
log-odds ratio with a Dirichlet prior (Monroe, Colaresi and Quinn 2008, Political Analysis 16:372,
section 3.5.1).
"""

from __future__ import annotations

from collections import Counter

import numpy as np

from toprope.techniques.interpretability.examples import Examples, LatentExamples
from toprope.techniques.interpretability.labels.labeller import Label
from toprope.techniques.interpretability.labels.prompting import plain
from toprope.techniques.interpretability.labels.scorers.asking import digest

PRIOR = 500.0
"""Tokens that the background is worth as a prior."""


class TokenStatistics:
    """`tokens: "the", "a"`.

    Args:
        examples: whose background is what tokens are compared with; its windows are read with their
            tokenizer.
        most: tokens named.
    """

    def __init__(self, examples: Examples, *, most: int = 5) -> None:
        self.most = most
        self._background: Counter[str] = Counter()
        for token in np.flatnonzero(examples.background_V).tolist():
            said = plain(examples.pieces.of([token])[0])
            self._background[said] += int(examples.background_V[token])
        self._compared_with = digest(sorted(self._background.items()))

    @property
    def name(self) -> str:
        return "token statistics"

    def fingerprint(self, examples: LatentExamples) -> str:
        return digest(self.name, self.most, PRIOR, self._compared_with, shown(examples))

    async def label(self, examples: LatentExamples) -> Label:
        fires: Counter[str] = Counter()
        for window in examples.explaining:
            for i in window.active:
                if said := plain(window.tokens[i]):
                    fires[said] += 1
        found = log_odds(fires, self._background)
        named = sorted(found, key=lambda said: (-found[said], said))[: self.most]
        named = [said for said in named if found[said] > 0]
        if not named:
            return Label("", "empty")
        return Label("tokens: " + ", ".join(f'"{said}"' for said in named))


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
    return [(window.text, window.active) for window in examples.explaining]
