"""Who plays in a study: models as judge, debaters, asker and overseer."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal, Self

from toprope.errors import UserError
from toprope.journal import Journal
from toprope.lab import Lab
from toprope.models.chat import Chat, is_served
from toprope.techniques.debate.arms import Arm
from toprope.techniques.debate.debaters import ChatDebater, Debater
from toprope.techniques.debate.judges import ChatJudge, Judge, LocalJudge
from toprope.techniques.debate.protocols.stage import Players
from toprope.techniques.debate.remembering import Remembering, RememberingJudge

if TYPE_CHECKING:
    from toprope.models.local import LocalModel

Judging = Literal["letters", "answers", "chat"]


@dataclass(frozen=True)
class Parts:
    """Which model has which part, and how it plays it.

    Attributes:
        rater: who says how persuasive speeches are, where one of several is said; "": the judge.
        asks: whether a judge who may ask questions does.
        words, max_tokens, temperature: of a turn.
        judge_tokens: of a verdict that is said.
        limits: of a chat (`Lab.chat`).
    """

    overseer: str
    target: str
    rater: str
    judging: Judging
    asks: bool
    words: int
    max_tokens: int
    temperature: float
    judge_tokens: int
    seed: int
    limits: Mapping[str, Any]


@dataclass(frozen=True)
class Cast:
    """The players of a study.

    Attributes:
        debater: of every side; None where nobody debates.
        reader: the debaters' model as one that reads sentences of a passage; None where nobody
            says them.
        asker: the judge as one who asks; None where it doesn't.
        checker: the judge as one who checks steps; None where nobody does.
        chats, locals: the models behind them, by their names.
    """

    parts: Parts
    judge: Judge
    rater: Judge
    debater: Debater | None
    asker: Debater | None
    chats: Mapping[str, Chat]
    locals: Mapping[str, LocalModel]
    reader: Judge | None = None
    checker: Debater | None = None

    def players(self, arm: Arm, sides: Sequence[Arm] = ()) -> Players:
        """The players of an arm's game.

        Args:
            sides: arms that each option's debater is taken from, in turn; none: all from the arm.
        """
        return Players(
            self.judge,
            tuple(
                side.debater(self.debater, self.rater, self.reader)
                for side in sides or (arm,)
                if self.debater and not side.is_control
            ),
            asker=self.asker if _is_interactive(arm, self.parts.asks) else None,
            overseer=self.checker if arm.about.checks else None,
        )

    def remembering(self, journal: Journal) -> Self:
        """The same players, with a debater whose turns are kept, and what it reads for them."""
        return replace(
            self,
            debater=self.debater and Remembering(self.debater, journal),
            reader=self.reader and RememberingJudge(self.reader, journal),
        )


def make_cast(lab: Lab, arms: Sequence[Arm], parts: Parts) -> Cast:
    """Opens the models that the arms need.

    Raises:
        UserError: there's no such model, or it can't do what its part needs.
    """
    chats: dict[str, Chat] = {}
    locals: dict[str, LocalModel] = {}

    def chat(name: str, why: str) -> Chat:
        if name not in chats:
            try:
                chats[name] = lab.chat(name, **parts.limits)
            except UserError as error:
                raise UserError(f"{why}: {error}") from None
            if not is_served(name):
                locals[name] = lab.local(name)
        return chats[name]

    def judge(name: str, by: Judging) -> Judge:
        if by == "chat":
            said = chat(name, f"judge '{name}' is to say its answer")
            return ChatJudge(said, parts.judge_tokens, seed=parts.seed)
        locals[name] = lab.local(name)
        return judge_of(lab, name, by)

    def speaker(name: str, why: str) -> ChatDebater:
        settings = parts.words, parts.max_tokens, parts.temperature, parts.seed
        return ChatDebater(chat(name, why), *settings)

    def checker(arm: str) -> ChatDebater:
        checks = speaker(parts.overseer, f"a judge that checks steps is needed for {arm}")
        return replace(checks, temperature=0.0)

    made = judge(parts.overseer, parts.judging)
    rater = parts.rater if parts.rater and any(arm.is_rated for arm in arms) else ""
    speaking = next((arm.name for arm in arms if not arm.is_control), None)
    quoting = any(arm.is_quoting for arm in arms)
    asking = next((arm.name for arm in arms if _is_interactive(arm, parts.asks)), None)
    checking = next((arm.name for arm in arms if arm.about.checks), None)
    return Cast(
        parts,
        made,
        judge(rater, rating_of(rater, parts.judging)) if rater else made,
        speaker(parts.target, f"a debater is needed for {speaking}") if speaking else None,
        speaker(parts.overseer, f"a judge that asks is needed for {asking}") if asking else None,
        chats,
        locals,
        judge(parts.target, reading_of(parts.target)) if quoting else None,
        checker(checking) if checking else None,
    )


def judge_of(lab: Lab, name: str, by: Judging) -> Judge:
    """A judge that needs no more than its model.

    Raises:
        UserError: there's no such model, or it can't judge so.
    """
    if by == "chat":
        return ChatJudge(lab.chat(name))
    local = lab.local(name)
    if not local.is_causal:
        raise UserError(f"judge '{name}' is an encoder: it names no {by}; take another")
    return LocalJudge(local, by)


def reading_of(name: str) -> Judging:
    """How a model says which answer a sentence supports: by the answers' words where it's local,
    since by letters a small one says the same of every sentence."""
    return "chat" if is_served(name) else "answers"


def rating_of(name: str, judging: Judging) -> Judging:
    """How a rater judges: as the judge does, where it can."""
    default = judging_of(name)
    return default if "chat" in (default, judging) else judging


def judging_of(name: str) -> Judging:
    """How a model judges unless it's said: by letters where their probabilities can be had."""
    return "chat" if is_served(name) else "letters"


def _is_interactive(arm: Arm, asks: bool) -> bool:
    return arm.about.asks == "always" or (arm.about.asks == "may" and asks)
