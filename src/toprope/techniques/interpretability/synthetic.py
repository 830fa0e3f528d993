"""Activations made of known features, so that recovery and absorption can be measured exactly.

A row is a sum of unit directions, each with a strength >= 0, plus noise. In a hierarchy a child is
only ever active together with its parent, which is what makes dictionaries absorb (Chanin et al.
2024, arXiv 2409.14507): a sparse code is cheaper when the child's latent also points the parent's
way and the parent's own stays silent.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from toprope.errors import UserError

if TYPE_CHECKING:
    from toprope.techniques.interpretability.dictionaries.dictionary import Dictionary

ROOT = -1
"""The parent of a feature that has none."""


@dataclass(frozen=True)
class Features:
    """What rows are made of: G features, parents before their children.

    Attributes:
        directions_GD: of unit norm.
        parent_G: int64, the feature that must be active with this one; `ROOT` for none.
        probability_G: of being active; for a child, while its parent is.
        noise: the standard deviation in each channel.
    """

    directions_GD: Tensor
    parent_G: np.ndarray
    probability_G: np.ndarray
    noise: float

    def sample(self, n: int, rng: np.random.Generator) -> Sample:
        """n rows. Strengths are uniform in 0.5 .. 1.5; siblings are independent."""
        G, D = self.directions_GD.shape
        active_NG = rng.random((n, G)) < self.probability_G
        for feature in np.flatnonzero(self.parent_G != ROOT):
            active_NG[:, feature] &= active_NG[:, self.parent_G[feature]]
        strengths_NG = torch.from_numpy(
            np.where(active_NG, rng.uniform(0.5, 1.5, (n, G)), 0).astype(np.float32)
        )
        noise_ND = torch.from_numpy(rng.normal(0, self.noise, (n, D)).astype(np.float32))
        return Sample(strengths_NG @ self.directions_GD + noise_ND, strengths_NG)

    def batches(self, size: int, rng: np.random.Generator) -> Iterator[Tensor]:
        """Rows [size, D], for ever."""
        while True:
            yield self.sample(size, rng).x_ND


@dataclass(frozen=True)
class Sample:
    """Rows, and the strength of each feature in them."""

    x_ND: Tensor
    strengths_NG: Tensor


def flat(
    count: int, d_model: int, active: float, rng: np.random.Generator, *, noise: float = 0.01
) -> Features:
    """Independent features, `active` of them in a row on average.

    Raises:
        UserError: more are to be active than there are.
    """
    if not 0 < active <= count:
        raise UserError(f"of {count} features, {active:g} can't be active in a row")
    none = np.full(count, ROOT, dtype=np.int64)
    return Features(_directions(count, d_model, rng), none, np.full(count, active / count), noise)


def hierarchy(
    parents: int,
    children: int,
    d_model: int,
    active: float,
    rng: np.random.Generator,
    *,
    child_probability: float = 0.2,
    noise: float = 0.01,
) -> Features:
    """Parents, `active` of them in a row on average, each with children of its own.

    Args:
        children: of each parent.
        child_probability: of a child's being active while its parent is.

    Raises:
        UserError: more parents are to be active than there are.
    """
    if not 0 < active <= parents:
        raise UserError(f"of {parents} parents, {active:g} can't be active in a row")
    count = parents * (1 + children)
    parent_G = np.full(count, ROOT, dtype=np.int64)
    parent_G[parents:] = np.repeat(np.arange(parents), children)
    probability_G = np.where(parent_G == ROOT, active / parents, child_probability)
    return Features(_directions(count, d_model, rng), parent_G, probability_G, noise)


@dataclass(frozen=True)
class Recovery:
    """Each feature's latent, no latent for two features, so that the cosines' sum is greatest.

    Attributes:
        latent_G: int64; -1 for a feature without a latent, where there are fewer latents.
        cosine_G: of the latent's decoder row with the feature; 0 without a latent.
    """

    latent_G: np.ndarray
    cosine_G: np.ndarray

    def share(self, over: float = 0.9) -> float:
        """The features whose latent has a cosine over a bound."""
        return float((self.cosine_G > over).mean())


def recovery(dictionary: Dictionary, features: Features) -> Recovery:
    """Matches latents to features by the Hungarian algorithm."""
    from scipy.optimize import linear_sum_assignment

    cosine_GF = _alignment(dictionary, features.directions_GD).numpy()
    found_G, matched_G = linear_sum_assignment(cosine_GF, maximize=True)
    latent_G = np.full(len(cosine_GF), -1, dtype=np.int64)
    best_G = np.zeros(len(cosine_GF))
    latent_G[found_G] = matched_G
    best_G[found_G] = cosine_GF[found_G, matched_G]
    return Recovery(latent_G, best_G)


@dataclass(frozen=True)
class Absorption:
    """
    Attributes:
        parents: int64 [P], the features that have children.
        active_P: rows in which the parent is active.
        absorbed_P: those of them in which it is absorbed.
    """

    parents: np.ndarray
    active_P: np.ndarray
    absorbed_P: np.ndarray

    @property
    def share(self) -> float:
        """Of all parents' activations, those that are absorbed."""
        return float(self.absorbed_P.sum() / max(1, self.active_P.sum()))


def absorption(
    dictionary: Dictionary, features: Features, sample: Sample, *, carried: float = 0.5
) -> Absorption:
    """How often a parent is absorbed: it is active, its latent silent, and the latents of its
    active children decode to at least the share `carried` of its strength along its direction.

    The latents are those of `recovery`.
    """
    latent_G = recovery(dictionary, features).latent_G
    dense_NF = dictionary.encode(sample.x_ND).dense()
    alignment_GF = _alignment(dictionary, features.directions_GD)
    parents = np.unique(features.parent_G[features.parent_G != ROOT])
    active_P, absorbed_P = [], []
    for parent in parents:
        strength_N = sample.strengths_NG[:, parent]
        own = int(latent_G[parent])
        silent_N = dense_NF[:, own] == 0 if own >= 0 else torch.ones_like(strength_N).bool()
        by_children_N = torch.zeros_like(strength_N)
        for child in np.flatnonzero(features.parent_G == parent):
            if (latent := int(latent_G[child])) < 0:
                continue
            present_N = sample.strengths_NG[:, child] > 0
            by_children_N += present_N * dense_NF[:, latent] * alignment_GF[parent, latent]
        active_N = strength_N > 0
        active_P.append(int(active_N.sum()))
        absorbed_N = active_N & silent_N & (by_children_N >= carried * strength_N)
        absorbed_P.append(int(absorbed_N.sum()))
    return Absorption(parents, np.array(active_P), np.array(absorbed_P))


def _directions(count: int, d_model: int, rng: np.random.Generator) -> Tensor:
    rows_GD = rng.normal(size=(count, d_model))
    rows_GD /= np.linalg.norm(rows_GD, axis=1, keepdims=True)
    return torch.from_numpy(rows_GD.astype(np.float32))


@torch.no_grad()
def _alignment(dictionary: Dictionary, directions_GD: Tensor) -> Tensor:
    """[G, F]: the cosines of directions and decoder rows, which are of unit norm."""
    return (directions_GD @ dictionary.decoder_FD.T.cpu()).clamp(-1, 1)
