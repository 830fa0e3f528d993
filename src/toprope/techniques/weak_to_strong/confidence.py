"""The auxiliary confidence loss of Burns et al. 2023 (arXiv 2312.09390, section 4.3.2 and appendix
A.4).

    L(f) = (1 - a) CE(f(x), weak label) + a CE(f(x), hardened f(x))

The student's own prediction is hardened by a threshold that is set so that its classes are as
frequent as in the weak labels, and `a` grows linearly to its full size over the warm-up.
Cross-entropy is linear in its target, so the loss is one cross-entropy towards the mixture of both:
the same as EleutherAI's log-confidence loss.

`ConfidenceBySureness` isn't from the paper: each label has an `a` of its own, so that a student
leans on the supervisor where it is sure, and on itself where the supervisor isn't.
"""

from dataclasses import dataclass

import numpy as np

from toprope.models.heads import one_hot


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
        return mixture(probs_BC, labels_BC, self.weight * self.ramp(progress))

    def ramp(self, progress: float) -> float:
        """The share of its full weight that `a` has by now."""
        return min(1.0, progress / self.warmup) if self.warmup else 1.0


@dataclass(frozen=True)
class ConfidenceBySureness:
    """The mixture with an `a` for each label, greatest where the supervisor is least sure: it falls
    with the square of the label's rank in sureness, and is `confidence.weight` on average.

    Attributes:
        sureness: ranks the labels of all items that are trained on.
    """

    confidence: Confidence
    sureness: "Sureness"

    def __call__(self, probs_BC: np.ndarray, labels_BC: np.ndarray, progress: float) -> np.ndarray:
        mean = self.confidence.weight
        most = min(1.0, 1.5 * mean)  # more, and the surest label's would be below 0
        # A square's mean over the ranks is a third.
        weight_B = most - 3 * (most - mean) * self.sureness.ranks(labels_BC) ** 2
        return mixture(probs_BC, labels_BC, self.confidence.ramp(progress) * weight_B[:, None])


class Sureness:
    """How sure a supervisor is of a label, among those that lean to the same class.

    A label leans to the class whose log-probability is furthest above its median over all labels,
    and that is how sure it is: a supervisor that says one class throughout isn't surer of it for
    that. This takes classes that are about as frequent, as `balance: true` makes them.

    Args:
        labels_NC: all of its labels.
    """

    def __init__(self, labels_NC: np.ndarray) -> None:
        self.usual_C = np.median(_logs(labels_NC), axis=0)
        classes_N, sure_N = self.of(labels_NC)
        self.sorted = [np.sort(sure_N[classes_N == c]) for c in range(labels_NC.shape[1])]

    def of(self, labels_BC: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The classes leant to, and how sure: [B] each."""
        above_BC = _logs(labels_BC) - self.usual_C
        return above_BC.argmax(1), above_BC.max(1)

    def ranks(self, labels_BC: np.ndarray) -> np.ndarray:
        """[B]: from 0, the least sure of the class, to 1; those as sure share their middle rank."""
        classes_B, sure_B = self.of(labels_BC)
        ranks_B = np.zeros(len(labels_BC))
        for c, sorted_N in enumerate(self.sorted):
            given_B = classes_B == c
            first_B, past_B = (
                np.searchsorted(sorted_N, sure_B[given_B], side) for side in ("left", "right")
            )
            ranks_B[given_B] = (first_B + past_B - 1) / 2 / max(1, len(sorted_N) - 1)
        return ranks_B.clip(0, 1)


def mixture(probs_BC: np.ndarray, labels_BC: np.ndarray, weight: float | np.ndarray) -> np.ndarray:
    """Between the labels and the student's hardened predictions; `weight`, of the latter, may be
    [B, 1]."""
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


def _logs(labels_NC: np.ndarray) -> np.ndarray:
    return np.log(labels_NC.clip(1e-6))
