"""The auxiliary confidence loss of Burns et al. 2023 (arXiv 2312.09390, section 4.3.2 and appendix
A.4).

    L(f) = (1 - a) CE(f(x), weak label) + a CE(f(x), hardened f(x))

The student's own prediction is hardened by a threshold that is set so that its classes are as
frequent as in the weak labels, and `a` grows linearly to its full size over the warm-up.
Cross-entropy is linear in its target, so the loss is one cross-entropy towards the mixture of both:
the same as EleutherAI's log-confidence loss.
"""

from dataclasses import dataclass

import numpy as np

from toprope.techniques.weak_to_strong.heads import one_hot


@dataclass(frozen=True)
class Confidence:
    """The mixture that the student trains towards: a `Mix`.

    Attributes:
        weight: `a` after the warm-up, 0 to 1.
        warmup: share of the training over which `a` grows from 0.
    """

    weight: float
    warmup: float

    def __call__(self, probs_BC: np.ndarray, labels_BC: np.ndarray, progress: float) -> np.ndarray:
        weight = self.weight * (min(1.0, progress / self.warmup) if self.warmup else 1.0)
        return (1 - weight) * labels_BC + weight * hardened(probs_BC, labels_BC.mean(0))


def hardened(probs_BC: np.ndarray, shares_C: np.ndarray) -> np.ndarray:
    """One-hot predictions [B, C] whose classes are about as frequent as `shares_C`.

    With two classes the threshold is the quantile of the paper; with more, the classes are weighed
    until their mean probabilities are the shares (Sinkhorn 1967), and the largest is taken.
    """
    if probs_BC.shape[1] == 2:
        threshold = np.quantile(probs_BC[:, 1], shares_C[0])
        return one_hot((probs_BC[:, 1] > threshold).astype(int), 2)
    balanced_BC = probs_BC
    for _ in range(20):
        balanced_BC = balanced_BC * (shares_C / balanced_BC.mean(0).clip(1e-9))
        balanced_BC = balanced_BC / balanced_BC.sum(1, keepdims=True)
    return one_hot(balanced_BC.argmax(1), probs_BC.shape[1])
