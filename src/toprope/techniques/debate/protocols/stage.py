"""What protocols are made of: who plays, and one game under way."""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol

from toprope.errors import UserError
from toprope.journal import key_of
from toprope.techniques.debate.debaters import UNINFORMED, Debater, View
from toprope.techniques.debate.judges import Hearing, Judge
from toprope.techniques.debate.questions import Question
from toprope.techniques.debate.transcript import (
    Kind,
    Role,
    Seating,
    Transcript,
    Turn,
    Verdict,
    judged_on,
    seen_by,
)


@dataclass(frozen=True)
class Players:
    """
    Attributes:
        debaters: one for all sides, or one for each option; where a protocol has roles instead of
            sides, such as proposer and critic, the first and the last.
        asker: who asks the judge's questions, where the protocol has them.
        overseer: who checks the steps of a recursive protocol.
    """

    judge: Judge
    debaters: tuple[Debater, ...] = ()
    asker: Debater | None = None
    overseer: Debater | None = None

    def side(self, option: int) -> Debater:
        """Who argues for an option."""
        return self._some()[option % len(self.debaters)]

    @property
    def first(self) -> Debater:
        return self._some()[0]

    @property
    def last(self) -> Debater:
        return self._some()[-1]

    @property
    def fingerprint(self) -> str:
        everyone = (self.judge, *self.debaters, self.asker, self.overseer)
        return key_of(*(one.fingerprint if one else None for one in everyone))

    def _some(self) -> tuple[Debater, ...]:
        if not self.debaters:
            raise UserError("this protocol needs a debater: name a model to debate")
        return self.debaters


class Game(Protocol):
    """A protocol with its settings, a frozen dataclass."""

    @property
    def name(self) -> str: ...

    def seatings(self, question: Question) -> list[Seating]: ...

    async def __call__(
        self, question: Question, seating: Seating, players: Players
    ) -> Transcript: ...


class Stage:
    """One game under way: keeps who said what, and shows everyone what they may see.

    Args:
        more: speakers of this protocol alone, whose lines nobody else may write.
    """

    def __init__(
        self,
        question: Question,
        seating: Seating,
        players: Players,
        *,
        rounds: int = 1,
        more: tuple[str, ...] = (),
    ) -> None:
        self.question, self.seating, self.players = question, seating, players
        self.rounds, self.more = rounds, more
        self.turns: list[Turn] = []
        self.verdicts: list[Verdict] = []

    def debater(self, option: int) -> str:
        """The name of the debater who argues for an option."""
        return f"Debater {self.seating.letter(option)}"

    def view(
        self,
        speaker: str,
        role: Role,
        kind: Kind = "speech",
        *,
        position: int | None = None,
        round: int = 1,
        given: Mapping[str, str] | None = None,
    ) -> View:
        """What a speaker sees now: the passage, except where it judges."""
        names = [self.debater(i) for i in self.seating.shown]
        everyone = ("Judge", "Consultant", "Critic", *self.more, *names)
        return View(
            self.question.hidden() if role in UNINFORMED else self.question,
            self.seating,
            speaker,
            role,
            kind,
            position,
            round,
            self.rounds,
            seen_by(speaker, self.turns),
            tuple(name for name in everyone if name != speaker),
            given=given or {},
        )

    async def take(self, debater: Debater, view: View) -> Turn:
        """One turn."""
        turn = await debater(view)
        self.turns.append(turn)
        return turn

    async def ask(self, asker: Debater, view: View, whom: str) -> Turn:
        """A question to one of several, by name."""
        turn = await asker(view)
        named = f"To {whom}: {turn.text}" if turn.text else ""
        self.turns.append(replace(turn, text=named))
        return self.turns[-1]

    async def together(self, some: Sequence[tuple[Debater, View]]) -> list[Turn]:
        """Turns of which none sees another, in their order."""
        turns = await asyncio.gather(*(debater(view) for debater, view in some))
        self.turns += turns
        return turns

    async def choice(self, role: Role) -> int | None:
        """The option that the first player would argue for; None: it names none."""
        speaker = "Consultant" if role == "consultant" else "Debater"
        turn = await self.take(self.players.first, self.view(speaker, role, "choice"))
        return int(turn.values[0]) if turn.values else None

    async def judge(self, round: int, *, expert: bool = False) -> Verdict:
        """The judge is asked, on what is public so far."""
        question = self.question if expert else self.question.hidden()
        hearing = Hearing(question, self.seating, judged_on(self.turns), round)
        verdict = await self.players.judge(hearing)
        self.verdicts.append(verdict)
        return verdict

    def transcript(self, protocol: str, **details: Any) -> Transcript:
        return Transcript(
            protocol,
            self.question,
            self.seating,
            tuple(self.turns),
            tuple(self.verdicts),
            details,
        )
