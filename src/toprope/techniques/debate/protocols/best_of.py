"""Best-of-N: a debater says the most persuasive of N things it could say.

Khan et al. 2024 (arXiv 2402.06782): a way to make debaters more persuasive without
training, and so the axis of accuracy against persuasiveness. Khan et al. rate arguments by a
preference model that is asked for the next word; `Persuasion` asks any judge.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

from toprope.journal import key_of
from toprope.techniques.debate.debaters import Debater, View
from toprope.techniques.debate.judges import Hearing, Judge
from toprope.techniques.debate.transcript import Turn, judged_on


class Rating(NamedTuple):
    """How persuasive a turn is, and the tokens that it took to find out; lost where no answer
    came."""

    value: float
    tokens: int = 0
    is_lost: bool = False


@dataclass(frozen=True)
class Persuasion:
    """Rates a turn by the probability that a judge gives its position after hearing it."""

    judge: Judge

    @property
    def fingerprint(self) -> str:
        return key_of("persuasion", self.judge.fingerprint)

    async def __call__(self, view: View, turn: Turn) -> Rating:
        """0 where the judge gives none."""
        turns = judged_on((*view.turns, turn))
        hearing = Hearing(view.question.hidden(), view.seating, turns, view.round)
        verdict = await self.judge(hearing)
        if turn.position is None or not verdict.probabilities:
            return Rating(0.0, verdict.tokens, verdict.outcome == "lost")
        return Rating(verdict.probabilities[turn.position], verdict.tokens)


@dataclass(frozen=True)
class BestOf:
    """A debater that chooses among n of another's speeches."""

    debater: Debater
    persuasion: Persuasion
    n: int

    @property
    def name(self) -> str:
        return f"{self.debater.name} (best of {self.n})"

    @property
    def fingerprint(self) -> str:
        return key_of("best of", self.debater.fingerprint, self.persuasion.fingerprint, self.n)

    async def __call__(self, view: View) -> Turn:
        if view.kind != "speech":
            return replace(await self.debater(view), by=self.name)
        drafts = await samples(self.debater, view, self.n)
        best = await most_persuasive(self.persuasion, view, drafts)
        return replace(best, by=self.name)


async def samples(debater: Debater, view: View, n: int) -> list[Turn]:
    """n answers to the same view."""
    asked = [replace(view, sample=view.sample * n + i) for i in range(n)]
    return await asyncio.gather(*map(debater, asked))


async def most_persuasive(
    persuasion: Callable[[View, Turn], Awaitable[Rating]], view: View, turns: Sequence[Turn]
) -> Turn:
    """The best rated of those that say something, the first of equals; else the first. Its tokens
    and calls are those of all of them, and of their ratings. Where one of them or of their ratings
    never came it's lost: which is best isn't known."""
    said = [turn for turn in turns if turn.outcome in ("spoken", "cut") and turn.text]
    ratings: list[Rating] = []
    if len(said) > 1:
        ratings = await asyncio.gather(*(persuasion(view, turn) for turn in said))
    values = [rating.value for rating in ratings]
    best = said[values.index(max(values))] if values else (said or turns)[0]
    if any(turn.outcome == "lost" for turn in turns) or any(one.is_lost for one in ratings):
        best = best.as_lost()
    return replace(
        best,
        tokens=sum(turn.tokens for turn in turns) + sum(rating.tokens for rating in ratings),
        calls=sum(turn.calls for turn in turns) + len(ratings),
    )
