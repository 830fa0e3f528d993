"""Intervals of how often the truth wins: images are resampled, and judges of several seeds too.

Shapes: S judges, N images.
"""

import numpy as np
from numpy.typing import NDArray

from toprope.statistics import (
    RESAMPLES,
    Interval,
    bootstrap_clustered,
    bootstrap_paired,
    crossed_bootstrap,
)

Scores = NDArray[np.float64]


def interval_of(
    score_SN: Scores, *, rng: np.random.Generator, resamples: int = RESAMPLES
) -> Interval:
    """The mean score; judges and images are resampled, or images only where there is one judge or
    all scores are alike."""
    images_N = np.arange(score_SN.shape[1])
    if len(score_SN) == 1 or np.ptp(score_SN) == 0:
        by_image_N = score_SN.mean(axis=0)
        return bootstrap_clustered(by_image_N, images_N, rng=rng, resamples=resamples)
    return crossed_bootstrap(
        {"a": score_SN}, images_N, lambda accuracy: accuracy["a"], rng=rng, resamples=resamples
    )


def gain_of(
    ours_SN: Scores,
    theirs_SN: Scores,
    *,
    rng: np.random.Generator,
    resamples: int = RESAMPLES,
) -> Interval:
    """The mean of one less that of the other, on the same judges and images."""
    if len(ours_SN) == 1 or np.ptp(ours_SN - theirs_SN) == 0:
        ours_N, theirs_N = ours_SN.mean(axis=0), theirs_SN.mean(axis=0)
        return bootstrap_paired(ours_N, theirs_N, rng=rng, resamples=resamples)
    return crossed_bootstrap(
        {"a": ours_SN, "b": theirs_SN},
        np.arange(ours_SN.shape[1]),
        lambda accuracy: accuracy["a"] - accuracy["b"],
        rng=rng,
        resamples=resamples,
    )


def unit_of(interval: Interval) -> str:
    """What an interval's n counts: "judges" or "images"."""
    return "judges" if interval.method == "crossed bootstrap" else "images"
