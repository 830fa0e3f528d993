"""Best-of-N: a debater says the most persuasive of N things it could say.

Khan et al. 2024 (arXiv 2402.06782): a way to make debaters more persuasive without
training, and so the axis of accuracy against persuasiveness. Khan et al. rate arguments by a
preference model that is asked for the next word; `Persuasion` asks any judge.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, replace

from toprope.journal import key_of
from toprope.techniques.debate.debaters import Debater, View
from toprope.techniques.debate.judges import Hearing, Judge
from toprope.techniques.debate.transcript import Turn, judged_on


@dataclass(frozen=True)
class Persuasion:
    """Rates a turn by the probability that a judge gives its position after hearing it."""

    judge: Judge

    @property
    def fingerprint(self) -> str:
        return key_of("persuasion", self.judge.fingerprint)

    async def __call__(self, view: View, turn: Turn) -> float:
        """0 where the judge gives none."""
        turns = judged_on((*view.turns, turn))
        hearing = Hearing(view.question.hidden(), view.seating, turns, view.round)
        verdict = await self.judge(hearing)
        if turn.position is None or not verdict.probabilities:
            return 0.0
        return verdict.probabilities[turn.position]


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
        return replace(best, by=self.name, tokens=sum(turn.tokens for turn in drafts))


async def samples(debater: Debater, view: View, n: int) -> list[Turn]:
    """n answers to the same view."""
    asked = [replace(view, sample=view.sample * n + i) for i in range(n)]
    return await asyncio.gather(*map(debater, asked))


async def most_persuasive(
    persuasion: Callable[[View, Turn], Awaitable[float]], view: View, turns: Sequence[Turn]
) -> Turn:
    """The best rated of those that say something, the first of equals; else the first."""
    said = [turn for turn in turns if turn.outcome in ("spoken", "cut") and turn.text]
    if len(said) < 2:
        return said[0] if said else turns[0]
    scores = await asyncio.gather(*(persuasion(view, turn) for turn in said))
    return said[scores.index(max(scores))]
