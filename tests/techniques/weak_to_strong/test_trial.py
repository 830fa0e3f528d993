"""One seed's protocol: who learns what from which half, and the controls."""

import numpy as np

from toprope.models.heads import one_hot
from toprope.techniques.weak_to_strong.measures import CONTROLS
from toprope.techniques.weak_to_strong.methods import METHODS

from .conftest import HALF1, HALF2, ITEMS, TEST, TRUTH, Recorder, make_trial

SUPERVISED = tuple(name for name in METHODS if name != "ccs")


def test_the_supervisor_learns_the_truth_of_half_1_once():
    weak = Recorder()
    trial = make_trial(weak=weak, student=Recorder(), rungs=())
    for train in trial.arms(("naive", "confidence")).values():
        train()
    [(how, items, labels_NC)] = weak.log
    assert how == "fit"
    np.testing.assert_array_equal(items, HALF1)
    np.testing.assert_array_equal(labels_NC, one_hot(TRUTH[HALF1], 2))


def test_the_ceiling_learns_the_truth_of_half_2():
    student = Recorder()
    make_trial(student=student).arms(())["ceiling"]()
    [(_, items, labels_NC)] = student.log
    np.testing.assert_array_equal(items, HALF2)
    np.testing.assert_array_equal(labels_NC, one_hot(TRUTH[HALF2], 2))


def test_the_ceilings_ensemble_is_the_mean_of_several_that_learn_the_same():
    student = Recorder()
    predict = make_trial(student=student).arms(())["ceiling_ensemble"]()
    [(how, items, labels_NC)] = student.log
    assert how == "several"
    np.testing.assert_array_equal(items, HALF2)
    np.testing.assert_array_equal(labels_NC, one_hot(TRUTH[HALF2], 2))
    np.testing.assert_allclose(predict(TEST)[:, 1], 0.4)  # of 0.1, 0.4 and 0.7


def test_nothing_is_trained_on_test_items_and_no_student_on_the_truth_of_half_1():
    weak, rung, student = Recorder(), Recorder(), Recorder()
    trial = make_trial(weak=weak, student=student, rungs=(rung,))
    arms = trial.arms(SUPERVISED)
    assert list(arms) == [*CONTROLS, *SUPERVISED]
    for train in arms.values():
        train()(TEST)
    assert {how for how, _, _ in weak.log} == {"fit", "several", "relabel"}
    for learner, allowed in ((weak, HALF1), (rung, HALF2), (student, [*HALF1, *HALF2])):
        assert learner.log
        for how, items, labels_NC in learner.log:
            assert np.isin(items, allowed).all(), how
            assert len(labels_NC) == len(items)
    # Cross-fitting is the one method that reads half 1, and not its truth.
    on_half_1 = [labels_NC for _, items, labels_NC in student.log if np.isin(items, HALF1).any()]
    assert len(on_half_1) == 1
    np.testing.assert_array_equal(on_half_1[0], 0.5)


def test_an_arm_is_trained_when_it_is_asked_for():
    """So that its time is its own cost: the supervisor's isn't in making the list."""
    weak, student = Recorder(), Recorder()
    arms = make_trial(weak=weak, student=student, rungs=()).arms(SUPERVISED)
    assert not weak.log
    assert not student.log
    arms["supervisor"]()
    assert len(weak.log) == 1
    assert not student.log


def test_random_errors_are_the_supervisors_dealt_out_within_a_class(noisy_answers: np.ndarray):
    student = Recorder()
    trial = make_trial(weak=Recorder(answers=noisy_answers), student=student)
    trial.arms(())["random_errors"]()
    [(_, items, dealt_NC)] = student.log
    given_NC, truth_N = noisy_answers[HALF2], TRUTH[HALF2]
    np.testing.assert_array_equal(items, HALF2)
    for label in (0, 1):
        own = truth_N == label
        wrong = (given_NC[own].argmax(1) != label).sum()
        assert wrong > 0
        assert (dealt_NC[own].argmax(1) != label).sum() == wrong
        np.testing.assert_array_equal(np.sort(dealt_NC[own, 1]), np.sort(given_NC[own, 1]))
    moved = (dealt_NC != given_NC).any(1)
    assert moved.mean() > 0.8


def test_folds_are_four_and_keep_groups_whole():
    folds, groups = make_trial().lesson.folds, make_trial().groups[HALF2]
    assert set(folds) == {0, 1, 2, 3}
    for group in set(groups):
        assert len(set(folds[groups == group])) == 1


def test_a_trial_repeats_with_its_generator():
    def said(seed: int) -> list[np.ndarray]:
        arms = make_trial(rng=np.random.default_rng(seed)).arms(tuple(METHODS))
        return [train()(np.arange(ITEMS)) for train in arms.values()]

    first, again, other = said(0), said(0), said(1)
    for one, two in zip(first, again, strict=True):
        np.testing.assert_array_equal(one, two)
    assert any((one != two).any() for one, two in zip(first, other, strict=True))


def test_a_methods_answer_does_not_depend_on_the_others_in_the_list():
    alone = make_trial().arms(("ccs",))["ccs"]()(TEST)
    arms = make_trial().arms(tuple(METHODS))
    among = {arm: train()(TEST) for arm, train in arms.items()}
    np.testing.assert_array_equal(among["ccs"], alone)


def test_zero_shot_is_what_the_model_says_and_calibration_takes_out_what_it_leans_to():
    asked_NC = np.full((ITEMS, 2), [0.9, 0.1])
    asked_NC[::2] = [0.7, 0.3]  # always "0", and less sure of it on every other item
    arms = make_trial(asked_NC=asked_NC).arms(())
    assert (arms["zero_shot"]()(TEST).argmax(1) == 0).all()
    said = arms["zero_shot_calibrated"]()(TEST)
    np.testing.assert_allclose(said.sum(1), 1)
    np.testing.assert_array_equal(said.argmax(1), TEST % 2 == 0)
    by_hand = np.array([0.9 / 0.8, 0.1 / 0.2])  # over the means of all items
    np.testing.assert_allclose(said[TEST % 2 == 1][0], by_hand / by_hand.sum())
