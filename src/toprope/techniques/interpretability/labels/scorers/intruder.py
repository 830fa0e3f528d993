"""Intruder detection (Paulo and Belrose 2025, arXiv 2507.08473): of five windows four are such that
the latent fires; the judge names the fifth. No label is read: it measures whether there is anything
to be labelled.

In each window one stretch is marked: where the latent fires, and in the intruder where its
neighbour does, so that the mark gives nothing away.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from toprope.models.together import Together
from toprope.techniques.interpretability.examples import LatentExamples
from toprope.techniques.interpretability.labels.prompting import (
    one_line,
    prompt,
    prompt_text,
    refuses,
    user,
)
from toprope.techniques.interpretability.labels.scorers.asking import TOGETHER, among, digest
from toprope.techniques.interpretability.labels.scorers.scorer import Negatives, Verdict, named
from toprope.techniques.interpretability.windows import Window

if TYPE_CHECKING:
    from toprope.models.chat import Chat
    from toprope.models.local import LocalModel

OF = 5


@dataclass(frozen=True)
class OddOneOut:
    """Windows of which the one at `odd` is the intruder."""

    windows: tuple[Window, ...]
    odd: int

    @property
    def chance(self) -> float:
        """That a blind judge names it."""
        return 1 / len(self.windows)


@dataclass(frozen=True)
class _Intruder:
    negatives: Negatives = "hard"
    needs_label: bool = field(default=False, init=False)

    @property
    def name(self) -> str:
        return named("intruder", self.negatives)

    def items(self, examples: LatentExamples, rng: np.random.Generator) -> list[OddOneOut]:
        """A set for each negative, as long as there are windows that fire for it; these are drawn
        anew for each set, from one quantile where that has enough of them."""
        silent = examples.hard if self.negatives == "hard" else examples.random
        if len(examples.score) < OF - 1:
            return []
        sets = []
        for one in silent[: len(examples.score)]:
            drawn = [examples.score[i] for i in rng.permutation(len(examples.score))]
            alike = [each for each in drawn if each.quantile == drawn[0].quantile]
            fires = (alike if len(alike) >= OF - 1 else drawn)[: OF - 1]
            odd = int(rng.integers(OF))
            sets.append(OddOneOut((*fires[:odd], one, *fires[odd:]), odd))
        return sets


@dataclass(frozen=True)
class ChatIntruder(_Intruder):
    """A chat model names it."""

    chat: Chat = field(kw_only=True)

    @property
    def fingerprint(self) -> str:
        return digest(self.chat.fingerprint, prompt_text("intruder"), self.negatives)

    async def score(self, label: str, items: Sequence[OddOneOut]) -> list[Verdict]:
        return list(await asyncio.gather(*map(self._ask, items)))

    async def _ask(self, item: OddOneOut) -> Verdict:
        reply = await self.chat.ask(user(_asked(item)), max_tokens=8)
        if reply.is_lost:
            return Verdict(None, None, "lost")
        named_ = re.findall(rf"\b[1-{len(item.windows)}]\b", reply.text)
        if reply.outcome == "filtered" or (not named_ and refuses(reply.text)):
            return Verdict(None, None, "refused")
        if len(set(named_)) != 1:
            return Verdict(None, None, "unparsable")
        right = int(named_[0]) - 1 == item.odd
        return Verdict(float(right), right)


@dataclass(frozen=True)
class LocalIntruder(_Intruder):
    """A local model gives each number a probability, and the highest counts."""

    model: LocalModel = field(kw_only=True)
    _together: Together[str, list[float]] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_together", Together(self._probabilities, TOGETHER))

    @property
    def fingerprint(self) -> str:
        return digest(self.model.fingerprint, prompt_text("intruder"), self.negatives)

    async def score(self, label: str, items: Sequence[OddOneOut]) -> list[Verdict]:
        found = await asyncio.gather(*(self._together(_asked(item)) for item in items))
        return [
            Verdict(probs[item.odd], int(np.argmax(probs)) == item.odd)
            for item, probs in zip(items, found, strict=True)
        ]

    def _probabilities(self, asked: Sequence[str]) -> list[list[float]]:
        return among(self.model, asked, [str(i + 1) for i in range(OF)]).tolist()


def _asked(item: OddOneOut) -> str:
    windows = "\n".join(
        f"Piece {i}: {one_line(one.marked([one.centre]))}" for i, one in enumerate(item.windows, 1)
    )
    return prompt("intruder", n=len(item.windows), windows=windows)
