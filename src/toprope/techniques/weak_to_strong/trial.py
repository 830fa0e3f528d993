"""One seed of a weak-to-strong study: the protocol of Burns et al. 2023 (section 3), and its
controls.

The supervisor learns the truth of half 1 and labels half 2; students learn those labels, the
ceiling learns the truth of half 2, and all are asked about the test items, which nothing was
trained or chosen on.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from toprope.models.heads import one_hot
from toprope.techniques.weak_to_strong.confidence import Confidence
from toprope.techniques.weak_to_strong.learners import Learner, Predict, mean_of
from toprope.techniques.weak_to_strong.methods import FOLDS, METHODS, Lesson
from toprope.techniques.weak_to_strong.zero_shot import calibrated


@dataclass(frozen=True)
class Trial:
    """One seed's halves and models.

    Attributes:
        asked_NC: what the strong model says of all items without training, probabilities.
        labels: the truth of all items, [all items].
        groups: their groups.
        half1, half2: indices of the items that the supervisor and the students learn from.
    """

    weak: Learner
    student: Learner
    rungs: tuple[Learner, ...]
    asked_NC: np.ndarray
    labels: np.ndarray
    groups: np.ndarray
    classes: int
    half1: np.ndarray
    half2: np.ndarray
    confidence: Confidence
    keep: float
    rng: np.random.Generator

    @cached_property
    def supervisor(self) -> Predict:
        return self.weak.fit(self.half1, self._truth(self.half1))

    @cached_property
    def lesson(self) -> Lesson:
        """What the methods get: the truth isn't in it, but for what the supervisors learned from
        half 1."""
        # Apart from what the controls draw, which depends on the truth of half 2.
        rng = self.rng.spawn(1)[0]
        # Drawn at once: which methods are asked for, and in which order, changes none of them.
        folds1, folds2 = (_folds(self.groups[half], rng) for half in (self.half1, self.half2))
        return Lesson(
            student=self.student,
            items=self.half2,
            labels_NC=self.supervisor(self.half2),
            both_halves=lambda: self._both_halves(folds1),
            ensemble=self._ensemble,
            rungs=self.rungs,
            confidence=self.confidence,
            keep=self.keep,
            folds=folds2,
            rng=rng,
        )

    def arms(self, methods: tuple[str, ...]) -> Mapping[str, Callable[[], Predict]]:
        """Arm -> makes its trained model, in the order of a report: controls, then methods."""
        controls: dict[str, Callable[[], Predict]] = {
            "supervisor": lambda: self.supervisor,
            "ceiling": lambda: self.student.fit(self.half2, self._truth(self.half2)),
            "ceiling_ensemble": lambda: mean_of(
                self.student.several(self.half2, self._truth(self.half2))
            ),
            "zero_shot": lambda: lambda items: self.asked_NC[items],
            "zero_shot_calibrated": lambda: lambda items: calibrated(self.asked_NC)[items],
            "random_errors": lambda: self.student.fit(self.half2, self._random_errors()),
        }
        return controls | {name: self._method(name) for name in methods}

    def _method(self, name: str) -> Callable[[], Predict]:
        """Makes the lesson when it is first needed, so that the supervisor's training isn't anyone
        else's cost."""
        return lambda: METHODS[name](self.lesson)

    def _truth(self, items: np.ndarray) -> np.ndarray:
        return one_hot(self.labels[items], self.classes)

    def _ensemble(self) -> np.ndarray:
        return mean_of(self.weak.several(self.half1, self._truth(self.half1)))(self.half2)

    def _both_halves(self, folds: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        half1_NC = self.weak.relabel(self.half1, self._truth(self.half1), folds)
        items = np.concatenate([self.half1, self.half2])
        return items, np.concatenate([half1_NC, self.supervisor(self.half2)])

    def _random_errors(self) -> np.ndarray:
        """The supervisor's labels with their errors dealt out at random.

        Within a class, an item gets the label that the supervisor gave to another one: as many
        errors, as sure of themselves, but without anything to do with the item.
        """
        given_NC, truth_N = self.supervisor(self.half2), self.labels[self.half2]
        dealt_NC = given_NC.copy()
        for label in range(self.classes):
            own = np.flatnonzero(truth_N == label)
            dealt_NC[own] = given_NC[self.rng.permutation(own)]
        return dealt_NC


def _folds(groups_N: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """A fold for each item, whole groups in one."""
    names, codes_N = np.unique(groups_N, return_inverse=True)
    return rng.permutation(len(names))[codes_N] % FOLDS
