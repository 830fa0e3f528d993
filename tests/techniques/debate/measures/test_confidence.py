"""Bets: every figure of a small table worked out by hand, at both thresholds."""

import numpy as np
import pytest

from toprope.errors import UserError
from toprope.techniques.debate.measures import confidence

from ..playing import judged

BETS = [
    # before round 1, 2, 3: one side's, the other's
    [(60, 40), (70, 60), (80, 90)],  # both above 75 at the end
    [(50, 50), (75, 75), (75, 80)],  # at least 75, not both above
    [(70, 70), (60, 40), (90, 74)],  # one below
    [(50, 45), (50, 50), (80, None)],  # one gave none
]
TABLE = [judged(i, (0.5, 0.5), bets=rows) for i, rows in enumerate(BETS)]


def rng() -> np.random.Generator:
    return np.random.default_rng(0)


def test_bets_by_round_and_their_escalation():
    some = confidence.bets(TABLE)
    assert some.percent_NKS.shape == (4, 3, 2)
    means = [one.value for one in confidence.by_round(some, rng=rng())]
    assert means == pytest.approx([435 / 8, 480 / 8, 569 / 7])
    rises = [one.value for one in confidence.escalation(some, rng=rng())]
    first = [10, 20, 25, 25, -10, -30, 0, 5]
    second = [10, 30, 0, 5, 30, 34, 30]
    whole = [20, 50, 25, 30, 20, 4, 30]
    assert rises == pytest.approx([np.mean(first), np.mean(second), np.mean(whole)])


def test_both_sure_at_either_threshold():
    found = confidence.overconfidence(confidence.bets(TABLE), rng=rng())
    assert (found.strictly.value, found.at_least.value) == (0.25, 0.5)
    assert confidence.bets(TABLE).incomplete == 1


def test_sums_over_a_hundred_are_flagged():
    # Of 11 pairs: 130, 170, 150, 155, 140, 164; exactly 100 (four of them) is coherent.
    found = confidence.overconfidence(confidence.bets(TABLE), rng=rng())
    assert found.incoherent.value == pytest.approx(6 / 11)


def test_debates_without_bets_or_of_other_lengths():
    with pytest.raises(UserError, match="without bets"):
        confidence.bets([judged(0, (0.5, 0.5))])
    with pytest.raises(UserError, match="different lengths"):
        confidence.bets([TABLE[0], judged(9, (0.5, 0.5), bets=BETS[0][:2])])
