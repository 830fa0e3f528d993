"""A linear head that tells the right answer's letter from the wrong ones of the same hearing.

It learns from differences: the state of the right option's letter minus that of a wrong one. What
the question, the words and the asking have in common drops out. That one option beats another with
a probability that depends on the difference of their scores is Bradley and Terry's model (1952,
Biometrika 39:324); softmax over a hearing's scores extends it to any number of options.

The weights are those of ridge regression of the differences on one. Which layer to read, how strong
the regularisation is and how sharp the probabilities are is decided by scores of questions left
out, whole groups of them at a time, each with all its seatings: in closed form, as `models/heads`
leaves out one item (Allen 1974). Where nothing is to be learned, the probabilities so stay near
even ones.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from toprope.models.heads import STRENGTHS, Axes, Head
from toprope.techniques.debate.trained.reading import Places

SHARPEST = 10.0
"""Of scores in units of their root mean square: beyond it, a few questions tell nothing."""
BLUNTEST = 1e-3


@dataclass(frozen=True)
class Fit:
    """
    Attributes:
        head: from a letter's state at the layer to its score, [N, 1].
        strength: of the regularisation, in units of a standardised feature's variance.
        surprise: minus the mean log-probability of right answers left out.
    """

    head: Head
    layer: int
    strength: float
    surprise: float


@dataclass(frozen=True)
class Differences:
    """Right options minus wrong ones.

    Attributes:
        x_MD: a row for each wrong option of each hearing, hearings one after another.
        starts: the first row of each hearing.
        blocks: the rows of each group of questions.
    """

    x_MD: NDArray
    starts: NDArray[np.int64]
    blocks: Sequence[NDArray[np.int64]]


def fit(
    states: Mapping[int, NDArray],
    places: Sequence[Places],
    right: Sequence[int],
    units: Sequence[str],
) -> Fit:
    """The head of the layer and strength under which questions left out surprise least.

    Args:
        states: layer -> the states of letters, [N, D].
        places: of each hearing's options, among them.
        right: of each hearing, the option that is.
        units: what is left out together with each hearing.
    """
    found = [
        _fit_layer(layer, differences(x_ND, places, right, units)) for layer, x_ND in states.items()
    ]
    return min(found, key=lambda one: one.surprise)


def differences(
    x_ND: NDArray, places: Sequence[Places], right: Sequence[int], units: Sequence[str]
) -> Differences:
    rows, counts = [], []
    for place, one in zip(places, right, strict=True):
        wrong = np.delete(place, one)
        rows.append(x_ND[place[one]].astype(np.float64) - x_ND[wrong])
        counts.append(len(wrong))
    unit_M = np.repeat(np.unique(units, return_inverse=True)[1], counts)
    blocks = [np.flatnonzero(unit_M == unit) for unit in range(unit_M.max() + 1)]
    return Differences(np.concatenate(rows), np.cumsum([0, *counts[:-1]]), blocks)


def _fit_layer(layer: int, found: Differences) -> Fit:
    # Each difference is there the other way round too: their mean is zero, and the bias none.
    axes = Axes.of(np.concatenate([found.x_MD, -found.x_MD]))
    z_MR = axes.z_NR[: len(found.x_MD)]
    weight_PR = z_MR.mean(0) / (axes.variance_R + STRENGTHS[:, None])
    left_out_PM = _left_out(z_MR, axes.variance_R, weight_PR, found.blocks)
    surprises, sharpness = zip(*(_sharpened(one, found.starts) for one in left_out_PM), strict=True)
    best = int(np.argmin(surprises))
    weight_D1 = (axes.rotation_DR @ weight_PR[best] * sharpness[best])[:, None]
    zero_D = np.zeros(len(weight_D1))
    head = Head(zero_D, axes.scale_D, weight_D1, np.zeros(1))
    return Fit(head, layer, float(STRENGTHS[best]), surprises[best])


def _left_out(
    z_MR: NDArray, variance_R: NDArray, weight_PR: NDArray, blocks: Sequence[NDArray[np.int64]]
) -> NDArray:
    """[P, M]: the score of each difference by a regression that never saw its block, for each of
    the strengths.

    The residuals of a block left out are its residuals, times the inverse of one minus its part of
    the hat matrix.
    """
    shrink_PR = 1 / (len(z_MR) * (variance_R + STRENGTHS[:, None]))
    scores_PM = np.empty((len(STRENGTHS), len(z_MR)))
    for block in blocks:
        z_BR = z_MR[block]
        hat_PBB = (z_BR * shrink_PR[:, None]) @ z_BR.T
        residual_PB = 1 - weight_PR @ z_BR.T
        left_PB1 = np.linalg.solve(np.eye(len(block)) - hat_PBB, residual_PB[..., None])
        scores_PM[:, block] = 1 - left_PB1[..., 0]
    return scores_PM


def _sharpened(scores_M: NDArray, starts: NDArray[np.int64]) -> tuple[float, float]:
    """(the least mean surprise at right answers, the factor of the scores that gives it)."""
    from scipy.optimize import minimize_scalar

    size = float(np.sqrt(np.mean(scores_M**2))) or 1.0

    def surprise(factor: float) -> float:
        against_M = np.exp(-factor * scores_M / size)
        return float(np.log1p(np.add.reduceat(against_M, starts)).mean())

    best = minimize_scalar(surprise, bounds=(BLUNTEST, SHARPEST), method="bounded")
    return float(best.fun), float(best.x) / size
