"""What the bootstraps of `toprope.statistics` are made of: drawing units, reading an interval.

Resamples are never built: a resample is how often each unit was drawn, and a mean over it is a
product of matrices. Weights come in chunks, so that memory stays flat as data and resamples grow.

Intervals are *expanded percentile* intervals (Hesterberg 2015, arXiv 1411.5279): the percentile
method with its tails moved outward, so that the mean of G units is covered as by Student's t on
G - 1 degrees of freedom. The plain percentile and BCa intervals of ten seeds cover about 90% where
they claim 95%. These cover 95%, and of eight normal values still 94%, of five 91%; with three or
four the bounds are the extremes, and no bootstrap keeps its promise.

Shapes: R resamples, U units (clusters, groups, seeds), N observations.
"""

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import special

from toprope.errors import UserError

Floats = NDArray[np.float64]

MOST_CELLS = 2**21  # of a matrix of weights held at once: 16 MB of float64


def chunks(resamples: int, width: int) -> Iterator[int]:
    """Numbers of resamples that add up to `resamples`, each of at most MOST_CELLS / width."""
    most = max(1, MOST_CELLS // width)
    for done in range(0, resamples, most):
        yield min(most, resamples - done)


def draw(units: int, resamples: int, rng: np.random.Generator) -> Floats:
    """How often each unit comes up in `units` draws with replacement, [R, U]: multinomial rows."""
    drawn_RU = rng.integers(0, units, (resamples, units))
    # Counting into one long row is several times faster than `rng.multinomial`.
    cells = (drawn_RU + units * np.arange(resamples)[:, None]).ravel()
    counts = np.bincount(cells, minlength=resamples * units)
    return counts.reshape(resamples, units).astype(np.float64)


def draws(units: int, resamples: int, rng: np.random.Generator) -> Iterator[Floats]:
    """`draw` in chunks [r, U], R rows in all."""
    for rows in chunks(resamples, units):
        yield draw(units, rows, rng)


def unit_codes(labels: ArrayLike | None, n: int) -> tuple[NDArray[np.int64], int]:
    """Labels [N] as codes 0 .. U-1, in the labels' order, and U. Without labels each is a unit.

    Raises:
        UserError: there are no observations, or only one unit: nothing varies between resamples.
    """
    if n == 0:
        raise UserError("no observations: there is nothing to estimate from")
    if labels is None:
        codes_N = np.arange(n)
    else:
        labels_N = np.asarray(labels)
        if labels_N.shape != (n,):
            raise ValueError(f"labels of shape {labels_N.shape} for {n} observations")
        codes_N = np.unique(labels_N, return_inverse=True)[1]
    units = int(codes_N.max()) + 1
    if units < 2:
        raise UserError(
            "one cluster only: an interval needs at least two (more prompts, groups or seeds)"
        )
    return codes_N, units


def expanded_percentile(estimates_R: Floats, level: float, freedom: float) -> tuple[float, float]:
    """The bounds for a statistic whose spread is known with `freedom` degrees of freedom.

    An estimate that isn't finite (0/0, x/0) counts as the worst case at both ends. So a bound is
    infinite where more resamples are undefined than the tail may hold.
    """
    t = special.stdtrit(freedom, (1 + level) / 2)
    tail = special.ndtr(-np.sqrt((freedom + 1) / freedom) * t)
    undefined_R = ~np.isfinite(estimates_R)
    # Methods without interpolation: between two infinities it would give NaN.
    low = np.quantile(np.where(undefined_R, -np.inf, estimates_R), tail, method="lower")
    high = np.quantile(np.where(undefined_R, np.inf, estimates_R), 1 - tail, method="higher")
    return float(low), float(high)


def satterthwaite(parts: Sequence[Floats], freedoms: Sequence[int]) -> float:
    """Degrees of freedom of a spread that is the sum of independent parts.

    Satterthwaite 1946 (Biometrics Bulletin 2:110). At least the smallest of `freedoms`.

    Args:
        parts: for each part, the estimates [R] when it alone is resampled.
        freedoms: for each part, its units less one.
    """
    # Spread by quantiles: in a ratio's standard deviation a few tiny denominators are everything.
    tails = special.ndtr([-1, 1])
    spreads = [np.diff(np.quantile(part, tails, method="nearest")).item() for part in parts]
    total = sum(spread**2 for spread in spreads)
    if total == 0 or not np.isfinite(total):
        return min(freedoms)
    return total**2 / sum(s**4 / f for s, f in zip(spreads, freedoms, strict=True))
