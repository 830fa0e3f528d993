"""Plays the arms of a study, one after the other, and keeps what each took."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import combinations

from toprope.journal import Journal
from toprope.progress import Progress
from toprope.techniques.debate.arms import OPPOSED, Arm
from toprope.techniques.debate.casting import Cast
from toprope.techniques.debate.judges import Judge
from toprope.techniques.debate.protocols.stage import Players
from toprope.techniques.debate.rejudging import rejudged
from toprope.techniques.debate.running import play
from toprope.techniques.debate.sets import QuestionSet
from toprope.techniques.debate.timing import Stopwatch, timed
from toprope.techniques.debate.transcript import Transcript, crossed

Fit = Callable[[Arm, Sequence[Transcript]], Judge]
"""A judge that has learned from an arm's transcripts."""


@dataclass(frozen=True)
class Played:
    """An arm's games.

    Attributes:
        seconds, model_seconds: that they took in this process, and that models took of it.
        fresh: games that were played in this process: others come from the journal.
    """

    transcripts: Sequence[Transcript]
    seconds: float = 0.0
    model_seconds: float = 0.0
    fresh: int = 0


@dataclass
class Outcome:
    """All that was played.

    Attributes:
        arms: on the questions that are measured.
        untrained: where the judge was trained, the same games as it judged them before.
        cross: kind of protocol -> games between its variants.
    """

    arms: dict[str, Played] = field(default_factory=dict)
    untrained: dict[str, Sequence[Transcript]] = field(default_factory=dict)
    cross: dict[str, Sequence[Transcript]] = field(default_factory=dict)


@dataclass(frozen=True)
class Contest:
    """
    Attributes:
        questions: that are measured.
        training: those that a judge is trained on; None: it isn't.
        fit: makes the trained judge.
        cross_play: whether variants of a debate meet each other.
        crossed: whether debates are played in both orders of speaking in each place.
    """

    arms: Sequence[Arm]
    cast: Cast
    questions: QuestionSet
    journal: Journal
    concurrency: int
    progress: Progress
    training: QuestionSet | None = None
    fit: Fit | None = None
    cross_play: bool = True
    crossed: bool = False

    async def play(self) -> Outcome:
        outcome = Outcome()
        with timed(self.cast.chats.values(), self.cast.locals.values()) as watch:
            for arm in self.arms:
                outcome.arms[arm.name] = await self._arm(arm, watch)
        if self.training and self.fit:
            for arm in self.arms:
                await self._trained(arm, outcome, self.training, self.fit)
        for kind, variants in self._crossing().items():
            outcome.cross[kind] = await self._cross(variants)
        return outcome

    async def _arm(self, arm: Arm, watch: Stopwatch) -> Played:
        began, took, kept = time.monotonic(), watch.seconds, len(self.journal)
        transcripts = await self._games(arm, self.questions, self.cast.players(arm))
        return Played(
            transcripts,
            time.monotonic() - began,
            watch.seconds - took,
            len(self.journal) - kept,
        )

    async def _trained(self, arm: Arm, outcome: Outcome, training: QuestionSet, fit: Fit) -> None:
        """Puts the verdicts of a judge that learned from the arm's training games in the place of
        those before it."""
        lessons = await self._games(arm, training, self.cast.players(arm))
        before = outcome.arms[arm.name]
        again = await rejudged(
            before.transcripts,
            fit(arm, lessons),
            concurrency=self.concurrency,
            journal=self.journal,
            progress=self.progress,
        )
        outcome.untrained[arm.name] = before.transcripts
        outcome.arms[arm.name] = Played(again, before.seconds, before.model_seconds, before.fresh)

    def _crossing(self) -> Mapping[str, Sequence[Arm]]:
        """Debates of which there are several variants; who quotes doesn't aim at this judge."""
        debates = [arm for arm in self.arms if arm.kind == "debate" and not arm.is_quoting]
        return {"debate": debates} if self.cross_play and len(debates) > 1 else {}

    async def _cross(self, variants: Sequence[Arm]) -> list[Transcript]:
        """Every two variants against each other, each on either side."""
        found: list[Transcript] = []
        for a, b in combinations(variants, 2):
            for one, other in ((a, b), (b, a)):
                players = self.cast.players(one, (one, other))
                found += await self._games(one, self.questions, players, other)
        return found

    async def _games(
        self, arm: Arm, questions: QuestionSet, players: Players, against: Arm | None = None
    ) -> list[Transcript]:
        return await play(
            arm.game,
            questions.questions,
            players,
            concurrency=self.concurrency,
            journal=self.journal,
            progress=self.progress,
            seatings=(lambda one: crossed(arm.game.seatings(one)))
            if self.crossed and arm.kind in OPPOSED
            else None,
            title=f"{arm.name} against {against.name}" if against else arm.name,
        )
