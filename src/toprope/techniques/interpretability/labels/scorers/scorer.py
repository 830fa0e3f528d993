"""What every scorer is: it takes a label and items, and gives a verdict for each.

An item is a window, or several, with what is true of it, which the scorer's judge doesn't see. A
scorer makes its own items of a latent's examples.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, Protocol, TypeVar

import numpy as np

from toprope.techniques.interpretability.examples import LatentExamples
from toprope.techniques.interpretability.windows import Window

Outcome = Literal["judged", "abstained", "refused", "unparsable", "lost"]
"""judged: there is a score or a decision; abstained: the judge says that it can't say; lost: no
answer came."""

Negatives = Literal["hard", "random"]


@dataclass(frozen=True)
class Item:
    """A window to be judged.

    Attributes:
        truth: whether the label, if it's right, fits.
        marked: the tokens that are shown in delimiters, where the task has any.
    """

    window: Window
    truth: bool
    marked: tuple[int, ...] = ()


@dataclass(frozen=True)
class Verdict:
    """What a judge made of an item.

    Attributes:
        score: higher where it fits rather; None where the judge gives none.
        says: the judge's decision; None where it gives a score alone, or nothing.
        per_token: predicted activations, from a scorer that predicts them.
    """

    score: float | None
    says: bool | None
    outcome: Outcome = "judged"
    per_token: tuple[float, ...] = ()

    def as_json(self) -> list[Any]:
        return [self.score, self.says, self.outcome, list(self.per_token)]

    @classmethod
    def from_json(cls, kept: Sequence[Any]) -> Verdict:
        score, says, outcome, per_token = kept
        return cls(score, says, outcome, tuple(per_token))


AnyItem = TypeVar("AnyItem")


class Scorer(Protocol[AnyItem]):
    """Attributes:
    name: as results call it, with the negatives where they aren't the standard ones.
    fingerprint: of all that decides its verdicts.
    needs_label: False where the label isn't read, and there's nothing to shuffle.
    """

    @property
    def name(self) -> str: ...
    @property
    def fingerprint(self) -> str: ...
    @property
    def needs_label(self) -> bool: ...

    def items(self, examples: LatentExamples, rng: np.random.Generator) -> list[AnyItem]:
        """To be judged, in an order that says nothing."""
        ...

    async def score(self, label: str, items: Sequence[AnyItem]) -> list[Verdict]:
        """A verdict for each item, in order."""
        ...


def detection_items(
    examples: LatentExamples, rng: np.random.Generator, negatives: Negatives = "hard"
) -> list[Item]:
    """Windows on which the latent fires, and as many, where there are, on which it doesn't."""
    fires = examples.score
    silent = examples.hard if negatives == "hard" else examples.random
    items = [
        *(Item(one, True) for one in fires),
        *(Item(one, False) for one in silent[: len(fires)]),
    ]
    return [items[i] for i in rng.permutation(len(items))]


def named(task: str, negatives: Negatives) -> str:
    """Hard negatives are the standard, and aren't named."""
    return task if negatives == "hard" else f"{task}, {negatives} negatives"
