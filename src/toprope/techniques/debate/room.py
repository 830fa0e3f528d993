"""How much of a passage fits into what is read beside it, told before anything is asked.

Counted in each local model's own tokens, for the longest prompt that may come: its instructions,
the question, and every turn at its full length. A served model's context isn't known here.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from importlib.resources import files
from typing import TYPE_CHECKING, get_args

from toprope.errors import UserError
from toprope.models.chat import is_served
from toprope.techniques.debate.arms import EXPERT, Arm, Rules
from toprope.techniques.debate.casting import Cast
from toprope.techniques.debate.fitting import fitted
from toprope.techniques.debate.judges import Asked, longest_prompt
from toprope.techniques.debate.protocols.quoting import longest_speech, quotable
from toprope.techniques.debate.questions import Question
from toprope.techniques.debate.sets import QuestionSet

if TYPE_CHECKING:
    from toprope.models.local import LocalModel

LABEL = 32
"""Tokens of a speaker's name and round, and of the marks that two quotes get, for each turn."""
ANSWER = 16
"""Tokens of what a base model is asked to go on from."""
PRIVATE = 2
"""Turns that a debater reads of its own beside the public ones: a draft and its critique."""


def with_room(
    questions: QuestionSet, arms: Sequence[Arm], cast: Cast, rules: Rules, *, split: bool
) -> QuestionSet:
    """The questions, with passages that everyone who reads them has room for.

    Args:
        split: whether a passage that is too long is cut to what bears on the question; everyone
            then reads the same.

    Raises:
        UserError: without `split`, a passage is too long, and by how much; or turns alone are; or
            there's none where debaters say sentences of it.
    """
    _check_quotable(questions.questions, arms)
    parts = cast.parts
    spoken = [arm for arm in arms if not arm.is_control]
    judge_says = parts.judge_tokens if parts.judging == "chat" else 1
    heard = max((_turns(arm, questions, rules) for arm in spoken), default=0)
    quotes = max((arm.n for arm in arms if arm.is_quoting), default=0)
    asks = parts.max_tokens if cast.asker or cast.checker else 0
    _room(cast, parts.overseer, questions.questions, heard, max(judge_says, asks), quotes=quotes)
    if parts.rater and any(arm.is_rated for arm in arms):
        _room(cast, parts.rater, questions.questions, heard, 1)
    if any(arm.kind == EXPERT for arm in arms):
        room = _room(cast, parts.overseer, questions.questions, 0, judge_says)
        questions = _fitted(questions, cast, parts.overseer, room, split)
    if spoken:
        # A speaker reads all but its own next turn.
        drafts = PRIVATE if any(arm.variant == "critique_of" for arm in spoken) else 0
        turns = heard - 1 + drafts
        room = _room(
            cast,
            parts.target,
            questions.questions,
            turns,
            parts.max_tokens,
            judges=False,
            quotes=quotes,
        )
        questions = _fitted(questions, cast, parts.target, room, split)
    return questions


def _check_quotable(questions: Sequence[Question], arms: Sequence[Arm]) -> None:
    quoting = next((arm.name for arm in arms if arm.is_quoting), None)
    if not quoting:
        return
    for one in questions:
        if not quotable(one):
            raise UserError(
                f"in '{quoting}' debaters say sentences of the passage, and question '{one.id}' "
                f"has {'one without any' if one.passage else 'no passage'}: leave the protocol "
                "out, or take questions with passages"
            )


def _fitted(
    questions: QuestionSet, cast: Cast, name: str, room: int | None, split: bool
) -> QuestionSet:
    if room is None:
        return questions
    local = cast.locals[name]
    return fitted(
        questions, count=lambda text: _count(local, text), room=room, model=name, split=split
    )


def _turns(arm: Arm, questions: QuestionSet, rules: Rules) -> int:
    options = max(len(question.options) for question in questions.questions)
    return arm.about.turns(rules, options)


def _room(
    cast: Cast,
    name: str,
    questions: Sequence[Question],
    turns: int,
    answer: int,
    *,
    judges: bool = True,
    quotes: int = 0,
) -> int | None:
    """Tokens that a passage may have; None: the model is a served one.

    Args:
        turns: that are read.
        answer: tokens to write.
        judges: whether it reads as a judge; else it speaks.
        quotes: sentences of the passage that a turn may be.

    Raises:
        UserError: there's room for none.
    """
    if is_served(name):
        return None
    local = cast.locals[name]
    asked = max(_count(local, _asked(question, judges)) for question in questions)
    instructions = max(_count(local, text) for text in _instructions(judges))
    longest = max(cast.parts.max_tokens, _quoted(local, questions, quotes))
    spoken = turns * (longest + LABEL)
    room = local.context - _frame(local) - instructions - asked - spoken - answer
    if room <= 0:
        raise UserError(
            f"'{name}' reads {local.context:,} tokens at most, and what it may have to read and "
            f"say beside the passage has {local.context - room:,}, {spoken:,} of them in "
            f"{turns} turns of up to {longest:,}: take fewer rounds, "
            f"{'a smaller max_tokens' if longest == cast.parts.max_tokens else 'fewer quotes'}, or "
            "another model"
        )
    return room


def _quoted(local: LocalModel, questions: Sequence[Question], quotes: int) -> int:
    """Tokens of the longest speech of so many sentences."""
    if not quotes:
        return 0
    return max(_count(local, longest_speech(one, quotes)) for one in questions)


def _asked(question: Question, judges: bool) -> str:
    """A question as prompts have it; one of its options stands there twice, for a judge each has a
    line for its probability."""
    longest = max(question.options, key=len)
    lines = [f"A. {one}" for one in question.options]
    form = ["A: (percent)"] * len(question.options) if judges else []
    return "\n".join((question.text, *lines, longest, *form))


def _count(local: LocalModel, text: str) -> int:
    return len(local.tokenizer(text, add_special_tokens=False).input_ids)


def _frame(local: LocalModel) -> int:
    """Tokens that a chat template, or what a base model is asked, puts around a prompt."""
    if local.tokenizer.chat_template:
        return len(local.tokens([{"role": "user", "content": "?"}]))
    return ANSWER


@cache
def _instructions(judges: bool) -> tuple[str, ...]:
    """The prompts of the judge, or of everyone else."""
    folder = files("toprope.techniques.debate").joinpath("prompts")
    texts = tuple(
        path.read_text(encoding="utf-8")
        for path in folder.iterdir()
        if path.name.endswith(".md") and path.name.startswith(("judge_", "overseer_")) == judges
    )
    return (*texts, *map(longest_prompt, get_args(Asked))) if judges else texts
