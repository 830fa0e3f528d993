"""Learner: a model that can be trained on labels of some of a dataset's items and then asked about
others.

Everything above this file (the methods, the controls, the protocol) is the same for both modes:
`ProbeLearner` trains a head on frozen activations, `lora.LoraLearner` trains the model itself.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np

from toprope.models.heads import STRENGTHS, Axes

Predict = Callable[[np.ndarray], np.ndarray]
"""Item indices [n] -> probabilities [n, C]."""

Mix = Callable[[np.ndarray, np.ndarray, float], np.ndarray]
"""(the student's probabilities [B, C], labels [B, C], progress 0..1) -> what to train towards, [B,
C]."""


def mean_of(predictions: Sequence[Predict]) -> Predict:
    """The mean of several students' probabilities."""
    return lambda asked: np.mean([predict(asked) for predict in predictions], axis=0)


class Learner(Protocol):
    """A model as a student of one dataset.

    Attributes:
        tokens_read: what training and asking took so far; nothing where activations are reused.
    """

    @property
    def tokens_read(self) -> int: ...

    def fit(self, items: np.ndarray, labels_NC: np.ndarray, mix: Mix | None = None) -> Predict:
        """Trains on soft labels of the items; sees no other labels, not for early stopping
        either."""
        ...

    def several(
        self, items: np.ndarray, labels_NC: np.ndarray, mix: Mix | None = None
    ) -> list[Predict]:
        """A few students that differ in what they read or how they start, for an ensemble."""
        ...

    def relabel(self, items: np.ndarray, labels_NC: np.ndarray, folds: np.ndarray) -> np.ndarray:
        """Labels [N, C] of the same items, each fold's by a student that was trained on the other
        folds."""
        ...

    def forget(self) -> None:
        """Lets go of what was kept for the items of one seed: the next seed has others."""
        ...


@dataclass
class ProbeLearner:
    """Linear heads on frozen activations; the layer and the regularisation are chosen on the labels
    given.

    Attributes:
        layers: layer -> activations of all the dataset's items, [N, D].
        answered: layer -> activations of the items with each answer behind them, [N, C, D].
    """

    layers: dict[int, np.ndarray]
    answered: dict[int, np.ndarray]
    _axes: dict[tuple[int, bytes], Axes] = field(default_factory=dict, repr=False)

    @property
    def tokens_read(self) -> int:
        return 0

    def fit(self, items: np.ndarray, labels_NC: np.ndarray, mix: Mix | None = None) -> Predict:
        layer, strength = self.choose(items, labels_NC)
        return self._trained(layer, items, labels_NC, strength, mix)

    def several(
        self, items: np.ndarray, labels_NC: np.ndarray, mix: Mix | None = None
    ) -> list[Predict]:
        """One head a layer."""
        return [
            self._trained(layer, items, labels_NC, self.choose(items, labels_NC, [layer])[1], mix)
            for layer in self.layers
        ]

    def relabel(self, items: np.ndarray, labels_NC: np.ndarray, folds: np.ndarray) -> np.ndarray:
        """As the protocol says; the layer and the regularisation are chosen once, on all the
        labels."""
        layer, strength = self.choose(items, labels_NC)
        relabelled_NC = np.empty_like(labels_NC)
        for fold in np.unique(folds):
            rest = folds != fold
            head = Axes.of(self.layers[layer][items[rest]]).fit(labels_NC[rest], strength)
            relabelled_NC[~rest] = head.probs(self.layers[layer][items[~rest]])
        return relabelled_NC

    def contrast(self, items: np.ndarray, labels_NC: np.ndarray) -> np.ndarray:
        """All items with each answer, [all items, C, D], at the layer that suits these labels
        best."""
        return np.asarray(self.answered[self.choose(items, labels_NC)[0]])

    def choose(
        self, items: np.ndarray, labels_NC: np.ndarray, layers: Sequence[int] | None = None
    ) -> tuple[int, float]:
        """The layer and the L2 strength with the least leave-one-out error on these labels."""
        found = []
        for layer in layers or self.layers:
            errors = self.axes(layer, items).leave_one_out(labels_NC)
            best = int(errors.argmin())
            found.append((errors[best], layer, float(STRENGTHS[best])))
        _, layer, strength = min(found)
        return layer, strength

    def axes(self, layer: int, items: np.ndarray) -> Axes:
        """The items' activations at a layer in their principal axes, worked out once for all
        methods of a seed."""
        key = (layer, items.tobytes())
        if key not in self._axes:
            self._axes[key] = Axes.of(self.layers[layer][items])
        return self._axes[key]

    def forget(self) -> None:
        self._axes.clear()

    def _trained(
        self,
        layer: int,
        items: np.ndarray,
        labels_NC: np.ndarray,
        strength: float,
        mix: Mix | None,
    ) -> Predict:
        remix = None if mix is None else lambda probs_NC, done: mix(probs_NC, labels_NC, done)
        head = self.axes(layer, items).fit(labels_NC, strength, remix)
        return lambda asked: head.probs(self.layers[layer][asked])
