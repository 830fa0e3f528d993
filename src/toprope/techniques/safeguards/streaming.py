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
highest of many exchanges. So that the first word of an answer can be scored, the last `WINDOW`
positions of the prompt are read ahead of it.

Labels are soft: how harmful a larger classifier or a judge finds the whole exchange, 0 to 1.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.functional import binary_cross_entropy_with_logits
from torch.nn.utils.rnn import pad_sequence

from toprope.techniques.safeguards.projection import Projection

WINDOW = 16
"""Positions whose logits are averaged (the paper's M)."""

DECAY = 1 - 2 / (WINDOW + 1)
"""Of the moving average at inference: its weights have the same mean age as the window's."""


PASSES, STEPS = 12, 200
"""Of a training, at least: over all exchanges, and of the optimizer."""


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
        return (np.asarray(x_TF, float) - self.mean_F) @ self._direction_F + self.bias

    @cached_property
    def _direction_F(self) -> NDArray:
        return self.weight_F / self.scale_F

    def scores(self, x_TF: NDArray) -> NDArray:
        """[T]: the probability of harm after each position, from the smoothed logits; 0 where fewer
        than `WINDOW` positions have been read, 1 from where a logit is no number on."""
        monitor = self.monitor()
        return np.array([monitor.after(logit) for logit in self.logits(x_TF)])

    def highest(self, x_TF: NDArray) -> float:
        """The largest of the scores: that of the whole exchange."""
        return float(self.scores(x_TF).max())

    def monitor(self) -> Monitor:
        """For one exchange that is under way."""
        return Monitor(self)


class Monitor:
    """Follows one exchange, position by position.

    Attributes:
        score: the probability of harm so far; that of the newest position, smoothed; 1 from where a
            logit is no number on.
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
        self._sum = DECAY * self._sum + (logit if np.isfinite(logit) else np.nan)
        self._weight = DECAY * self._weight + 1
        if np.isnan(self._sum):  # what can't be read isn't let through, nor is what follows it
            self.score = self.highest = 1.0
            return self.score
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
) -> StreamingHead:
    """A head trained on exchanges.

    Args:
        features: of each exchange, [T, F]; T may differ, and is at least `WINDOW`.
        labels_N: how harmful each is, 0 to 1.
        weights_N: how much each counts; alike if not given.
        strength: L2 on the weights of standardised features.
        temperature: of the weights over positions; the smaller, the more the surest counts.

    Raises:
        ValueError: no exchanges, or one with fewer positions than the window has.
    """
    if not features or any(len(x) < WINDOW for x in features):
        raise ValueError(f"a streaming head is trained on exchanges of {WINDOW} positions or more")
    projection = Projection.of(features)
    return fit_projected(
        projection,
        projection.apply(features),
        labels_N,
        rng=rng,
        weights_N=weights_N,
        strength=strength,
        temperature=temperature,
    )


def fit_projected(
    projection: Projection,
    z_NTK: Sequence[Tensor],
    labels_N: NDArray,
    *,
    rng: np.random.Generator,
    weights_N: NDArray | None = None,
    strength: float = 0.1,
    temperature: float = 1.0,
    batch: int = 64,
    rate: float = 0.01,
) -> StreamingHead:
    """`fit` on features that were projected before, for those who fit many heads.

    Args:
        z_NTK: of each exchange, [T, K].
    """
    weight_K = torch.zeros(z_NTK[0].shape[1], requires_grad=True)
    bias = torch.zeros(1, requires_grad=True)
    optimizer = torch.optim.Adam([weight_K, bias], lr=rate)
    steps_a_pass = -(-len(z_NTK) // batch)
    passes = max(PASSES, -(-STEPS // steps_a_pass))
    steps = passes * steps_a_pass
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
    importance_N = np.ones(len(z_NTK)) if weights_N is None else np.asarray(weights_N, float)
    importance_N = importance_N / importance_N.mean()
    for _ in range(passes):
        order = rng.permutation(len(z_NTK))
        for at in range(0, len(order), batch):
            chosen = order[at : at + batch]
            logits_R = torch.cat([z_NTK[i] for i in chosen]) @ weight_K + bias
            logits_BT, real_BT = _padded(logits_R, [len(z_NTK[i]) for i in chosen])
            wanted_B = torch.tensor(labels_N[chosen], dtype=torch.float32)
            loss_B = exchange_loss(logits_BT, real_BT, wanted_B, temperature)
            of_B = torch.tensor(importance_N[chosen], dtype=torch.float32)
            penalty = strength * weight_K.square().sum() / len(z_NTK)
            optimizer.zero_grad()
            ((of_B * loss_B).mean() + penalty).backward()
            optimizer.step()
            schedule.step()
    weight_F = projection.weights(weight_K.detach().double().numpy())
    return StreamingHead(projection.mean_F, projection.scale_F, weight_F, float(bias.detach()))


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


def _padded(logits_R: Tensor, lengths: Sequence[int]) -> tuple[Tensor, Tensor]:
    """[B, T] of rows one after another, and which positions are real, [B, T]."""
    logits_BT = pad_sequence(list(logits_R.split(list(lengths))), batch_first=True)
    real_BT = torch.arange(logits_BT.shape[1]) < torch.tensor(lengths)[:, None]
    return logits_BT, real_BT
