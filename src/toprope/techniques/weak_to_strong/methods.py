"""The methods: how a student is made from a weak supervisor's labels. A method never sees the
truth.

Each takes a Lesson and returns the trained student. `METHODS` is the list that users choose from.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

from toprope.techniques.weak_to_strong.confidence import (
    Confidence,
    ConfidenceBySureness,
    Sureness,
)
from toprope.techniques.weak_to_strong.learners import Learner, Predict, ProbeLearner, mean_of

FOLDS = 4
"""Bootstrapping: each rung labels a quarter of the items at a time, having been trained on the
other three."""


@dataclass(frozen=True)
class Lesson:
    """All that a method may use, for one seed.

    Attributes:
        student: the strong model.
        items: indices of the second half, which the supervisor has labelled.
        labels_NC: the supervisor's soft labels of the items.
        both_halves: makes the items of both halves, and labels of them by supervisors that were
            trained on other items: half 1 is labelled fold by fold.
        ensemble: makes the mean of several supervisors' soft labels of the items, [N, C].
        rungs: models between supervisor and student, weakest first.
        confidence: the confidence loss's settings.
        keep: the share of the items whose labels `filtered` keeps.
        folds: the items' folds for bootstrapping, [N], whole groups in a fold.
        rng: a generator of its own for the seed.
    """

    student: Learner
    items: np.ndarray
    labels_NC: np.ndarray
    both_halves: Callable[[], tuple[np.ndarray, np.ndarray]]
    ensemble: Callable[[], np.ndarray]
    rungs: tuple[Learner, ...]
    confidence: Confidence
    keep: float
    folds: np.ndarray
    rng: np.random.Generator


def naive(lesson: Lesson) -> Predict:
    """Trains on the supervisor's labels as they are."""
    return lesson.student.fit(lesson.items, lesson.labels_NC)


def confidence(lesson: Lesson) -> Predict:
    """Adds the confidence loss, which lets the student overrule the supervisor (see
    `confidence.py`)."""
    return lesson.student.fit(lesson.items, lesson.labels_NC, lesson.confidence)


def bootstrapping(lesson: Lesson) -> Predict:
    """Passes the labels through the rungs in between, each the supervisor of the next (section
    4.3.1 of Burns et al.).

    A rung labels only items that it wasn't trained on, or it would hand on what it memorised.
    Without rungs in between the student itself is the one rung.
    """
    labels_NC = lesson.labels_NC
    for rung in lesson.rungs or (lesson.student,):
        labels_NC = rung.relabel(lesson.items, labels_NC, lesson.folds)
    return lesson.student.fit(lesson.items, labels_NC)


def filtered(lesson: Lesson) -> Predict:
    """Trains only on the labels that the supervisor is surest of, of either leaning as many.

    For what sure means see `confidence.Sureness`.
    """
    classes_N, sure_N = Sureness(lesson.labels_NC).of(lesson.labels_NC)
    kept = np.zeros(len(classes_N), dtype=bool)
    for label in np.unique(classes_N):
        given = classes_N == label
        kept |= given & (sure_N >= np.quantile(sure_N[given], 1 - lesson.keep))
    return lesson.student.fit(lesson.items[kept], lesson.labels_NC[kept])


def ensemble(lesson: Lesson) -> Predict:
    """Trains on the mean of several supervisors' labels."""
    return lesson.student.fit(lesson.items, lesson.ensemble())


def cross_fitting(lesson: Lesson) -> Predict:
    """Trains on both halves, with the confidence loss weighted by each label's sureness, and
    answers with the mean of several students.

    The supervisor's own half is as good to learn from as the other one, once its labels come from
    supervisors that were trained on the rest of it (cross-fitting, Chernozhukov et al. 2018): it
    doubles what the student sees, and costs no true label more.
    """
    items, labels_NC = lesson.both_halves()
    mix = ConfidenceBySureness(lesson.confidence, Sureness(labels_NC))
    return mean_of(lesson.student.several(items, labels_NC, mix))


def ccs(lesson: Lesson) -> Predict:
    """Unsupervised: contrast-consistent search in the student; the labels only say which side is
    which."""
    from toprope.techniques.weak_to_strong.contrast import contrast_consistent_search

    assert isinstance(lesson.student, ProbeLearner), (
        "the study's settings allow CCS in probe mode only"
    )
    pairs_NCD = lesson.student.contrast(lesson.items, lesson.labels_NC)
    yes_N = contrast_consistent_search(pairs_NCD[:, 0], pairs_NCD[:, 1], lesson.items, lesson.rng)
    agrees_N = (yes_N[lesson.items] > 0.5) == (lesson.labels_NC[:, 1] > 0.5)
    if agrees_N.mean() < 0.5:
        yes_N = 1 - yes_N
    return lambda asked: np.stack([1 - yes_N[asked], yes_N[asked]], axis=1)


METHODS: Mapping[str, Callable[[Lesson], Predict]] = {
    method.__name__: method
    for method in (naive, confidence, bootstrapping, filtered, ensemble, cross_fitting, ccs)
}
UNSUPERVISED = "ccs"
