"""Contrast-consistent search (Burns, Ye, Klein, Steinhardt 2022, arXiv 2212.03827): truth without
any labels.

A probe reads a question with each of its two answers and is trained to be consistent, p(yes) = 1 -
p(no), and confident. Which of its two sides is "yes" can't be known without labels: here the
majority of the supervisor's labels says so.
"""

import numpy as np
import torch
from torch import Tensor

RESTARTS = 10
STEPS = 300
LEARNING_RATE = 0.02
WEIGHT_DECAY = 0.01


def contrast_consistent_search(
    no_ND: np.ndarray, yes_ND: np.ndarray, train: np.ndarray, rng: np.random.Generator
) -> np.ndarray:
    """The probability of "yes" for each item, up to a swap of the two sides.

    Args:
        no_ND, yes_ND: activations of each item with either answer.
        train: indices of the items trained on; their answers' means and scales are taken out of all
            (section 3).
        rng: for the restarts, of which the one with the least loss is kept.

    Returns:
        [N].
    """
    no_ND, yes_ND = (_normalised(x_ND, train) for x_ND in (no_ND, yes_ND))
    no, yes = (torch.tensor(x_ND[train], dtype=torch.float32) for x_ND in (no_ND, yes_ND))
    start = rng.standard_normal((no.shape[1], RESTARTS)) / np.sqrt(no.shape[1])
    weight_DR = torch.tensor(start, dtype=torch.float32, requires_grad=True)
    bias_R = torch.zeros(RESTARTS, requires_grad=True)
    optimizer = torch.optim.AdamW(
        [weight_DR, bias_R], lr=LEARNING_RATE, weight_decay=WEIGHT_DECAY, fused=True
    )
    for _ in range(STEPS):
        optimizer.zero_grad()
        # The restarts don't share parameters: the gradient of their sum is each one's own.
        _losses(no, yes, weight_DR, bias_R).sum().backward()
        optimizer.step()
    with torch.no_grad():
        best = int(_losses(no, yes, weight_DR, bias_R).argmin())
        weight_D, bias = weight_DR[:, best].double().numpy(), float(bias_R[best])
    said_yes, said_no = (_sigmoid(x_ND @ weight_D + bias) for x_ND in (yes_ND, no_ND))
    return (said_yes + 1 - said_no) / 2


def _losses(no_ND: Tensor, yes_ND: Tensor, weight_DR: Tensor, bias_R: Tensor) -> Tensor:
    """Consistency and confidence of each restart, [R] (equations 1 and 2)."""
    said_no = torch.sigmoid(no_ND @ weight_DR + bias_R)
    said_yes = torch.sigmoid(yes_ND @ weight_DR + bias_R)
    return ((said_yes - (1 - said_no)).square() + torch.minimum(said_yes, said_no).square()).mean(0)


def _normalised(x_ND: np.ndarray, train: np.ndarray) -> np.ndarray:
    return (x_ND - x_ND[train].mean(0)) / (x_ND[train].std(0) + 1e-6)


def _sigmoid(x: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-x))
