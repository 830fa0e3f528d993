"""Linear heads on frozen activations: soft-label logistic regression, regularised, fast enough to
fit by the hundred.

The features are standardised and rotated into their principal axes once; every head after that
works on a small dense matrix. In those axes the curvature of the loss has a diagonal bound (Böhning
1992: the Hessian of the softmax cross-entropy is at most half the features' covariance), so that a
step needs no line search, and Nesterov's momentum (1983) makes it converge in tens of steps. A step
reads all the features twice, and memory is what bounds it: the steps are taken in single precision.

The strength of the regularisation, and which layer to read, are chosen by the leave-one-out error
of least squares on the same targets, which has a closed form: no labels but the targets are seen,
and nothing is fitted twice.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import numpy as np

STRENGTHS = np.logspace(-2.5, 3, 23)
"""L2 strengths tried, in units of a standardised feature's variance."""

STEPS = 60

Remix = Callable[[np.ndarray, float], np.ndarray]
"""What to fit at a step, [N, C], from the head's own probabilities [N, C] and how far training is
(0 to 1)."""


@dataclass(frozen=True)
class Head:
    """Logits of a feature vector x are (x - mean) / scale @ weight + bias; weight is [D, C]."""

    mean_D: np.ndarray
    scale_D: np.ndarray
    weight_DC: np.ndarray
    bias_C: np.ndarray

    def logits(self, x_ND: np.ndarray) -> np.ndarray:
        """[N, C]."""
        return (x_ND - self.mean_D) / self.scale_D @ self.weight_DC + self.bias_C

    def probs(self, x_ND: np.ndarray) -> np.ndarray:
        """[N, C], rows sum to one."""
        return softmax(self.logits(x_ND))


@dataclass(frozen=True)
class Axes:
    """Training features in their principal axes; R is their rank.

    Attributes:
        z_NR: standardised features, rotated: column r has the mean square variance_R[r].
        rotation_DR: from standardised features to the axes; columns are orthonormal.
    """

    mean_D: np.ndarray
    scale_D: np.ndarray
    z_NR: np.ndarray
    rotation_DR: np.ndarray
    variance_R: np.ndarray

    @classmethod
    def of(cls, x_ND: np.ndarray) -> "Axes":
        """Standardises each feature over the items and finds the axes."""
        x_ND = np.asarray(x_ND, dtype=np.float64)
        mean_D, scale_D = x_ND.mean(0), x_ND.std(0) + 1e-6
        x_ND = (x_ND - mean_D) / scale_D
        n, d = x_ND.shape
        # The smaller of the two Gram matrices has the same spectrum.
        values, vectors = np.linalg.eigh(x_ND @ x_ND.T if n <= d else x_ND.T @ x_ND)
        kept = values > values[-1] * 1e-10
        values, vectors = values[kept], vectors[:, kept]
        rotation_DR = x_ND.T @ (vectors / np.sqrt(values)) if n <= d else vectors
        return cls(mean_D, scale_D, x_ND @ rotation_DR, rotation_DR, values / n)

    @cached_property
    def single_NR(self) -> np.ndarray:
        """`z_NR` in single precision."""
        return self.z_NR.astype(np.float32)

    @cached_property
    def leverage_axes_NR(self) -> np.ndarray:
        """Squared entries of the left singular vectors, [N, R]: item i's share of axis r."""
        return self.z_NR**2 / (len(self.z_NR) * self.variance_R)

    def leave_one_out(self, targets_NC: np.ndarray) -> np.ndarray:
        """Mean squared leave-one-out error of ridge regression on the targets, for each of
        STRENGTHS.

        The residual of an item left out is its residual divided by one minus its leverage (Allen
        1974, PRESS).
        """
        n = len(self.z_NR)
        mean_C = targets_NC.mean(0)
        centred_NC = targets_NC - mean_C
        along_RC = self.z_NR.T @ centred_NC / (n * self.variance_R[:, None])
        # All strengths at once, P of them: the features are read once.
        shrink_RP = self.variance_R[:, None] / (self.variance_R[:, None] + STRENGTHS)
        fitted_NPC = (
            self.z_NR @ (shrink_RP[:, :, None] * along_RC[:, None]).reshape(len(along_RC), -1)
        ).reshape(n, len(STRENGTHS), -1)
        leverage_NP = self.leverage_axes_NR @ shrink_RP + 1 / n
        left_out_NPC = (centred_NC[:, None] - fitted_NPC) / (1 - leverage_NP)[..., None].clip(1e-6)
        return (left_out_NPC**2).mean((0, 2))

    def fit(self, labels_NC: np.ndarray, strength: float, mix: Remix | None = None) -> Head:
        """A head trained on soft labels.

        Args:
            labels_NC: rows that sum to one.
            strength: L2 as for ridge regression; the logistic loss is a quarter as curved, so it
                gets a quarter.
            mix: makes what is fitted at each step, in place of the labels.
        """
        n, z_NR = len(self.z_NR), self.single_NR
        # The bias is a last axis of ones, and isn't penalised.
        penalty_S = np.append(np.full(len(self.variance_R), strength / 4), 0.0)
        curvature_S = np.append(self.variance_R, 1.0) / 2 + penalty_S
        weight_SC = np.zeros((len(penalty_S), labels_NC.shape[1]))
        ahead_SC, momentum = weight_SC, 1.0
        for step in range(STEPS):
            probs_NC = softmax(z_NR @ ahead_SC[:-1].astype(np.float32) + ahead_SC[-1])
            wanted_NC = mix(probs_NC, step / STEPS) if mix else labels_NC
            excess_NC = probs_NC - wanted_NC
            along_RC = z_NR.T @ excess_NC.astype(np.float32)
            slope_SC = np.vstack([along_RC, excess_NC.sum(0)]) / n + penalty_S[:, None] * ahead_SC
            moved_SC = ahead_SC - slope_SC / curvature_S[:, None]
            next_momentum = (1 + np.sqrt(1 + 4 * momentum**2)) / 2
            ahead_SC = moved_SC + (momentum - 1) / next_momentum * (moved_SC - weight_SC)
            weight_SC, momentum = moved_SC, next_momentum
        return Head(self.mean_D, self.scale_D, self.rotation_DR @ weight_SC[:-1], weight_SC[-1])


def softmax(logits_NC: np.ndarray) -> np.ndarray:
    weights_NC = np.exp(logits_NC - logits_NC.max(1, keepdims=True))
    return weights_NC / weights_NC.sum(1, keepdims=True)


def one_hot(labels_N: np.ndarray, classes: int) -> np.ndarray:
    """[N, C]."""
    return np.eye(classes)[labels_N]
