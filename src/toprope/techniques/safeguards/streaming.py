"""The streaming exchange classifier: a linear head that scores each position of an answer, with the
prompt in context, so that the answer can be stopped while it is being made.

After Cunningham et al. 2026, "Constitutional Classifiers++" (arXiv 2601.04603), its section on
linear probes:

- *features*: the activations of several layers, side by side;
- *smoothing*: in training, a position's logit is the mean over a window of the last `WINDOW`
  logits, so that no single token decides; at inference an exponential moving average takes its
  place, which needs no more memory than two numbers;
- *loss*: cross-entropy at every position, weighted by the softmax of the smoothed logits: an
  exchange is harmful if some part of it is, and the head is told so where it is most sure.

A window that isn't full is left out: a few noisy logits at an answer's beginning would be the
highest of many exchanges. So that the first word of an answer can be scored, the last `WINDOW` - 1
positions of the prompt are read ahead of it.

Labels are soft: how harmful a larger classifier or a judge finds the whole exchange, 0 to 1.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.functional import binary_cross_entropy_with_logits

WINDOW = 16
"""Positions whose logits are averaged (the paper's M)."""

DECAY = 1 - 2 / (WINDOW + 1)
"""Of the moving average at inference: its weights have the same mean age as the window's."""


@dataclass(frozen=True)
class StreamingHead:
    """Logits of a position with features x are (x - mean) / scale @ weight + bias.

    Attributes:
        mean_F, scale_F, weight_F: F features: the layers asked for, times the model's width.
    """

    mean_F: NDArray
    scale_F: NDArray
    weight_F: NDArray
    bias: float

    def logits(self, x_TF: NDArray) -> NDArray:
        """[T], of each position alone."""
        return (x_TF - self.mean_F) / self.scale_F @ self.weight_F + self.bias

    def scores(self, x_TF: NDArray) -> NDArray:
        """[T]: the probability of harm after each position, from the smoothed logits; 0 where fewer
        than `WINDOW` positions have been read."""
        monitor = self.monitor()
        return np.array([monitor.after(logit) for logit in self.logits(x_TF)])

    def monitor(self) -> Monitor:
        """For one exchange that is under way."""
        return Monitor(self)


class Monitor:
    """Follows one exchange, position by position.

    Attributes:
        score: the probability of harm so far; that of the newest position, smoothed.
        highest: the largest score that there has been.
    """

    def __init__(self, head: StreamingHead) -> None:
        self.head = head
        self.score = self.highest = 0.0
        self._read = 0
        self._sum = self._weight = 0.0

    def read(self, x_F: NDArray) -> float:
        """The score after one more position, of which the features are given."""
        return self.after(float(self.head.logits(x_F[None])[0]))

    def after(self, logit: float) -> float:
        """The score after a position that has this logit."""
        self._read += 1
        self._sum = DECAY * self._sum + logit
        self._weight = DECAY * self._weight + 1
        if self._read < WINDOW:
            return self.score
        self.score = float(1 / (1 + np.exp(-np.clip(self._sum / self._weight, -60, 60))))
        self.highest = max(self.highest, self.score)
        return self.score


def fit(
    features: Sequence[NDArray],
    labels_N: NDArray,
    *,
    rng: np.random.Generator,
    weights_N: NDArray | None = None,
    strength: float = 0.1,
    temperature: float = 1.0,
    epochs: int = 30,
    batch: int = 64,
    rate: float = 0.01,
    advance: Callable[[float], None] = lambda _: None,
) -> StreamingHead:
    """A head trained on exchanges.

    Args:
        features: of each exchange, [T, F]; T may differ, and is at least `WINDOW`.
        labels_N: how harmful each is, 0 to 1.
        weights_N: how much each counts; alike if not given.
        strength: L2 on the weights of standardised features.
        temperature: of the weights over positions; the smaller, the more the surest counts.
        advance: is told each epoch.

    Raises:
        ValueError: no exchanges, or one with fewer positions than the window has.
    """
    if not features or any(len(x) < WINDOW for x in features):
        raise ValueError(f"a streaming head is trained on exchanges of {WINDOW} positions or more")
    mean_F, scale_F = _moments(features)
    count = len(mean_F)
    parameters_G = torch.zeros(count + 1, requires_grad=True)
    optimizer = torch.optim.Adam([parameters_G], lr=rate)
    steps = epochs * -(-len(features) // batch)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
    importance_N = np.ones(len(features)) if weights_N is None else np.asarray(weights_N, float)
    importance_N = importance_N / importance_N.mean()
    for _ in range(epochs):
        order = rng.permutation(len(features))
        for at in range(0, len(order), batch):
            chosen = order[at : at + batch]
            x_BTF, real_BT = _padded([(features[i] - mean_F) / scale_F for i in chosen])
            logits_BT = x_BTF @ parameters_G[:-1] + parameters_G[-1]
            wanted_B = torch.tensor(labels_N[chosen], dtype=torch.float32)
            loss_B = exchange_loss(logits_BT, real_BT, wanted_B, temperature)
            of_B = torch.tensor(importance_N[chosen], dtype=torch.float32)
            penalty = strength * parameters_G[:-1].square().mean() * count / len(features)
            optimizer.zero_grad()
            ((of_B * loss_B).mean() + penalty).backward()
            optimizer.step()
            schedule.step()
        advance(1)
    found = parameters_G.detach().double().numpy()
    return StreamingHead(mean_F, scale_F, found[:-1], float(found[-1]))


def exchange_loss(
    logits_BT: Tensor,
    real_BT: Tensor,
    labels_B: Tensor,
    temperature: float = 1.0,
    window: int = WINDOW,
) -> Tensor:
    """The loss of each exchange, [B]: cross-entropy at its positions, weighted by the softmax of
    the smoothed logits over them.

    Args:
        logits_BT: T is at least the window.
        real_BT: false where a position is padding, which comes last.
    """
    smooth_BT = smoothed(logits_BT, window)
    real_BT = real_BT[:, window - 1 :]
    weights_BT = torch.softmax((smooth_BT / temperature).masked_fill(~real_BT, -torch.inf), dim=1)
    each_BT = binary_cross_entropy_with_logits(
        smooth_BT, labels_B[:, None].expand_as(smooth_BT), reduction="none"
    )
    return (weights_BT * each_BT).sum(1)


def smoothed(logits_BT: Tensor, window: int = WINDOW) -> Tensor:
    """[B, T - window + 1]: the mean of each position's logit and the `window` - 1 before it."""
    return logits_BT.unfold(1, window, 1).mean(-1)


def _moments(features: Sequence[NDArray]) -> tuple[NDArray, NDArray]:
    """Mean and deviation of each feature over all positions, an exchange counting once however
    long it is."""
    mean_F = np.mean([x.mean(0, dtype=np.float64) for x in features], axis=0)
    square_F = np.mean([((x - mean_F) ** 2).mean(0) for x in features], axis=0)
    return mean_F, np.sqrt(square_F) + 1e-6


def _padded(rows: Sequence[NDArray]) -> tuple[Tensor, Tensor]:
    """[B, T, F], and which positions are real, [B, T]."""
    lengths = [len(x) for x in rows]
    x_BTF = torch.zeros(len(rows), max(lengths), rows[0].shape[1])
    real_BT = torch.zeros(len(rows), max(lengths), dtype=torch.bool)
    for i, x in enumerate(rows):
        x_BTF[i, : len(x)] = torch.as_tensor(x, dtype=torch.float32)
        real_BT[i, : len(x)] = True
    return x_BTF, real_BT
