"""Which latents stand for a property together: sparse probes (Gurnee et al. 2023, arXiv 2305.01610)
and feature splitting (Chanin et al. 2024, arXiv 2409.14507, section 4).

A logistic regression with an L1 penalty of 0.01, one against the rest, ranks the latents; probes on
the first k of them are fitted without it. As long as one more latent raises F1 by over 0.03, the
property is split among them. The penalised fit is full-batch FISTA (Beck and Teboulle 2009), where
the paper runs Adam for 50 epochs.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

L1 = 0.01
STEPS = 200


@dataclass(frozen=True)
class SparseProbe:
    """Says yes where codes[latents] @ weight + bias is positive."""

    latents: tuple[int, ...]
    weight_K: NDArray[np.float64]
    bias: float
    f1: float

    def scores(self, codes_NF: NDArray) -> NDArray[np.float64]:
        return codes_NF[:, list(self.latents)] @ self.weight_K + self.bias


@torch.no_grad()
def ranked(codes_NF: NDArray, labels_NL: NDArray[np.bool_], *, steps: int = STEPS) -> Tensor:
    """[L, F]: weights of penalised logistic regressions, one for each label; most are zero."""
    x_NG = torch.from_numpy(np.ascontiguousarray(codes_NF, dtype=np.float32))
    x_NG = torch.cat([x_NG, torch.ones(len(x_NG), 1)], dim=1)
    y_NL = torch.from_numpy(labels_NL.astype(np.float32))
    n = len(x_NG)
    # The loss is at most a quarter as curved as the features' mean square (power iteration).
    v_G = torch.ones(x_NG.shape[1])
    for _ in range(20):
        v_G = x_NG.T @ (x_NG @ v_G)
        v_G /= v_G.norm()
    step = 1 / (1.02 * 0.25 * float((x_NG @ v_G).square().sum()) / n)
    w_GL = torch.zeros(x_NG.shape[1], y_NL.shape[1])
    ahead_GL, momentum = w_GL, 1.0
    for _ in range(steps):
        excess_NL = torch.sigmoid(x_NG @ ahead_GL) - y_NL
        moved_GL = ahead_GL - step * (x_NG.T @ excess_NL) / n
        # The last row is the bias, which isn't penalised.
        moved_GL[:-1] = moved_GL[:-1].sign() * (moved_GL[:-1].abs() - step * L1).clamp_min(0)
        next_momentum = (1 + np.sqrt(1 + 4 * momentum**2)) / 2
        ahead_GL = moved_GL + (momentum - 1) / next_momentum * (moved_GL - w_GL)
        w_GL, momentum = moved_GL, next_momentum
    return w_GL[:-1].T


def split(
    weights_F: Tensor,
    train: tuple[NDArray, NDArray[np.bool_]],
    test: tuple[NDArray, NDArray[np.bool_]],
    *,
    most: int,
    jump: float,
) -> SparseProbe | None:
    """The probe on the latents that one label is split among; None where no latent speaks for it.

    Args:
        weights_F: `ranked`, of the label.
        train, test: codes [N, F] and whether the label holds [N]; F1 is on the test items.
    """
    order = torch.argsort(weights_F, descending=True)
    order = order[weights_F[order] > 0][:most].tolist()
    best: SparseProbe | None = None
    for k in range(1, len(order) + 1):
        probe = _fitted(order[:k], train, test)
        if best is not None and probe.f1 <= best.f1 + jump:
            break
        best = probe
    return best


def f1(said_N: NDArray[np.bool_], true_N: NDArray[np.bool_]) -> float:
    """0 where nothing is said and nothing is true."""
    total = int(said_N.sum() + true_N.sum())
    return 2 * int((said_N & true_N).sum()) / total if total else 0.0


def _fitted(
    latents: list[int],
    train: tuple[NDArray, NDArray[np.bool_]],
    test: tuple[NDArray, NDArray[np.bool_]],
) -> SparseProbe:
    """Logistic regression with classes of equal weight and an L2 penalty of 1/2."""
    from scipy.optimize import minimize

    x_NK, y_N = train[0][:, latents].astype(np.float64), train[1]
    weight_N = np.where(y_N, 0.5 / max(1, y_N.sum()), 0.5 / max(1, (~y_N).sum())) * len(y_N)
    sign_N = np.where(y_N, 1.0, -1.0)

    def loss(w: NDArray) -> tuple[float, NDArray]:
        margin_N = sign_N * (x_NK @ w[:-1] + w[-1])
        # The slope of log(1 + exp(-m)) is -1 / (1 + exp(m)), without overflow at either end.
        slope_N = -weight_N * sign_N * 0.5 * (1 - np.tanh(margin_N / 2))
        value = weight_N @ np.logaddexp(0, -margin_N) + 0.5 * w[:-1] @ w[:-1]
        return value, np.append(x_NK.T @ slope_N + w[:-1], slope_N.sum())

    w = minimize(loss, np.zeros(len(latents) + 1), jac=True, method="L-BFGS-B").x
    probe = SparseProbe(tuple(latents), w[:-1], float(w[-1]), 0.0)
    score = f1(probe.scores(test[0]) > 0, test[1])
    return SparseProbe(probe.latents, probe.weight_K, probe.bias, score)
