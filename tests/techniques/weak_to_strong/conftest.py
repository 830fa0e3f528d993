"""Synthetic items that probes can learn from, a learner that keeps a record, and tiny models."""

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest

from toprope.models.heads import one_hot
from toprope.techniques.weak_to_strong.confidence import Confidence
from toprope.techniques.weak_to_strong.learners import Mix, Predict, ProbeLearner
from toprope.techniques.weak_to_strong.trial import Trial

from ...local_models import smollm, tiny_folder, tiny_model  # noqa: F401

ITEMS = 120
TRUTH = np.random.default_rng(0).permutation(np.arange(ITEMS) % 2)
HALF1, HALF2, TEST = np.split(np.random.default_rng(1).permutation(ITEMS), [50, 100])


def probe(signal: float, *, seed: int, layers: tuple[int, ...] = (1, 2)) -> ProbeLearner:
    """Activations [120, 6] a layer: noise, and the truth along one axis as far as `signal` says;
    with its true answer behind it an item lies on one side, with the other on the other."""
    rng = np.random.default_rng(seed)
    sign_N = 2 * TRUTH - 1
    plain, answered = {}, {}
    for layer in layers:
        noise = rng.standard_normal((3, ITEMS, 6))
        noise[:, :, 0] += signal * np.stack([sign_N, -sign_N, sign_N])
        plain[layer], answered[layer] = noise[0], noise[1:].swapaxes(0, 1)
    return ProbeLearner(plain, answered)


@dataclass
class Recorder:
    """A learner that keeps what it was given; its models say `share` for class 1, whatever they
    are asked, or what `answers` [all items, C] says."""

    share: float = 0.5
    answers: np.ndarray | None = None
    log: list[tuple[str, np.ndarray, np.ndarray]] = field(default_factory=list)
    mixes: list[Mix | None] = field(default_factory=list)
    tokens_read: int = 0

    def predict(self, asked: np.ndarray) -> np.ndarray:
        if self.answers is not None:
            return self.answers[asked]
        return np.tile([1 - self.share, self.share], (len(asked), 1))

    def fit(self, items: np.ndarray, labels_NC: np.ndarray, mix: Mix | None = None) -> Predict:
        self.log.append(("fit", items, labels_NC))
        self.mixes.append(mix)
        return self.predict

    def several(
        self, items: np.ndarray, labels_NC: np.ndarray, mix: Mix | None = None
    ) -> list[Predict]:
        self.log.append(("several", items, labels_NC))
        self.mixes.append(mix)
        return [lambda asked, p=p: np.tile([1 - p, p], (len(asked), 1)) for p in (0.1, 0.4, 0.7)]

    def relabel(self, items: np.ndarray, labels_NC: np.ndarray, folds: np.ndarray) -> np.ndarray:
        self.log.append(("relabel", items, labels_NC))
        return self.predict(items)

    def forget(self) -> None:
        self.log.clear()


def make_trial(**fields: Any) -> Trial:
    """A trial on the synthetic items; `fields` replace the usual ones."""
    usual = {
        "weak": probe(0.6, seed=2),
        "student": probe(2.0, seed=3),
        "rungs": (probe(1.2, seed=4),),
        "asked_NC": np.full((ITEMS, 2), [0.9, 0.1]),
        "labels": TRUTH,
        "groups": np.array([f"group {i // 2}" for i in range(ITEMS)]),
        "classes": 2,
        "half1": HALF1,
        "half2": HALF2,
        "confidence": Confidence(0.5, 0.2),
        "keep": 0.5,
        "rng": np.random.default_rng(5),
    }
    return Trial(**(usual | fields))


def soft(probs_N: np.ndarray) -> np.ndarray:
    """[N, 2] from the probabilities of class 1."""
    return np.stack([1 - probs_N, probs_N], axis=1)


@pytest.fixture
def noisy_answers() -> np.ndarray:
    """[120, 2], a supervisor's soft labels: right three times of four, unsure to sure."""
    rng = np.random.default_rng(6)
    said_N = np.where(rng.random(ITEMS) < 0.75, TRUTH, 1 - TRUTH)
    sure_N = rng.uniform(0.55, 0.95, (ITEMS, 1))
    return one_hot(said_N, 2) * sure_N + one_hot(1 - said_N, 2) * (1 - sure_N)
