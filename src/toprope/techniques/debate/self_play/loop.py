"""Play, pairs, training, and the test again: so many times over, for debate and for its control.

The adapter of each protocol goes on from its own before; both learn from as many pairs, made the
same way of the same questions. Every game, draft and adapter is kept under all that made it, so
that a loop that was killed goes on where it was.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import cached_property, partial
from pathlib import Path

from pydantic import TypeAdapter

from toprope.errors import UserError
from toprope.files import write_text
from toprope.journal import Journal, key_of
from toprope.lab import Lab
from toprope.models.adapters import ABOUT, Adapter
from toprope.models.chat import Chat
from toprope.models.local import LocalModel
from toprope.models.preferences import Dpo, DpoTraining, finetune_preferences
from toprope.study import code_version
from toprope.techniques.debate.arms import Arm
from toprope.techniques.debate.casting import Cast
from toprope.techniques.debate.debaters import ChatDebater, Debater, View
from toprope.techniques.debate.protocols.best_of import Persuasion
from toprope.techniques.debate.protocols.debate import Debate
from toprope.techniques.debate.protocols.quoting import Quoting
from toprope.techniques.debate.protocols.stage import Players
from toprope.techniques.debate.remembering import RememberingJudge
from toprope.techniques.debate.running import play
from toprope.techniques.debate.self_play.drafting import Drafting, collect
from toprope.techniques.debate.self_play.pairs import Drafts, Pair, as_many
from toprope.techniques.debate.sets import QuestionSet
from toprope.techniques.debate.transcript import Transcript, Turn

TRAINING = "training.json"
"""Beside an adapter: how its training went."""

TRAINED_BY = ("adapters.py", "answered.py", "preferences.py", "training.py")
"""What decides an adapter's weights, among the files of models."""

TRAINED, UNTRAINED = "trained", "untrained"
"""Who meets whom in a duel."""


@dataclass(frozen=True)
class Lesson:
    """What an adapter was trained on, and how.

    Attributes:
        drafts: of every turn of the training games, by the debater before.
        margin: between the ratings of a pair.
        pairs: of these drafts, those that were learned from.
        folder: the adapter's.
    """

    drafts: Sequence[Drafts]
    margin: float
    pairs: Sequence[Pair]
    trained: DpoTraining
    folder: Path

    @property
    def available(self) -> int:
        """Pairs that there were."""
        return sum(one.pair(self.margin) is not None for one in self.drafts)


@dataclass(frozen=True)
class Stage:
    """A debater, measured on the test questions.

    Attributes:
        number: of trainings so far.
        lesson: of the last one.
        duel: its debates with the untrained one, each on either side; none where one speaks alone.
        seconds: that these games took in this process.
    """

    arm: Arm
    number: int
    transcripts: Sequence[Transcript]
    lesson: Lesson | None = None
    duel: Sequence[Transcript] = ()
    seconds: float = 0.0

    @property
    def name(self) -> str:
        return stage_name(self.arm.name, self.number)


def stage_name(protocol: str, number: int) -> str:
    """As evidence and files have it: "debate", "debate_trained_1", ..."""
    return f"{protocol}_trained_{number}" if number else protocol


@dataclass(frozen=True)
class Called:
    """A debater under another name, by which it's told from others of the same model."""

    debater: Debater
    name: str

    @property
    def fingerprint(self) -> str:
        return key_of("called", self.name, self.debater.fingerprint)

    async def __call__(self, view: View) -> Turn:
        return replace(await self.debater(view), by=self.name)


