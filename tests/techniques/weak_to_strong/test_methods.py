"""What each method makes of a supervisor's labels, and that none of them sees the truth."""

from typing import Any

import numpy as np
import pytest

from toprope.models.heads import one_hot
from toprope.techniques.weak_to_strong import methods
from toprope.techniques.weak_to_strong.confidence import Confidence, ConfidenceBySureness
from toprope.techniques.weak_to_strong.methods import METHODS, Lesson

from .conftest import HALF2, ITEMS, TEST, TRUTH, Recorder, make_trial, probe, soft

LABELS = soft(np.random.default_rng(0).uniform(0.05, 0.95, len(HALF2)))


def lesson(**fields: Any) -> Lesson:
    usual = {
        "student": Recorder(),
        "items": HALF2,
        "labels_NC": LABELS,
        "both_halves": lambda: (HALF2, LABELS),
        "ensemble": lambda: LABELS,
        "rungs": (),
        "confidence": Confidence(0.5, 0.2),
        "keep": 0.4,
        "folds": np.arange(len(HALF2)) % 4,
        "rng": np.random.default_rng(0),
    }
    return Lesson(**(usual | fields))


def answers(truth: np.ndarray) -> dict[str, np.ndarray]:
    """Arm -> probabilities of all items, in one run of all arms, as a study does it."""
    arms = make_trial(labels=truth).arms(tuple(METHODS))
    return {arm: train()(np.arange(ITEMS)) for arm, train in arms.items()}


def test_no_method_sees_the_truth_of_half_2_or_of_the_test():
    other = TRUTH.copy()
    unseen = np.concatenate([HALF2, TEST])
    # One class only: how much the controls draw at random changes too, and may not matter.
    other[unseen] = 1
    before, after = answers(TRUTH), answers(other)
    for arm in ("supervisor", *METHODS):
        np.testing.assert_array_equal(after[arm], before[arm], err_msg=arm)
    for arm in ("ceiling", "ceiling_ensemble", "random_errors"):
        assert (after[arm] != before[arm]).any(), arm


def test_every_method_learns_something():
    found = answers(TRUTH)
    right = {arm: (found[arm][TEST].argmax(1) == TRUTH[TEST]).mean() for arm in found}
    assert right["ceiling"] > right["supervisor"]
    assert min(right[method] for method in METHODS) > 0.6, right


def test_naive_trains_on_the_labels_as_they_are():
    student = Recorder()
    methods.naive(lesson(student=student))
    [(how, items, labels_NC)] = student.log
    assert how == "fit"
    np.testing.assert_array_equal(items, HALF2)
    np.testing.assert_array_equal(labels_NC, LABELS)
    assert student.mixes == [None]


def test_confidence_trains_on_the_labels_with_the_settings_mix():
    student, mix = Recorder(), Confidence(0.7, 0.1)
    methods.confidence(lesson(student=student, confidence=mix))
    assert student.mixes == [mix]
    np.testing.assert_array_equal(student.log[0][2], LABELS)


def test_filtered_keeps_the_share_of_each_class_that_is_surest():
    student = Recorder()
    # As many above the middle as under it, around a supervisor without a lean.
    probs_N = np.linspace(0.1, 0.9, len(HALF2))
    methods.filtered(lesson(student=student, labels_NC=soft(probs_N), keep=0.4))
    [(_, items, labels_NC)] = student.log
    kept = np.isin(HALF2, items)
    np.testing.assert_array_equal(labels_NC, soft(probs_N)[kept])
    for given in (probs_N < 0.5, probs_N > 0.5):
        sure_N = np.abs(probs_N - 0.5)
        assert kept[given].mean() == pytest.approx(0.4, abs=0.02)
        assert sure_N[given & kept].min() > sure_N[given & ~kept].max()


def test_filtered_keeps_both_classes_of_a_supervisor_that_leans_to_one():
    student = Recorder()
    probs_N = np.linspace(0.55, 0.99, len(HALF2))
    methods.filtered(lesson(student=student, labels_NC=soft(probs_N), keep=0.4))
    kept = np.isin(HALF2, student.log[0][1])
    middle = len(HALF2) // 2
    assert kept[:middle].mean() == pytest.approx(0.4, abs=0.02)
    assert kept[middle:].mean() == pytest.approx(0.4, abs=0.02)
    np.testing.assert_array_equal(kept, kept[::-1])
    assert kept[0]
    assert not kept[middle]


def test_filtered_keeps_all_if_asked_to():
    student = Recorder()
    methods.filtered(lesson(student=student, keep=1.0))
    np.testing.assert_array_equal(student.log[0][1], HALF2)


