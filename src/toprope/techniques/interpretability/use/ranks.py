"""How well numbers tell two sets apart: the area under the ROC curve with DeLong's interval (DeLong
et al. 1988), and the test of Mann and Whitney (1947)."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import special, stats

from toprope.resampling import Floats
from toprope.statistics import LEVEL
from toprope.techniques.interpretability.quality.measure import Measure


def auroc(first_NF: NDArray, second_NF: NDArray) -> tuple[Floats, Floats]:
    """Each latent's area under the curve [F], and its standard error by DeLong et al. [F]."""
    n, m = len(first_NF), len(second_NF)
    ranks = stats.rankdata(np.concatenate([first_NF, second_NF]), axis=0)
    # The share of the other set that each text beats.
    beats_first = (ranks[:n] - stats.rankdata(first_NF, axis=0)) / m
    beats_second = (ranks[n:] - stats.rankdata(second_NF, axis=0)) / n
    variance_F = beats_first.var(0, ddof=1) / n + beats_second.var(0, ddof=1) / m
    return beats_first.mean(0), np.sqrt(variance_F)


def auroc_measure(area: float, error: float, n: int) -> Measure:
    """DeLong's interval on the logit's scale, which keeps it between 0 and 1. Where the sets don't
    overlap, it has no width: then that of half a pair."""
    inside = min(max(area, 0.5 / n), 1 - 0.5 / n)
    slope = 1 / (inside * (1 - inside))
    half = special.ndtri((1 + LEVEL) / 2) * max(error, 0.5 / n) * slope
    centre = special.logit(inside)
    return Measure(
        float(area),
        float(min(area, special.expit(centre - half))),
        float(max(area, special.expit(centre + half))),
        n,
        0.5,
    )


def p_values(first_NF: NDArray, second_NF: NDArray) -> Floats:
    """Two-sided, of Mann and Whitney's test with ties; 1 where a latent is alike on all texts."""
    both = np.concatenate([first_NF, second_NF])
    p_F = np.ones(both.shape[1])
    varied = np.flatnonzero((both != both[0]).any(0))
    if len(varied):
        found = stats.mannwhitneyu(
            first_NF[:, varied], second_NF[:, varied], axis=0, method="asymptotic"
        )
        p_F[varied] = found.pvalue
    return p_F
