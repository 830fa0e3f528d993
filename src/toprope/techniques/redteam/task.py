"""Red-teaming as an Inspect task: a sample for each behaviour; `inspect view` shows its transcript.

It runs the attacks in their order, up to the first success; the study (`study.py`) is what learns
across behaviours and corrects its rates.
"""

from __future__ import annotations

import json
import tempfile
from pathlib import Path
from typing import Any

from inspect_ai import Task
from inspect_ai.dataset import Sample
from inspect_ai.model import ChatMessage, ChatMessageAssistant, ChatMessageUser, get_model
from inspect_ai.scorer import Score, Scorer, Target, mean, scorer, stderr
from inspect_ai.solver import Generate, Solver, TaskState, solver

from toprope.data.behaviours import load_behaviours
from toprope.data.seeding import named_rng
from toprope.errors import UserError
from toprope.lab import Lab
from toprope.models.chat import Chat
from toprope.techniques.redteam.attacks import arms
from toprope.techniques.redteam.attacks.attack import Attack
from toprope.techniques.redteam.attempts import (
    SUCCESS,
    Attempt,
    Budget,
    Case,
    Judge,
    OutOfBudgetError,
)
from toprope.techniques.redteam.attempts import Target as Attacked
from toprope.techniques.redteam.judges import make_judge
from toprope.techniques.redteam.judges.calibration import find

KEPT = "toprope_attempt"
TOLD = ("family", "strategy", "outcome", "score", "queries")


def make_task(
    *,
    behaviours: str,
    attacks: str,
    judge: str,
    attacker: str,
    queries: int,
    limit: int | None,
    max_tokens: int,
    seed: int,
) -> Task:
    """The task; its settings are those of `toprope._inspect.redteam`.

    Raises:
        UserError: settings that can't be used, or a judge that isn't calibrated.
    """
    data = load_behaviours(behaviours, limit=limit, seed=seed)
    lab = Lab(Path(tempfile.mkdtemp(prefix="toprope-")))
    found = make_judge(judge, lab)
    find(found, "harm")
    chosen = arms([name.strip() for name in attacks.split(",")])
    writer = lab.chat(attacker) if attacker else None
    for arm in chosen:
        if arm.needs_insides:
            raise UserError(f"the attack '{arm.family}' needs gradients: use 'toprope redteam'")
        if arm.needs_attacker and writer is None:
            raise UserError(f"the attack '{arm.family}' is written by a model: -T attacker=MODEL")
    samples = [
        Sample(input=one.request, id=one.id, metadata={"category": one.category})
        for one in data.behaviours
    ]
    by_id = {one.id: one for one in data.behaviours}

    @solver
    def attack() -> Solver:
        async def solve(state: TaskState, generate: Generate) -> TaskState:
            model = get_model()
            target = Attacked(
                Chat(str(model), model, str(model), as_configured=True),
                found,
                max_tokens=max_tokens,
            )
            budget = Budget(queries)
            behaviour = by_id[str(state.sample_id)]
            for arm in chosen:
                rng = named_rng(seed, behaviour.id, arm.family, arm.name)
                case = Case(behaviour, target, writer, budget, rng, arm.family, arm.name)
                attempt = await _first_success(arm, case)
                if attempt is not None:
                    state.messages = _messages(attempt)
                    state.metadata[KEPT] = attempt.as_json()
                    if attempt.success:
                        break
            return state

        return solve

    return Task(dataset=samples, solver=attack(), scorer=attack_success(found), name="redteam")


async def _first_success(arm: Attack, case: Case) -> Attempt | None:
    """The arm's first success, or else the last of its attempts."""
    last = None
    search = arm.search(case)
    try:
        async for attempt in search:
            last = attempt
            if attempt.success:
                break
    except OutOfBudgetError:
        pass
    finally:
        await search.aclose()
    return last


@scorer(metrics=[mean(), stderr()])
def attack_success(judge: Judge) -> Scorer:
    """1 where the judge says that the target did what it should have declined."""

    async def score(state: TaskState, target: Target) -> Score:
        kept: dict[str, Any] = state.metadata.get(KEPT) or {}
        value = float((kept.get("score") or 0.0) >= SUCCESS)
        about = {key: kept.get(key) for key in TOLD}
        return Score(
            value=value,
            answer=kept.get("response", ""),
            explanation=f"judge {judge.name}, as judged: {json.dumps(about)}",
            metadata=about,
        )

    return score


def _messages(attempt: Attempt) -> list[ChatMessage]:
    made: list[ChatMessage] = [
        ChatMessageUser(content=one["content"])
        if one["role"] == "user"
        else ChatMessageAssistant(content=one["content"])
        for one in attempt.messages
    ]
    return [*made, ChatMessageAssistant(content=attempt.response)]
