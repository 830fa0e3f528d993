"""Probes on frozen activations: which layer is read, what is kept, and relabelling out of fold."""

import numpy as np
import pytest

from toprope.models.heads import STRENGTHS, Axes, one_hot
from toprope.techniques.weak_to_strong import learners
from toprope.techniques.weak_to_strong.learners import ProbeLearner

from .conftest import HALF1, HALF2, TEST, TRUTH, probe

LABELS = one_hot(TRUTH[HALF2], 2)


@pytest.fixture
def learner() -> ProbeLearner:
    """Layers 3, 5 and 7, of which 5 carries the truth."""
    layers = {3: probe(0.0, seed=0), 5: probe(2.0, seed=1), 7: probe(0.0, seed=2)}
    return ProbeLearner(
        {layer: one.layers[1] for layer, one in layers.items()},
        {layer: one.answered[1] for layer, one in layers.items()},
    )


@pytest.fixture
def made(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The number of items of each `Axes` that is worked out."""
    sizes: list[int] = []

    class Counting(Axes):
        @classmethod
        def of(cls, x_ND: np.ndarray) -> Axes:
            sizes.append(len(x_ND))
            return Axes.of(x_ND)

    monkeypatch.setattr(learners, "Axes", Counting)
    return sizes


def test_the_layer_that_carries_the_signal_is_chosen(learner: ProbeLearner):
    layer, strength = learner.choose(HALF2, LABELS)
    assert layer == 5
    assert strength in STRENGTHS
    assert learner.choose(HALF2, LABELS, [3, 7])[0] in (3, 7)
    predicted = learner.fit(HALF2, LABELS)(TEST).argmax(1)
    assert (predicted == TRUTH[TEST]).mean() > 0.85


def test_noise_is_regularised_more_than_signal(learner: ProbeLearner):
    assert learner.choose(HALF2, LABELS, [3])[1] > learner.choose(HALF2, LABELS, [5])[1]


def test_the_layer_suits_the_labels_that_are_given(learner: ProbeLearner):
    """Whatever they are: here the sign of a feature of layer 7."""
    labels_NC = one_hot((learner.layers[7][HALF2, 2] > 0).astype(int), 2)
    assert learner.choose(HALF2, labels_NC)[0] == 7
    np.testing.assert_array_equal(learner.contrast(HALF2, labels_NC), learner.answered[7])


def test_several_are_one_a_layer(learner: ProbeLearner):
    students = learner.several(HALF2, LABELS)
    right = [(student(TEST).argmax(1) == TRUTH[TEST]).mean() for student in students]
    assert len(right) == 3
    assert right[1] > max(right[0], right[2])
    np.testing.assert_allclose(students[1](TEST), learner.fit(HALF2, LABELS)(TEST))


def test_axes_are_made_once_for_the_items_of_a_seed_until_forgotten(
    learner: ProbeLearner, made: list[int]
):
    learner.fit(HALF2, LABELS)
    learner.several(HALF2, LABELS)
    assert made == [len(HALF2)] * 3
    learner.fit(HALF1[:20], one_hot(TRUTH[HALF1[:20]], 2))
    assert made[3:] == [20] * 3
    learner.forget()
    learner.fit(HALF2, LABELS)
    assert made[6:] == [len(HALF2)] * 3


def test_forgetting_changes_no_answer(learner: ProbeLearner):
    student = learner.fit(HALF2, LABELS)
    before = student(TEST)
    learner.forget()
    np.testing.assert_array_equal(student(TEST), before)
    np.testing.assert_array_equal(learner.fit(HALF2, LABELS)(TEST), before)


def test_an_item_is_never_relabelled_by_its_own_label(
    learner: ProbeLearner, monkeypatch: pytest.MonkeyPatch
):
    """Nor by any of its fold's; those of the other folds count. Layer and strength are held."""
    monkeypatch.setattr(ProbeLearner, "choose", lambda *_: (5, 1.0))
    folds = np.arange(len(HALF2)) % 4
    before = learner.relabel(HALF2, LABELS, folds)
    for item in (0, 1, 30):
        changed = LABELS.copy()
        changed[item] = changed[item, ::-1]
        after = learner.relabel(HALF2, changed, folds)
        own = folds == folds[item]
        np.testing.assert_array_equal(after[own], before[own])
        assert (after[~own] != before[~own]).all()


def test_a_fold_gets_the_answers_of_a_student_of_the_rest(learner: ProbeLearner):
    folds = np.arange(len(HALF2)) % 4
    layer, strength = learner.choose(HALF2, LABELS)
    found = learner.relabel(HALF2, LABELS, folds)
    rest = folds != 2
    head = Axes.of(learner.layers[layer][HALF2[rest]]).fit(LABELS[rest], strength)
    np.testing.assert_allclose(found[~rest], head.probs(learner.layers[layer][HALF2[~rest]]))


def test_a_mix_gets_the_labels_given(learner: ProbeLearner):
    seen: list[float] = []

    def mix(probs_NC: np.ndarray, labels_NC: np.ndarray, done: float) -> np.ndarray:
        np.testing.assert_array_equal(labels_NC, LABELS)
        seen.append(done)
        return labels_NC[:, ::-1]

    student = learner.fit(HALF2, LABELS, mix)
    assert seen[0] == 0
    assert (student(TEST).argmax(1) == TRUTH[TEST]).mean() < 0.15
