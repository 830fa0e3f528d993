"""Sparse probing: how much of a property do a few latents carry?

Gurnee et al. 2023 (arXiv 2305.01610): the k latents whose means differ most between the classes, on
the training split, then logistic regression on them. Beside it: a dense probe on the activations
themselves, which a dictionary should come near and, as measured so far, seldom beats (Kantamneni et
al. 2025, arXiv 2502.16681); and k latents at random, which says how much any k would give.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from toprope.errors import UserError
from toprope.models.heads import STRENGTHS, Axes, Head, one_hot
from toprope.statistics import bootstrap_clustered
from toprope.techniques.interpretability.quality.measure import Measure

KS = (1, 2, 5, 16)


@dataclass(frozen=True)
class Probe:
    """
    Attributes:
        latents: what it reads, those whose means differ most first; empty for the dense one.
        accuracy: on the test split, interval over its groups. A sparse probe's control is the mean
            accuracy of as many latents at random; the dense one's is the larger class's share.
    """

    latents: tuple[int, ...]
    accuracy: Measure


@dataclass(frozen=True)
class Probing:
    """
    Attributes:
        sparse: k -> the probe on k latents.
        majority: the accuracy of always saying the class that is more frequent in training.
    """

    sparse: dict[int, Probe]
    dense: Probe
    majority: float


def probing(
    latents_NF: NDArray[np.float32],
    dense_ND: NDArray[np.float32],
    labels_N: NDArray[np.int64],
    train_N: NDArray[np.bool_],
    *,
    ks: Sequence[int] = KS,
    groups: Sequence | None = None,
    randoms: int = 10,
    rng: np.random.Generator,
) -> Probing:
    """
    Args:
        latents_NF: the dictionary's codes of the items.
        dense_ND: the activations that they encode.
        labels_N: 0 or 1.
        train_N: which items are to train on; the rest is the test.
        groups: labels of the items: of those with one label, all are on one side.
        randoms: how many draws of random latents each control is the mean of.

    Raises:
        UserError: labels that aren't 0 and 1 on both sides, no active latents, or groups that are
            on both sides.
    """
    _check(labels_N, train_N, groups)
    active = np.flatnonzero((latents_NF[train_N] > 0).any(0))
    if len(active) == 0:
        raise UserError("no latent is active on the training items: is it the right layer?")
    names_N = np.arange(len(labels_N)) if groups is None else np.asarray(list(map(str, groups)))
    test_N = ~train_N
    majority = float((labels_N[test_N] == round(labels_N[train_N].mean())).mean())

    def right(x_NK: NDArray) -> NDArray[np.float64]:
        """[test items]: 1 where a probe on these columns is right."""
        said = _fitted(x_NK[train_N], labels_N[train_N]).logits(x_NK[test_N]).argmax(1)
        return (said == labels_N[test_N]).astype(float)

    def measured(right_M: NDArray, control: float) -> Measure:
        return Measure.of(bootstrap_clustered(right_M, names_N[test_N], rng=rng), control)

    trained_NF = latents_NF[train_N]
    ones = labels_N[train_N] == 1
    difference_F = np.abs(trained_NF[ones].mean(0) - trained_NF[~ones].mean(0))
    order_F = np.argsort(-difference_F, kind="stable")
    sparse = {}
    for k in ks:
        k_here = min(k, len(active))
        chosen = order_F[:k_here]
        draws = [rng.choice(active, k_here, replace=False) for _ in range(randoms)]
        by_chance = float(np.mean([right(latents_NF[:, drawn]).mean() for drawn in draws]))
        sparse[k] = Probe(tuple(chosen.tolist()), measured(right(latents_NF[:, chosen]), by_chance))
    return Probing(sparse, Probe((), measured(right(dense_ND), majority)), majority)


def _fitted(x_NK: NDArray, labels_N: NDArray[np.int64]) -> Head:
    """Logistic regression, its strength chosen by leave-one-out on the training items."""
    axes = Axes.of(x_NK)
    targets_NC = one_hot(labels_N, 2)
    strength = float(STRENGTHS[axes.leave_one_out(targets_NC).argmin()])
    # `leave_one_out` is of the mean over items, `fit` too.
    return axes.fit(targets_NC, strength)


def _check(
    labels_N: NDArray[np.int64], train_N: NDArray[np.bool_], groups: Sequence | None
) -> None:
    for name, side in (("training", train_N), ("test", ~train_N)):
        if set(labels_N[side].tolist()) != {0, 1}:
            raise UserError(f"a probe needs items of both classes, 0 and 1, in the {name} split")
    if groups is not None:
        on = [
            {str(g) for g, here in zip(groups, side, strict=True) if here}
            for side in (train_N, ~train_N)
        ]
        if both := on[0] & on[1]:
            raise UserError(
                f"group '{min(both)}' is in the training and in the test split: keep each on one "
                "side"
            )
