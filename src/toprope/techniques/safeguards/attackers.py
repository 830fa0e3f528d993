"""Attackers that know of the guard: one that sees only whether it was stopped, one that breaks the
stages one at a time.

Both put an attack together from three parts: how the request is written (noise), how it is framed,
and what form the answer is to have. What they learn from an attempt decides which part changes.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Sequence
from dataclasses import dataclass, replace
from functools import cache

import numpy as np

from toprope.techniques.redteam.attacks import evasions, templated
from toprope.techniques.redteam.attacks.best_of_n import noisy
from toprope.techniques.redteam.attempts import Attempt, Case, user

MOST = 20
"""Attempts at a behaviour."""

PARTS = ("noise", "frame", "form")


@dataclass(frozen=True)
class Plan:
    """An attack in parts.

    Attributes:
        noise: its strength, 0 to 1 (see `best_of_n`).
        frame: a template with the request in it, or None: plain.
        form: how the answer is to be written, or None.
    """

    noise: float = 0.0
    frame: templated.Templated | None = None
    form: evasions.Evasion | None = None

    def text(self, request: str, rng: np.random.Generator) -> str:
        text = noisy(request, rng, self.noise) if self.noise else request
        if self.frame is not None:
            text = self.frame.turns[-1].replace(templated.SLOT, text)
        return self.form.framed(text) if self.form is not None else text


@dataclass(frozen=True)
class FlagBit:
    """Sees only the flag: where it was stopped it changes what the guard may have seen, the noise
    or the answer's form; where it wasn't and still had no success, the framing, which is what the
    target answers to."""

    family: str = "flag_bit"
    name: str = "flag_bit"
    needs_attacker: bool = False
    needs_insides: bool = False

    def search(self, case: Case) -> AsyncGenerator[Attempt, None]:
        return _search(case, self._next)

    @staticmethod
    def _next(attempt: Attempt, rng: np.random.Generator) -> str:
        return PARTS[int(rng.integers(len(PARTS)))] if attempt.flagged else "frame"


@dataclass(frozen=True)
class StageByStage:
    """Breaks one stage after another: first it looks for a way of asking at which the answer
    begins, then keeps it and looks for a form of the answer that comes through whole."""

    family: str = "stage_by_stage"
    name: str = "stage_by_stage"
    needs_attacker: bool = False
    needs_insides: bool = False

    def search(self, case: Case) -> AsyncGenerator[Attempt, None]:
        return _search(case, self._next)

    @staticmethod
    def _next(attempt: Attempt, rng: np.random.Generator) -> str:
        if not attempt.flagged:
            return "frame"
        if attempt.response.strip():
            return "form"  # begun, and stopped on the way
        return ("noise", "frame")[int(rng.integers(2))]


AWARE = (FlagBit(), StageByStage())


async def _search(
    case: Case, next_part: Callable[[Attempt, np.random.Generator], str]
) -> AsyncGenerator[Attempt, None]:
    """Attempts, after each of which one part changes: the one that `next_part` says."""
    plan = _changed(Plan(), "frame", case.rng)
    for _ in range(MOST):
        attempt = await case.attempt(user(plan.text(case.behaviour.request, case.rng)))
        yield attempt
        plan = _changed(plan, next_part(attempt, case.rng), case.rng)


def _changed(plan: Plan, part: str, rng: np.random.Generator) -> Plan:
    """The plan with another of this part, drawn."""
    if part == "noise":
        return replace(plan, noise=float(rng.choice([0.0, 0.1, 0.3, 0.6])))
    options: Sequence = _frames() if part == "frame" else _forms()
    others = [one for one in (None, *options) if one != getattr(plan, part)]
    return replace(plan, **{part: others[int(rng.integers(len(others)))]})


@cache
def _frames() -> tuple[templated.Templated, ...]:
    """The templates of one turn."""
    every = [one for some in templated.built_in().values() for one in some]
    return tuple(one for one in every if len(one.turns) == 1)


@cache
def _forms() -> tuple[evasions.Evasion, ...]:
    return tuple(one for some in evasions.built_in().values() for one in some)