def test_bootstrapping_goes_through_the_rungs_in_order():
    """Each gets what the one before it said, and the student learns from the last."""
    first, second, student = Recorder(0.2), Recorder(0.8), Recorder()
    methods.bootstrapping(lesson(student=student, rungs=(first, second)))
    [(how, items, labels_NC)] = first.log
    assert how == "relabel"
    np.testing.assert_array_equal(items, HALF2)
    np.testing.assert_array_equal(labels_NC, LABELS)
    [(how, _, labels_NC)] = second.log
    assert how == "relabel"
    np.testing.assert_allclose(labels_NC[:, 1], 0.2)
    [(how, items, labels_NC)] = student.log
    assert how == "fit"
    np.testing.assert_array_equal(items, HALF2)
    np.testing.assert_allclose(labels_NC[:, 1], 0.8)


def test_without_rungs_the_student_is_the_one_rung():
    student = Recorder(0.3)
    methods.bootstrapping(lesson(student=student))
    assert [how for how, _, _ in student.log] == ["relabel", "fit"]
    np.testing.assert_allclose(student.log[1][2][:, 1], 0.3)


def test_ensemble_trains_on_the_mean_of_the_supervisors():
    """Its three say 0.1, 0.4 and 0.7 of every item; they learned half 1."""
    student, weak = Recorder(), Recorder()
    trial = make_trial(weak=weak, student=student)
    methods.ensemble(trial.lesson)
    [(_, items, labels_NC)] = student.log
    np.testing.assert_array_equal(items, HALF2)
    np.testing.assert_allclose(labels_NC[:, 1], 0.4)
    how, items, labels_NC = weak.log[-1]
    assert how == "several"
    np.testing.assert_array_equal(items, trial.half1)
    np.testing.assert_array_equal(labels_NC, one_hot(TRUTH[trial.half1], 2))


def test_cross_fitting_trains_several_on_both_halves_with_the_confidence_loss():
    """Half 1 as the weak model labels it out of fold, half 2 as the supervisor does."""
    student, weak, mix = Recorder(), Recorder(0.2), Confidence(0.7, 0.1)
    trial = make_trial(weak=weak, student=student, confidence=mix)
    predict = methods.cross_fitting(trial.lesson)
    [(how, items, labels_NC)] = student.log
    assert how == "several"
    [by_sureness] = student.mixes
    assert isinstance(by_sureness, ConfidenceBySureness)
    assert by_sureness.confidence == mix
    np.testing.assert_allclose(by_sureness.sureness.ranks(labels_NC), 0.5)  # all are as sure
    np.testing.assert_array_equal(items, np.concatenate([trial.half1, HALF2]))
    np.testing.assert_allclose(labels_NC[:, 1], 0.2)
    np.testing.assert_allclose(predict(TEST)[:, 1], 0.4)  # of the three's 0.1, 0.4 and 0.7
    how, items, labels_NC = weak.log[-1]
    assert how == "relabel"
    np.testing.assert_array_equal(items, trial.half1)
    np.testing.assert_array_equal(labels_NC, one_hot(TRUTH[trial.half1], 2))


def ccs(labels_NC: np.ndarray) -> np.ndarray:
    """One layer, so that the labels choose none."""
    student = probe(2.0, seed=3, layers=(1,))
    given = lesson(student=student, labels_NC=labels_NC, rng=np.random.default_rng(1))
    return methods.ccs(given)(np.arange(ITEMS))


def test_ccs_uses_the_labels_only_to_tell_its_sides_apart():
    labels_NC = one_hot(TRUTH[HALF2], 2)
    found_NC = ccs(labels_NC)
    assert (found_NC[TEST].argmax(1) == TRUTH[TEST]).mean() > 0.85
    np.testing.assert_allclose(ccs(labels_NC[:, ::-1]), found_NC[:, ::-1], rtol=1e-9)
    some = labels_NC.copy()
    some[:10] = some[:10, ::-1]
    np.testing.assert_array_equal(ccs(0.8 * some + 0.1), found_NC)


HALF_1 = ~np.isin(np.arange(ITEMS), np.concatenate([HALF2, TEST]))


def test_a_lesson_holds_no_truth():
    """What it holds of half 2 are the supervisor's labels; the rest doesn't depend on the truth."""
    one, other = make_trial().lesson, make_trial(labels=np.where(HALF_1, TRUTH, 0)).lesson
    np.testing.assert_array_equal(one.labels_NC, other.labels_NC)
    np.testing.assert_array_equal(one.folds, other.folds)
    np.testing.assert_array_equal(one.ensemble(), other.ensemble())
