"""LoraLearner: the model itself is fine-tuned on the labels, with LoRA, as in the paper's own
experiments.

A fifth of the items' labels is held out for early stopping: the labels given, so a student never
sees the truth.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import cross_entropy

from toprope.models.adapters import Lora
from toprope.models.finetune import Classifier, Loss, soft_cross_entropy
from toprope.models.local import LocalModel
from toprope.techniques.weak_to_strong.learners import Mix, Predict

HELD_OUT = 0.2
ENSEMBLE = 3
"""Models in an ensemble; each is a training of its own."""


class LoraLearner:
    """A model that is fine-tuned anew for every set of labels.

    Args:
        texts: of all the dataset's items.
        settings: `Lora`'s fields.
        rng: for the trainings' seeds and what each holds out.
    """

    def __init__(
        self,
        model: LocalModel,
        texts: list[str],
        settings: Mapping[str, Any],
        rng: np.random.Generator,
    ) -> None:
        self.model, self.texts, self.settings, self.rng = model, texts, settings, rng
        self._trained: list[Classifier] = []

    @property
    def tokens_read(self) -> int:
        return self.model.tokens_read

    def fit(self, items: np.ndarray, labels_NC: np.ndarray, mix: Mix | None = None) -> Predict:
        order = self.rng.permutation(len(items))
        held, rest = np.split(order, [round(HELD_OUT * len(items))])
        classifier = self.model.finetune_classifier(
            self._texts(items[rest]),
            labels_NC[rest],
            Lora(**self.settings, seed=int(self.rng.integers(2**31))),
            loss=_mixed(mix) if mix else soft_cross_entropy,
            validation=(self._texts(items[held]), labels_NC[held]),
        )
        self._trained.append(classifier)
        known: dict[int, np.ndarray] = {}

        def predict(asked: np.ndarray) -> np.ndarray:
            missing = [int(i) for i in asked if int(i) not in known]
            if missing:
                known.update(
                    zip(missing, classifier.probs(self._texts(np.array(missing))), strict=True)
                )
            return np.stack([known[int(i)] for i in asked])

        return predict

    def several(
        self, items: np.ndarray, labels_NC: np.ndarray, mix: Mix | None = None
    ) -> list[Predict]:
        """A few trainings that differ in their seed and in what they hold out."""
        return [self.fit(items, labels_NC, mix) for _ in range(ENSEMBLE)]

    def relabel(self, items: np.ndarray, labels_NC: np.ndarray, folds: np.ndarray) -> np.ndarray:
        relabelled_NC = np.empty_like(labels_NC)
        for fold in np.unique(folds):
            rest = folds != fold
            relabelled_NC[~rest] = self.fit(items[rest], labels_NC[rest])(items[~rest])
        return relabelled_NC

    def forget(self) -> None:
        for classifier in self._trained:
            classifier.close()
        self._trained.clear()

    def _texts(self, items: np.ndarray) -> list[str]:
        return [self.texts[i] for i in items]


def _mixed(mix: Mix) -> Loss:
    """A loss towards what `mix` makes of a step's own probabilities and labels."""

    def loss(logits_BC: Tensor, labels_BC: Tensor, progress: float) -> Tensor:
        probs_BC = logits_BC.detach().softmax(-1).cpu().double().numpy()
        towards_BC = mix(probs_BC, labels_BC.cpu().double().numpy(), progress)
        target_BC = torch.as_tensor(towards_BC, dtype=logits_BC.dtype, device=logits_BC.device)
        return cross_entropy(logits_BC, target_BC)

    return loss
