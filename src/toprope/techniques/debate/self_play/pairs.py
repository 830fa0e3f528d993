"""Pairs to learn from: the best and the worst of what a debater might have said in a turn, where
the judge takes them differently enough."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from toprope.errors import UserError
from toprope.models.local import Message
from toprope.models.preferences import Preference


@dataclass(frozen=True)
class Drafts:
    """What might have been said in one turn.

    Attributes:
        question, unit: its id, and what it's resampled with.
        position: the option argued for.
        honest: whether it's the right one.
        prompt: what the debater was asked.
        texts: the drafts that say something, as they're learned.
        ratings: of each, the judge's probability of the position after it.
        quoted: the one of the sentences that most support the answer, where there is one.
        foils: those of other sentences.
        tokens, calls: of models, for the drafts and for their ratings.
    """

    question: str
    unit: str
    speaker: str
    position: int
    round: int
    honest: bool
    prompt: str
    texts: tuple[str, ...]
    ratings: tuple[float, ...]
    quoted: str | None = None
    foils: tuple[str, ...] = ()
    tokens: int = 0
    calls: int = 0

    @property
    def spread(self) -> float:
        """Between the best rating and the worst; 0 where there are none."""
        return max(self.ratings, default=0.0) - min(self.ratings, default=0.0)

    def pair(self, margin: float) -> Pair | None:
        """The best and the worst, the first of equals; None where they're rated alike, or nearer to
        each other than the margin.

        Where there are foils, the worst of those in the best one's form: rather a quote and a quote
        than a speech that is preferred to a foil, which would teach not to quote.
        """
        if not self.ratings:
            return None
        best = self.ratings.index(max(self.ratings))
        rivals = [
            i
            for i, text in enumerate(self.texts)
            if not self.foils or self._quotes(text) == self._quotes(self.texts[best])
        ]
        worst = min(rivals, key=lambda i: self.ratings[i])
        apart = self.ratings[best] - self.ratings[worst]
        if not apart or apart < margin:
            return None
        return Pair(self, self.texts[best], self.texts[worst])

    def _quotes(self, text: str) -> bool:
        """Whether it's sentences of the passage, and not written."""
        return text == self.quoted or text in self.foils


@dataclass(frozen=True)
class Pair:
    """The draft that a debater learns to prefer, and the one that it's preferred to."""

    drafts: Drafts
    chosen: str
    rejected: str

    @property
    def preference(self) -> Preference:
        return Preference(asked(self.drafts.prompt), self.chosen, self.rejected)

    @property
    def longer(self) -> int:
        """How many words more the chosen one has."""
        return len(self.chosen.split()) - len(self.rejected.split())

    def as_json(self) -> dict[str, Any]:
        """For readers and other tools."""
        of = self.drafts
        return {
            "question": of.question,
            "speaker": of.speaker,
            "position": of.position,
            "honest": of.honest,
            "round": of.round,
            "prompt": of.prompt,
            "chosen": self.chosen,
            "rejected": self.rejected,
            "ratings": [of.ratings[of.texts.index(one)] for one in (self.chosen, self.rejected)],
        }


def asked(prompt: str) -> tuple[Message, ...]:
    """The messages that a debater is given, at play and in training."""
    return ({"role": "user", "content": prompt},)


def as_many(
    some: Mapping[str, Sequence[Pair]],
    *,
    most: int | None,
    rng: Callable[[str], np.random.Generator],
) -> dict[str, list[Pair]]:
    """As many pairs of each protocol, drawn where it has more, in their order.

    Args:
        most: of each.

    Raises:
        UserError: one has none.
    """
    if none := [name for name, pairs in some.items() if not pairs]:
        raise UserError(
            f"no two drafts of a turn of {none[0]} are rated as far apart as `margin` asks for: "
            "give a smaller margin, more drafts or foils, or a higher temperature, or take another "
            "judge"
        )
    n = min(map(len, some.values()))
    n = n if most is None else min(n, most)
    return {
        name: [pairs[i] for i in sorted(rng(name).choice(len(pairs), n, replace=False))]
        for name, pairs in some.items()
    }
