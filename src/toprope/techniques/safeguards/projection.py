"""The directions in which a model's states vary most: what a head is fitted in, since a fit over
all channels at all positions would take minutes, and many are made."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

MOST = 512
"""Directions that are kept."""

ROWS = 20_000
"""Positions that they're found from, spread over the exchanges."""


@dataclass(frozen=True)
class Projection:
    """Standardised features, turned to their principal directions, of which the first are kept.

    Attributes:
        mean_F, scale_F: of the features.
        rotation_FK: columns are orthonormal.
    """

    mean_F: NDArray
    scale_F: NDArray
    rotation_FK: NDArray

    @classmethod
    def of(cls, features: Sequence[NDArray]) -> Projection:
        """Of exchanges' features, each [T, F]; an exchange counts alike, however long it is."""
        each = -(-ROWS // len(features))
        some_RF = np.concatenate([x[_spread(len(x), each)] for x in features]).astype(np.float32)
        mean_F, scale_F = some_RF.mean(0, dtype=np.float64), some_RF.std(0, dtype=np.float64) + 1e-6
        x_RF = torch.as_tensor((some_RF - mean_F.astype(np.float32)) / scale_F.astype(np.float32))
        _, vectors = torch.linalg.eigh((x_RF.T @ x_RF).double())
        rotation_FK = vectors[:, -MOST:].flip(1).numpy()
        return cls(mean_F, scale_F, rotation_FK)

    def apply(self, features: Sequence[NDArray]) -> list[Tensor]:
        """Each exchange's positions, [T, K]."""
        mean_F, scale_F = (torch.tensor(part).float() for part in (self.mean_F, self.scale_F))
        turn_FK = torch.tensor(self.rotation_FK).float()
        return [(torch.as_tensor(x).float() - mean_F) / scale_F @ turn_FK for x in features]

    def weights(self, weight_K: NDArray) -> NDArray:
        """[F], on standardised features."""
        return self.rotation_FK @ weight_K


def _spread(length: int, most: int) -> NDArray:
    return np.unique(np.linspace(0, length - 1, min(length, most)).astype(int))
