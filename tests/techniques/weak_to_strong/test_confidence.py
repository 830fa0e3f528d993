"""The confidence loss: the mixture by hand, its linear warm-up, and balanced hardening."""

import numpy as np
import pytest

from toprope.models.heads import Axes, softmax
from toprope.techniques.weak_to_strong.confidence import (
    Confidence,
    ConfidenceBySureness,
    Sureness,
    hardened,
)

from .conftest import HALF1, TRUTH, probe, soft

LABELS = soft(np.array([0.9, 0.2, 0.6, 0.3]))  # class 1 has half of their mass
PROBS = soft(np.array([0.95, 0.7, 0.8, 0.75]))  # at their median, items 0 and 2 are class 1
HARD = np.array([[0, 1], [1, 0], [0, 1], [1, 0]])


@pytest.mark.parametrize(
    ("progress", "weight"), [(0.0, 0.0), (0.05, 0.15), (0.1, 0.3), (0.2, 0.6), (0.7, 0.6), (1, 0.6)]
)
def test_the_mixture_by_hand(progress: float, weight: float):
    """Burns et al. 2023, section 4.3.2; the weight grows linearly, it doesn't jump."""
    found = Confidence(weight=0.6, warmup=0.2)(PROBS, LABELS, progress)
    np.testing.assert_allclose(found, (1 - weight) * LABELS + weight * HARD)


def test_the_mixture_in_numbers():
    found = Confidence(weight=0.6, warmup=0.2)(PROBS, LABELS, 0.1)
    np.testing.assert_allclose(found[:, 1], [0.93, 0.14, 0.72, 0.21])


def test_without_a_warm_up_the_weight_is_whole_at_once():
    found = Confidence(weight=0.6, warmup=0.0)(PROBS, LABELS, 0.0)
    np.testing.assert_allclose(found, 0.4 * LABELS + 0.6 * HARD)


def test_a_weight_of_zero_is_naive():
    x_ND, labels_NC = probe(1.0, seed=0).layers[1][HALF1], soft(0.2 + 0.6 * TRUTH[HALF1])
    axes, none = Axes.of(x_ND), Confidence(weight=0.0, warmup=0.2)
    head = axes.fit(labels_NC, 1.0, lambda probs_NC, done: none(probs_NC, labels_NC, done))
    np.testing.assert_allclose(head.weight_DC, axes.fit(labels_NC, 1.0).weight_DC)


@pytest.mark.parametrize("share", [0.1, 0.25, 0.5, 0.8])
def test_two_classes_are_as_frequent_as_in_the_labels(share: float):
    """However far the student leans to one class."""
    rng = np.random.default_rng(0)
    probs_BC = soft(rng.beta(8, 2, 101))
    hard_BC = hardened(probs_BC, np.array([1 - share, share]))
    assert hard_BC[:, 1].sum() == pytest.approx(100 * share)
    chosen = hard_BC[:, 1] == 1
    assert probs_BC[chosen, 1].min() > probs_BC[~chosen, 1].max()


def test_three_classes_are_about_as_frequent_as_in_the_labels():
    rng = np.random.default_rng(0)
    shares_C = np.array([0.5, 0.3, 0.2])
    # The student leans to the last class: without balance it would say little else.
    probs_BC = softmax(3 * rng.standard_normal((900, 3)) + np.array([0.0, 0.0, 4.0]))
    assert (probs_BC.argmax(1) == 2).mean() > 0.7
    hard_BC = hardened(probs_BC, shares_C)
    assert set(np.unique(hard_BC)) == {0.0, 1.0}
    np.testing.assert_array_equal(hard_BC.sum(1), 1)
    np.testing.assert_allclose(hard_BC.mean(0), shares_C, atol=0.05)


def test_sureness_ranks_the_labels_of_each_class():
    """By hand: the median is 0.8, so that two say class 1, and three class 0."""
    labels_NC = soft(np.array([0.9, 0.8, 0.4, 0.95, 0.01]))
    sureness = Sureness(labels_NC)
    np.testing.assert_array_equal(sureness.of(labels_NC)[0], [1, 0, 0, 1, 0])
    np.testing.assert_allclose(sureness.ranks(labels_NC), [0, 0, 0.5, 1, 1])


def test_a_supervisor_that_leans_to_one_class_is_not_surer_of_it():
    """Labels are told apart at their median: half of these count as the class never named."""
    leaning_N = np.linspace(0.7, 0.99, 40)
    classes_N, sure_N = Sureness(soft(leaning_N)).of(soft(leaning_N))
    assert abs((classes_N == 1).sum() - 20) <= 1
    assert (sure_N >= np.log(leaning_N) - np.median(np.log(leaning_N)) - 1e-9).all()


def test_the_less_sure_a_label_the_more_the_student_says():
    """`a` is 1 - 3 (1 - weight) rank^2: here 1, 1 - 0.6/4 and 0.4 of the way to the hardened."""
    given_N = np.array([0.45, 0.4, 0.3, 0.55, 0.6, 0.7])
    labels_NC, probs_NC = soft(given_N), soft(np.array([0.9, 0.8, 0.7, 0.3, 0.2, 0.1]))
    mix = ConfidenceBySureness(Confidence(weight=0.8, warmup=0.0), Sureness(labels_NC))
    hard_N = np.array([1, 1, 1, 0, 0, 0])
    weight_N = np.array([1, 0.85, 0.4, 1, 0.85, 0.4])
    wanted_N = (1 - weight_N) * given_N + weight_N * hard_N
    np.testing.assert_allclose(mix(probs_NC, labels_NC, 0.5)[:, 1], wanted_N)


@pytest.mark.parametrize("weight", [0.0, 0.25, 0.5, 0.75, 1.0])
def test_the_weight_by_sureness_is_the_setting_on_average(weight: float):
    labels_NC = soft(np.random.default_rng(0).random(2000))
    mix = ConfidenceBySureness(Confidence(weight=weight, warmup=0.5), Sureness(labels_NC))
    probs_NC = soft(1 - labels_NC[:, 1])  # whatever the supervisor says, the student denies it
    hard_NC = hardened(probs_NC, labels_NC.mean(0))
    for progress, expected in ((0.25, weight / 2), (0.5, weight), (1.0, weight)):
        moved_N = (mix(probs_NC, labels_NC, progress) - labels_NC)[:, 1]
        weight_N = moved_N / (hard_NC - labels_NC)[:, 1]
        assert weight_N.mean() == pytest.approx(expected, abs=0.01)
        assert (weight_N > -1e-9).all()
        assert (weight_N < 1 + 1e-9).all()


def test_a_batch_is_ranked_among_all_labels():
    labels_NC = soft(np.random.default_rng(0).random(50))
    sureness = Sureness(labels_NC)
    np.testing.assert_allclose(sureness.ranks(labels_NC[7:9]), sureness.ranks(labels_NC)[7:9])
