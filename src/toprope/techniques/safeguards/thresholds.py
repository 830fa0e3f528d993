"""Thresholds: how high a score must be before an exchange is stopped, set on harmless traffic to a
refusal budget.

Where the whole exchange counts, its score is the highest of its positions. A threshold that is set
on some exchanges and measured on the same ones looks better than it is: set it on one part, and
measure it on another.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from toprope.errors import UserError

BUDGET = 0.001
"""The share of harmless exchanges that may be stopped, if nothing else is said."""


@dataclass(frozen=True)
class Cascade:
    """Two stages: a cheap score for everything, and a dear one only where the first is unsure.

    Attributes:
        escalate: cheap scores from here on go to the second stage.
        stop: second scores from here on stop the exchange.
    """

    escalate: float
    stop: float

    def stops(self, cheap_N: NDArray, dear_N: NDArray) -> NDArray:
        """[N]; `dear_N` is read only where the first stage escalates."""
        return (_double(cheap_N) >= self.escalate) & (_double(dear_N) >= self.stop)

    def escalation(self, cheap_N: NDArray) -> float:
        """The share of exchanges that the second stage reads."""
        return float((_double(cheap_N) >= self.escalate).mean())


def threshold(harmless_N: NDArray, budget: float = BUDGET) -> float:
    """The lowest threshold that stops no more than a share `budget` of some harmless exchanges.

    Args:
        harmless_N: their scores.

    Raises:
        UserError: so few exchanges that the budget is less than one of them, a budget that is no
            share, or a score that is no number.
    """
    if not 0 < budget <= 1:
        raise UserError(f"a refusal budget is a share above 0 and up to 1, not {budget}")
    n = len(harmless_N)
    may_stop = int(np.floor(budget * n + 1e-9))
    if may_stop < 1:
        reachable = f"{1 / n:.2%} is the least that they can show" if n else "there are none"
        raise UserError(
            f"a refusal budget of {budget:.3%} can't be set on {n:,} harmless exchanges: "
            f"{reachable}; give it {int(np.ceil(1 / budget)):,} or a larger budget"
        )
    ranked_N = np.sort(_double(harmless_N))[::-1]
    if np.isnan(ranked_N).any():
        raise UserError("some harmless exchanges have no score (not a number)")
    # Stops the exchanges above the first that must pass, ties with it passing too.
    return float(np.nextafter(ranked_N[may_stop], np.inf)) if may_stop < n else float(ranked_N[-1])


def cascade(
    cheap_N: NDArray, dear_N: NDArray, *, escalation: float, budget: float = BUDGET
) -> Cascade:
    """A cascade on harmless exchanges: at most a share `escalation` of them is read twice, and at
    most `budget` is stopped.

    Args:
        cheap_N, dear_N: both stages' scores of the same exchanges.

    Raises:
        UserError: as `threshold`.
    """
    first = threshold(cheap_N, escalation)
    escalated_N = np.where(_double(cheap_N) >= first, _double(dear_N), -np.inf)
    return Cascade(first, threshold(escalated_N, budget))


def _double(scores_N: NDArray) -> NDArray:
    """A threshold lies between two numbers of double precision, which single can't tell apart."""
    return np.asarray(scores_N, dtype=np.float64)
