"""A question, debaters and judges that follow a script, and transcripts made by hand."""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from toprope.techniques.debate.debaters import Scripted, View
from toprope.techniques.debate.judges import Hearing
from toprope.techniques.debate.protocols.stage import Game, Players
from toprope.techniques.debate.questions import Question
from toprope.techniques.debate.transcript import (
    Private,
    Seating,
    Transcript,
    Turn,
    Verdict,
    rotations,
)

PASSAGE = "The tower was built in 1889. Its architect lived in the south of the city."
QUESTION = Question("q", "When was the tower built?", ("In 1889", "In 1925"), 0, PASSAGE)


@dataclass
class Believing:
    """A judge whose probabilities are a function of what it hears."""

    believes: Callable[[Hearing], Sequence[float]] = lambda hearing: (0.5, 0.5)
    heard: list[Hearing] = field(default_factory=list)
    name: str = "believing"
    fingerprint: str = "believing"

    async def __call__(self, hearing: Hearing) -> Verdict:
        self.heard.append(hearing)
        shares = tuple(self.believes(hearing))
        return Verdict(shares.index(max(shares)), shares, round=hearing.round)


@dataclass
class Recording:
    """What a scripted debater was shown."""

    says: Callable[[View], str]
    seen: list[View] = field(default_factory=list)

    def __call__(self, view: View) -> str:
        self.seen.append(view)
        return self.says(view)


def play(game: Game, seating: Seating, players: Players, question: Question = QUESTION):
    async def once() -> Transcript:
        return await game(question, seating, players)

    return asyncio.run(once())


FIELDS = {
    "study": "debate",
    "overseer": "judge",
    "target": "debater",
    "dataset": "some",
    "seed": 0,
    "truth": "ground_truth",
    "config_hash": "x",
}
"""Of rows of evidence."""


def debater(says: Callable[[View], str], name: str = "scripted") -> Scripted:
    return Scripted(says, name)


def judged(
    number: int,
    *verdicts: Sequence[float] | None,
    answer: int = 0,
    options: int = 2,
    group: str = "",
    argued: Sequence[int] = (),
    by: Sequence[str] = (),
    bets: Sequence[Sequence[float | None]] = (),
) -> Transcript:
    """A transcript of which only what is measured matters.

    Args:
        verdicts: probabilities after each round, from round 0; None: no answer.
        argued: options that were argued for, by the models of `by`.
        bets: before each round, of either side.
    """
    texts = tuple(f"option {i}" for i in range(options))
    question = Question(f"q{number}", "Which?", texts, answer, group=group)
    turns = [
        Turn(
            f"Debater {'ABC'[side]}",
            "debater",
            "",
            side,
            round,
            "bet",
            private=Private(bet),
        )
        for round, pair in enumerate(bets, 1)
        for side, bet in enumerate(pair)
    ]
    turns += [
        Turn(f"Debater {'ABC'[option]}", "debater", "words", option, by=name)
        for option, name in zip(argued, by or ["x"] * len(argued), strict=True)
    ]
    given = tuple(
        Verdict(None, outcome="unnamed", round=round)
        if shares is None
        else Verdict(shares.index(max(shares)), tuple(shares), round=round)
        for round, shares in enumerate(verdicts)
    )
    return Transcript("debate", question, rotations(question)[0], tuple(turns), given)
