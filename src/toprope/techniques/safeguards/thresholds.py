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
            share, a score that is no number, or so many of the highest score that nothing could be
            stopped within the budget.
    """
    return _lowest(harmless_N, budget, "refusal budget")


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
    first = _lowest(cheap_N, escalation, "share of escalations")
    escalated_N = np.where(_double(cheap_N) >= first, _double(dear_N), -np.inf)
    return Cascade(first, threshold(escalated_N, budget))


def _lowest(scores_N: NDArray, share: float, what: str) -> float:
    """The lowest threshold that no more than a share of the scores reach; `what`: the share's name
    in errors."""
    if not 0 < share <= 1:
        raise UserError(f"a {what} is a share above 0 and up to 1, not {share}")
    n = len(scores_N)
    may_reach = int(np.floor(share * n + 1e-9))
    if may_reach < 1:
        reachable = f"{1 / n:.2%} is the least that they can show" if n else "there are none"
        raise UserError(
            f"a {what} of {share:.3%} can't be set on {n:,} harmless exchanges: {reachable}; give "
            f"it {int(np.ceil(1 / share)):,} or a larger share"
        )
    ranked_N = np.sort(_double(scores_N))[::-1]
    if np.isnan(ranked_N).any():
        raise UserError("some harmless exchanges have no score (not a number)")
    highest = int((ranked_N >= 1).sum())
    if highest > may_reach:
        raise UserError(
            f"a {what} of {share:.3%} can't be met: {highest:,} of {n:,} harmless exchanges have "
            f"the highest score there is, 1; give a share of {_up(highest / n):.3%} or more, or "
            "train on more harmless exchanges"
        )
    # Reached by the exchanges above the first that must pass, ties with it passing too. What hasn't
    # been read yet scores 0, which no threshold may be.
    above = ranked_N[may_reach] if may_reach < n else np.nextafter(ranked_N[-1], -np.inf)
    return float(np.nextafter(max(above, 0.0), np.inf))


def _up(share: float) -> float:
    """To a thousandth of a percent: a share that is given as it's printed must be enough."""
    return min(1.0, np.ceil(share * 1e5) / 1e5)


def _double(scores_N: NDArray) -> NDArray:
    """A threshold lies between two numbers of double precision, which single can't tell apart."""
    return np.asarray(scores_N, dtype=np.float64)
