"""A measured cost's growth with a dictionary's width, to hold against what `plan.py` says."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from toprope.errors import UserError


@dataclass(frozen=True)
class Slope:
    """`fixed + per_latent * width`.

    Attributes:
        worst: the largest relative error of the line at a measured width.
    """

    fixed: float
    per_latent: float
    worst: float

    def at(self, width: float) -> float:
        return self.fixed + self.per_latent * width


def slope(widths: Sequence[int], costs: Sequence[float]) -> Slope:
    """The line through costs (bytes, or seconds a token) with the least squared relative error, so
    that a narrow dictionary counts for as much as a wide one.

    Raises:
        UserError: fewer than two widths, or a cost that isn't positive.
    """
    if len(set(widths)) < 2:
        raise UserError("a slope takes measurements at two widths or more")
    x_N, y_N = np.array(widths, dtype=float), np.array(costs, dtype=float)
    if (y_N <= 0).any():
        raise UserError(f"a cost is above zero, and one that was measured is {y_N.min():g}")
    per_latent, fixed = np.polyfit(x_N, y_N, 1, w=1 / y_N)
    worst = float(np.max(np.abs(fixed + per_latent * x_N - y_N) / y_N))
    return Slope(float(fixed), float(per_latent), worst)
