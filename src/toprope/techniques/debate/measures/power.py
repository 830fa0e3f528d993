"""The smallest difference that a comparison could have found: what a null result rules out.

The minimum detectable effect of Bloom 1995 (Evaluation Review 19:547): a true difference of
(t(1 - alpha/2) + t(power)) standard errors is found with that power.
"""

import math

import numpy as np
from numpy.typing import ArrayLike
from scipy import special

from toprope.resampling import unit_codes
from toprope.statistics import LEVEL

POWER = 0.8
SAME = 1e-9
"""Standard errors no larger are those of rounding."""


def smallest_detectable(
    differences: ArrayLike,
    units: ArrayLike | None = None,
    *,
    level: float = LEVEL,
    power: float = POWER,
) -> float | None:
    """For the mean of paired differences, whose standard error is that over units; None: all are
    alike, and tell nothing of others.

    Args:
        differences: [N], such as two arms' accuracies on each question.
        units: [N] labels of what is independent; None: each by itself.

    Raises:
        UserError: fewer than two units.
    """
    values_N = np.asarray(differences, float)
    codes_N, n = unit_codes(units, len(values_N))
    sums_G = np.bincount(codes_N, weights=values_N - values_N.mean())
    error = math.sqrt(n / (n - 1) * float(sums_G @ sums_G)) / len(values_N)
    found = special.stdtrit(n - 1, (1 + level) / 2) + special.stdtrit(n - 1, power)
    return float(found * error) if error > SAME else None
