"""The protocols as Inspect tasks: a sample for each game; `inspect view` shows what was said.

A game is a question in one of its seatings, and the accuracy is that over all of them. The model
that is evaluated debates, whatever side it is on; the model of the role "judge" judges, asks and
checks, and without one the same model does. Where nobody debates (blind, expert), it only judges.
"""

from __future__ import annotations

import dataclasses
import re
from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any, get_args

from inspect_ai import Task
from inspect_ai.dataset import Sample
from inspect_ai.model import ChatMessage, ChatMessageAssistant, ChatMessageUser
from inspect_ai.scorer import (
    Metric,
    SampleScore,
    Score,
    Scorer,
    Target,
    Value,
    accuracy,
    metric,
    scorer,
    stderr,
)
from inspect_ai.solver import Generate, Solver, TaskState, solver
from pydantic import TypeAdapter, ValidationError

from toprope.errors import UserError, unknown
from toprope.study import explained
from toprope.techniques.debate.arms import VARIANT, VARIANTS, Rules, arms
from toprope.techniques.debate.debaters import rendered, rendered_options
from toprope.techniques.debate.questions import Question
from toprope.techniques.debate.reading import load_questions
from toprope.techniques.debate.running import check_ids
from toprope.techniques.debate.task_players import JUDGE, Casting, TaskSettings, named
from toprope.techniques.debate.transcript import (
    Seating,
    Transcript,
    Turn,
    TurnOutcome,
    Verdict,
    VerdictOutcome,
    judged_on,
)

KEPT = "toprope_transcript"
"""Where a sample's metadata has the whole game, bets and scratchpads included."""


def make_task(
    protocol: str, rules: Mapping[str, Any], settings: Mapping[str, Any], *, asks: bool = False
) -> Task:
    """The task of a protocol.

    Args:
        protocol: of `toprope.techniques.debate.arms.KINDS`.
        rules: of `Rules`.
        settings: of `TaskSettings`.
        asks: whether the judge asks, where the protocol leaves it open.

    Raises:
        UserError: settings or questions that can't be used.
    """
    for key, value in rules.items():
        if type(value) is int and value < 1:
            raise UserError(f"toprope/{protocol}: {key} is {value}, and has to be 1 or more")
    try:
        kept = TypeAdapter(Rules).validate_python(dict(rules))
        given = TaskSettings.model_validate(dict(settings))
    except ValidationError as error:
        raise explained(error, TaskSettings, where=f"toprope/{protocol}") from None
    [arm] = arms([_with_variant(protocol, given.variant)], kept)
    questions = load_questions(given.questions, limit=given.limit, seed=given.seed)
    check_ids(questions.questions)
    return Task(
        dataset=[
            _sample(question, seating, number)
            for question in questions.questions
            for number, seating in enumerate(arm.game.seatings(question), 1)
        ],
        solver=play(Casting(arm, kept, questions, given, asks)),
        scorer=judged_right(),
        model_roles={JUDGE: named(given.judge)} if given.judge else None,
    )


def _with_variant(protocol: str, variant: str) -> str:
    """The name of an arm."""
    if not variant:
        return protocol
    if not re.fullmatch(VARIANT, variant):
        known = [f"{one}_4" for one in VARIANTS]
        raise unknown("variant", variant, known, where=f"toprope/{protocol}")
    return f"{protocol}_{variant}"


def _sample(question: Question, seating: Seating, number: int) -> Sample:
    return Sample(
        id=f"{question.id}/{number}",
        input=f"{question.text}\n\n{rendered_options(question, seating)}",
        target=seating.letter(question.answer),
        metadata={
            "question": question.id,
            "unit": question.unit,
            "seating": dataclasses.asdict(seating),
        },
    )


@solver
def play(casting: Casting) -> Solver:
    """Plays a sample's game: its public turns and its verdicts become messages, and all of it the
    sample's metadata."""

    async def solve(state: TaskState, generate: Generate) -> TaskState:
        ready = casting.ready()
        question = ready.questions[state.metadata["question"]]
        seating = TypeAdapter(Seating).validate_python(state.metadata["seating"])
        transcript = await casting.arm.game(question, seating, ready.players)
        state.messages = [ChatMessageUser(content=state.input_text), *_messages(transcript)]
        state.metadata[KEPT] = transcript.as_json()
        return state

    return solve


# --- what is shown ---


def _messages(transcript: Transcript) -> Iterator[ChatMessage]:
    """What is public, in order: a verdict stands behind the turns of its round."""
    turns, verdicts = judged_on(transcript.turns), transcript.verdicts
    rounds = range(max((one.round for one in (*turns, *verdicts)), default=0) + 1)
    for round in rounds:
        yield from (_turn_message(turn) for turn in turns if turn.round == round)
        for verdict in verdicts:
            if verdict.round == round:
                yield _verdict_message(transcript, verdict)


def _turn_message(turn: Turn) -> ChatMessage:
    about = {"speaker": turn.speaker, "round": turn.round, "kind": turn.kind}
    found = {key: getattr(turn, key) for key in ("outcome", "verified", "unverified", "tokens")}
    return ChatMessageAssistant(content=rendered([turn]), model=turn.by, metadata=about | found)


def _verdict_message(transcript: Transcript, verdict: Verdict) -> ChatMessage:
    seating = transcript.seating
    answer = "no answer" if verdict.answer is None else seating.letter(verdict.answer)
    shares = [
        f"{seating.letter(i)}: {verdict.probabilities[i]:.0%}"
        for i in seating.shown
        if verdict.probabilities
    ]
    lines = [f"Judge (round {verdict.round}): {answer}", ", ".join(shares), verdict.text]
    about = {"speaker": "Judge", "round": verdict.round, "outcome": verdict.outcome}
    return ChatMessageAssistant(content="\n\n".join(filter(None, lines)), metadata=about)


# --- how it's scored ---


@metric
def outcomes() -> Metric:
    """How many verdicts and turns came to what, and the accuracy if the judge had been right
    wherever it named no answer; where it named none it counts as wrong."""

    def counted(scores: list[SampleScore]) -> Value:
        about = [one.score.metadata or {} for one in scores]
        verdicts = Counter(one.get("outcome") for one in about)
        turns = sum((Counter(one.get("turns")) for one in about), Counter())
        silent = len(about) - verdicts["answered"]
        right = sum(one.score.as_float() for one in scores)
        return {
            "accuracy_at_most": (right + silent) / max(1, len(about)),
            **{f"verdicts_{name}": verdicts[name] for name in get_args(VerdictOutcome)},
            **{f"turns_{name}": turns[name] for name in get_args(TurnOutcome)},
        }

    return counted


@scorer(metrics=[accuracy(), stderr(cluster="unit"), outcomes()])
def judged_right() -> Scorer:
    """1 where the judge named the right answer in the end."""

    async def score(state: TaskState, target: Target) -> Score:
        transcript = Transcript.of_json(state.metadata[KEPT])
        verdict, seating = transcript.verdict, transcript.seating
        return Score(
            value=float(transcript.correct),
            answer="" if verdict.answer is None else seating.letter(verdict.answer),
            explanation=verdict.text or None,
            metadata={
                "outcome": verdict.outcome,
                "probability_of_right": verdict.probabilities[transcript.question.answer]
                if verdict.probabilities
                else None,
                "turns": Counter(turn.outcome for turn in transcript.turns),
                "bets": [
                    {"speaker": turn.speaker, "round": turn.round, "percent": turn.private.bet}
                    for turn in transcript.turns
                    if turn.kind == "bet"
                ],
            },
        )

    return score