@dataclass
class Loop:
    """
    Attributes:
        arms: the protocols in which debaters are trained: debate, and the control.
        controls: protocols in which nobody argues.
        n: drafts of a turn that are written.
        quotes: sentences of the passage that one more draft of a turn is; None: there's none.
        foils: drafts beside that one, of other sentences.
        margin: between the ratings of a pair.
        most: pairs of an iteration.
        duels: whether the trained ones meet the untrained.
        folder: among the run's artifacts.
    """

    lab: Lab
    cast: Cast
    arms: Sequence[Arm]
    controls: Sequence[Arm]
    training: QuestionSet
    test: QuestionSet
    journal: Journal
    dpo: Dpo
    n: int
    quotes: int | None
    foils: int
    margin: float
    most: int | None
    duels: bool
    concurrency: int
    folder: tuple[str, ...]
    _adapters: dict[str, Adapter] = field(default_factory=dict)

    def run(self, iterations: int) -> Iterator[Stage]:
        """Every protocol untrained and after each training, the controls first."""
        for arm in (*self.controls, *self.arms):
            yield self._measured(arm, 0, self._untrained)
        debaters = {arm.name: self._untrained for arm in self.arms}
        for number in range(1, iterations + 1):
            drafts = {arm.name: self._drafts(arm, number, debaters[arm.name]) for arm in self.arms}
            pairs = as_many(
                {name: self._pairs(name, some) for name, some in drafts.items()},
                most=self.most,
                rng=partial(self.lab.rng, "self_play", "pairs", number),
            )
            for arm in self.arms:
                trained, folder = self._train(arm, number, pairs[arm.name])
                debaters[arm.name] = self._debater(self._adapters[arm.name])
                some = drafts[arm.name], self.margin, pairs[arm.name]
                lesson = Lesson(*some, trained, folder)
                yield self._measured(arm, number, debaters[arm.name], lesson)

    # --- debaters ---

    @cached_property
    def _untrained(self) -> ChatDebater:
        debater = self.cast.debater
        assert isinstance(debater, ChatDebater)
        return debater

    def _debater(self, adapter: Adapter) -> ChatDebater:
        """The same with an adapter on its model."""
        chat = Chat.of(adapter.applied(), concurrency=self._untrained.chat.concurrency)
        return replace(self._untrained, chat=chat)

    # --- play ---

    def _measured(
        self, arm: Arm, number: int, debater: ChatDebater, lesson: Lesson | None = None
    ) -> Stage:
        """A debater on the test questions: against itself, and against the untrained one."""
        began, name = time.monotonic(), stage_name(arm.name, number)
        transcripts = self._games(arm, () if arm.is_control else (debater,), name)
        took = time.monotonic() - began
        duel: list[Transcript] = []
        if number and self.duels and isinstance(arm.game, Debate):
            new, old = Called(debater, TRAINED), Called(self._untrained, UNTRAINED)
            for sides in ((new, old), (old, new)):
                duel += self._games(arm, sides, f"{name} against {UNTRAINED}")
        return Stage(arm, number, transcripts, lesson, duel, took)

    def _games(self, arm: Arm, debaters: Sequence[Debater], title: str) -> list[Transcript]:
        return asyncio.run(
            play(
                arm.game,
                self.test.questions,
                Players(self.cast.judge, tuple(debaters)),
                concurrency=self.concurrency,
                journal=self.journal,
                progress=self.lab.show,
                title=f"{title}, test",
            )
        )

    def _drafts(self, arm: Arm, number: int, debater: ChatDebater) -> list[Drafts]:
        drafting = Drafting(
            debater,
            self._base,
            Persuasion(self.cast.judge),
            self.n,
            opposed=isinstance(arm.game, Debate) and arm.game.order == "simultaneous",
            quoting=self._quoting,
            foils=self.foils,
            seed=self.lab.seed,
            journal=self.journal,
        )
        return asyncio.run(
            collect(
                arm.game,
                self.training.questions,
                drafting,
                seed=self.lab.seed,
                concurrency=self.concurrency,
                progress=self.lab.show,
                title=f"{stage_name(arm.name, number)}, {drafting.made} drafts a turn",
            )
        )

    @cached_property
    def _quoting(self) -> Quoting | None:
        """One for all arms, whose debaters were the same model: it reads each passage once."""
        if not self.quotes or not self.cast.reader:
            return None
        reader = RememberingJudge(self.cast.reader, self.journal)
        return Quoting(self._untrained, reader, self.quotes)

    # --- training ---

    @cached_property
    def _base(self) -> LocalModel:
        return self.cast.locals[self.cast.parts.target]

    def _pairs(self, protocol: str, drafts: Sequence[Drafts]) -> list[Pair]:
        """
        Raises:
            UserError: there's nothing to choose from.
        """
        if all(len(one.texts) < 2 for one in drafts):
            raise UserError(
                f"in no turn of {protocol} are there two drafts of a whole sentence or more: give "
                f"more max_tokens than {self.cast.parts.max_tokens}, or take another target"
            )
        return [pair for one in drafts if (pair := one.pair(self.margin))]

    def _train(self, arm: Arm, number: int, pairs: Sequence[Pair]) -> tuple[DpoTraining, Path]:
        """Trains the protocol's adapter once more."""
        before = self._adapters.get(arm.name)
        preferences = [pair.preference for pair in pairs]
        key = key_of(
            self._base.fingerprint,
            self.lab.precision,
            code_version("toprope.models", TRAINED_BY),
            before.fingerprint if before else None,
            self.dpo.model_dump(mode="json"),
            [asdict(one) for one in preferences],
        )
        folder = self.lab.artifact(*self.folder, "adapters", key[:16], ABOUT).parent

        def make() -> Adapter:
            adapter, trained = finetune_preferences(
                self._base, preferences, self.dpo, begin=before, progress=self.lab.show
            )
            write_text(folder / TRAINING, json.dumps(asdict(trained)) + "\n")
            return adapter

        self._adapters[arm.name] = Adapter.kept(self._base, folder, make)
        told = json.loads((folder / TRAINING).read_text(encoding="utf-8"))
        return TypeAdapter(DpoTraining).validate_python(told), folder
