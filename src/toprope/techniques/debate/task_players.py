"""Inspect's models as the players of a game, each under its name in Inspect's transcript."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from inspect_ai.model import Model, get_model
from inspect_ai.util import span
from pydantic import BaseModel, ConfigDict, Field

from toprope.errors import UserError
from toprope.models.chat import Chat, is_served
from toprope.models.local import LocalModel
from toprope.techniques.debate.arms import Arm, Rules
from toprope.techniques.debate.casting import Cast, Judging, Parts
from toprope.techniques.debate.debaters import ChatDebater, Debater, View
from toprope.techniques.debate.judges import ChatJudge, Hearing, Judge, LocalJudge
from toprope.techniques.debate.protocols.stage import Players
from toprope.techniques.debate.questions import Question
from toprope.techniques.debate.room import with_room
from toprope.techniques.debate.sets import QuestionSet
from toprope.techniques.debate.transcript import Turn, Verdict

JUDGE = "judge"
"""The role, for `--model-role`."""

AT_ONCE = 10_000
"""Calls under way: Inspect's own `--max-connections` and `--max-samples` say how many."""


class TaskSettings(BaseModel):
    """What all of the tasks take (`-T limit=50`)."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    questions: str = "passages"
    """A name as `toprope.techniques.debate.reading` takes it."""
    limit: int | None = Field(default=None, ge=1)
    """At most so many questions, each in all of its seatings; Inspect's `--limit` counts games."""
    split: bool = False
    """Whether a passage too long for a local model is cut to what bears on the question."""
    variant: str = ""
    """How debaters choose what they say, such as best_of_4: of `toprope.techniques.debate.arms`'
    `VARIANTS`, with their number. The judge says which of several speeches is best."""
    judge: str = ""
    """A model's name; `--model-role judge=...` goes before it. Without either the model that is
    evaluated judges."""
    judging: Judging | None = None
    """letters: by the probabilities of the letters as next words; answers: by those of the answers'
    own words; chat: by what the judge says. By default letters where the judge is a model in this
    process."""
    words: int = Field(default=100, ge=1)
    """That a debater is told to keep to."""
    max_tokens: int = Field(default=200, ge=1)
    """Of a turn, and of what a judge says."""
    temperature: float = Field(default=0.7, ge=0)
    """Of debaters."""
    seed: int = Field(default=0, ge=0)
    """Of what is drawn, and of debaters."""


@dataclass(frozen=True)
class Ready:
    """The players of an evaluation, and its questions by id, which they have room for."""

    players: Players
    questions: Mapping[str, Question]


@dataclass
class Casting:
    """Makes the players of a task once for each pair of models, so that a local judge reads in
    batches, and a model of which nothing comes is given up on.

    Attributes:
        asks: whether the judge asks, where the protocol leaves it open.
    """

    arm: Arm
    rules: Rules
    questions: QuestionSet
    settings: TaskSettings
    asks: bool = False
    _ready: dict[tuple[int, int], Ready] = field(default_factory=dict, repr=False)

    def ready(self) -> Ready:
        """For the evaluation that is under way.

        Raises:
            UserError: a judge that can't judge so, or a passage too long for a model.
        """
        evaluated = get_model()
        judge = get_model(role=JUDGE, default=evaluated)
        # A role's model is a new object with each call; what is behind it isn't.
        key = id(evaluated.api), id(judge.api)
        if key not in self._ready:
            self._ready[key] = self._made(evaluated, judge)
        return self._ready[key]

    def _made(self, evaluated: Model, judge: Model) -> Ready:
        given = self.settings
        here = {str(one): in_this_process(one) for one in (evaluated, judge)}
        local = here[str(judge)]
        judging = given.judging or ("letters" if local else "chat")
        if judging != "chat" and not local:
            raise UserError(
                f"-T judging={judging} needs the probabilities of next words, and '{judge}' gives "
                "none: take -T judging=chat, or toprope/NAME as the judge"
            )
        asked, speaks = _chat(judge), _chat(evaluated)
        said = self._judge(asked, local, judging)
        reader = here[str(evaluated)]
        turn = given.words, given.max_tokens, given.temperature, given.seed
        checks = given.words, given.max_tokens, 0.0, given.seed
        cast = Cast(
            Parts(
                overseer=str(judge),
                target=str(evaluated),
                rater="",
                judging=judging,
                asks=self.asks,
                words=given.words,
                max_tokens=given.max_tokens,
                temperature=given.temperature,
                judge_tokens=given.max_tokens,
                seed=given.seed,
                limits={},
            ),
            judge=_ShownJudge(said, "Judge"),
            rater=_ShownJudge(said, "Rater"),
            debater=_ShownDebater(ChatDebater(speaks, *turn)),
            asker=_ShownDebater(ChatDebater(asked, *turn)),
            chats={},
            locals={name: model for name, model in here.items() if model},
            checker=_ShownDebater(ChatDebater(asked, *checks)),
            reader=_ShownJudge(
                self._judge(speaks, reader, "answers" if reader else "chat"), "Reader"
            )
            if self.arm.is_quoting
            else None,
        )
        found = with_room(self.questions, [self.arm], cast, self.rules, split=given.split)
        return Ready(cast.players(self.arm), {one.id: one for one in found.questions})

    def _judge(self, chat: Chat, local: LocalModel | None, by: Judging) -> Judge:
        """A model as one that judges, or reads sentences."""
        if local and by != "chat":
            return LocalJudge(local, by)
        return ChatJudge(chat, self.settings.max_tokens, seed=self.settings.seed)


def named(name: str) -> Model:
    """Inspect's model of a name as toprope takes it: `smollm2-135m`, `openai/gpt-4o`."""
    full = is_served(name) or name.startswith("toprope/")
    return get_model(name if full else f"toprope/{name}")


def in_this_process(model: Model) -> LocalModel | None:
    """The weights behind a model of Inspect's, where they're in this process."""
    from toprope.models.loaded import shared
    from toprope.models.placement import dtype_named
    from toprope.models.provider import LocalModelAPI

    if not isinstance(model.api, LocalModelAPI):
        return None
    given = model.model_args
    dtype = dtype_named(given.get("dtype"))
    return shared(model.api.model_name, device=given.get("device"), dtype=dtype)


def _chat(model: Model) -> Chat:
    return Chat(str(model), model, str(model), as_configured=True, concurrency=AT_ONCE)


@dataclass(frozen=True)
class _ShownDebater:
    """A debater whose calls stand under its name and round."""

    debater: Debater

    @property
    def name(self) -> str:
        return self.debater.name

    @property
    def fingerprint(self) -> str:
        return self.debater.fingerprint

    async def __call__(self, view: View) -> Turn:
        async with span(f"{view.speaker}, {view.kind}, round {view.round}"):
            return await self.debater(view)


@dataclass(frozen=True)
class _ShownJudge:
    """A judge whose calls stand under its part."""

    judge: Judge
    part: str

    @property
    def name(self) -> str:
        return self.judge.name

    @property
    def fingerprint(self) -> str:
        return self.judge.fingerprint

    async def __call__(self, hearing: Hearing) -> Verdict:
        async with span(f"{self.part}, verdict, round {hearing.round}"):
            return await self.judge(hearing)
