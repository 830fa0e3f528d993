"""Measures of the judge, against tables worked out by hand."""

import math

import numpy as np
import pytest

from toprope.errors import UserError
from toprope.statistics import bootstrap_clustered
from toprope.techniques.debate.measures import judging
from toprope.techniques.debate.measures.drift import drift

from ..playing import judged


def rng() -> np.random.Generator:
    return np.random.default_rng(0)


TABLE = [
    judged(0, (0.8, 0.2)),
    judged(1, (0.3, 0.7)),
    judged(2, (0.4, 0.6), answer=1),
    judged(3, None),
]


def test_accuracy_counts_no_answer_as_wrong_and_says_what_it_could_be():
    assert judging.accuracy(TABLE, rng=rng()).value == 0.5
    assert judging.accuracy_bounds(TABLE) == (0.5, 0.75)


def test_scores_of_probabilities():
    log = judging.mean(judging.log_score, TABLE, rng=rng()).value
    assert log == pytest.approx(np.mean(np.log([0.8, 0.3, 0.6, 0.5])))
    brier = judging.mean(judging.brier_score, TABLE, rng=rng()).value
    assert brier == pytest.approx((2 * 0.04 + 2 * 0.49 + 2 * 0.16 + 0.5) / 4)
    assert judging.log_score(judged(0, (0.0, 1.0))) == math.log(0.01)
    assert judging.brier_score(judged(0, (0.5, 0.25, 0.25), options=3)) == pytest.approx(0.375)


def test_calibration_error_by_hand():
    # In [0.6, 0.7): one answer, right, 0.6. In [0.7, 0.8): wrong, 0.7. In [0.8, 0.9): right, 0.8.
    expected = (abs(0.6 - 1) + abs(0.7 - 0) + abs(0.8 - 1)) / 3
    assert judging.calibration_error(TABLE) == pytest.approx(expected)
    one = [judged(i, (0.75, 0.25), answer=int(i == 3)) for i in range(4)]
    assert judging.calibration_error(one) == pytest.approx(0.0)
    assert [(b.n, b.confidence, b.accuracy) for b in judging.reliability(one)] == [(4, 0.75, 0.75)]
    with pytest.raises(UserError, match="no verdict names"):
        judging.calibration_error([judged(0, None)])


def test_the_interval_of_a_calibration_error_is_that_of_resampled_groups():
    some = [
        judged(
            i,
            (share := 0.5 + 0.04 * (i % 12), 1 - share),
            answer=int(i % 5 == 0),
            group=f"g{i // 3}",
        )
        for i in range(36)
    ]
    found = judging.calibration([*some, judged(99, None)], rng=rng(), resamples=1000)
    plain = bootstrap_clustered(
        np.arange(36),
        [one.question.unit for one in some],
        rng=rng(),
        resamples=1000,
        statistic=lambda places: judging.calibration_error([some[int(i)] for i in places]),
    )
    assert found.value == judging.calibration_error(some)
    assert (found.low, found.high) == pytest.approx((plain.low, plain.high))
    assert found.n == 12


def test_groups_of_questions_are_resampled_together():
    many = [judged(i, (0.9, 0.1) if i < 20 else (0.1, 0.9), group=f"g{i // 10}") for i in range(40)]
    found = judging.accuracy(many, rng=rng())
    expected = bootstrap_clustered([1.0] * 20 + [0.0] * 20, np.arange(40) // 10, rng=rng())
    assert (found.low, found.high, found.n) == (expected.low, expected.high, 4)
    assert found.n < judging.accuracy([judged(i, (0.9, 0.1)) for i in range(5)], rng=rng()).n


def test_the_judges_drift():
    some = [
        judged(0, (0.5, 0.5), (0.7, 0.3), (0.9, 0.1)),
        judged(1, (0.5, 0.5), (0.3, 0.7), (0.5, 0.5)),
    ]
    found = drift(some, rng=rng())
    assert found.rounds == (0, 1, 2)
    assert [one.value for one in found.right] == pytest.approx([0.5, 0.5, 0.7])
    assert [one.value for one in found.step] == pytest.approx([0.0, 0.2], abs=1e-12)
    assert [one.value for one in found.moved] == pytest.approx([0.2, 0.2])
    with pytest.raises(UserError, match="at the end only"):
        drift([judged(0, (0.5, 0.5))], rng=rng())
    with pytest.raises(UserError, match="same rounds"):
        drift([some[0], judged(1, (0.5, 0.5))], rng=rng())
