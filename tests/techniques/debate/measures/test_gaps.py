"""What is gained over the blind judge, who is favoured, and what a null rules out."""

import math
from dataclasses import replace

import numpy as np
import pytest
from scipy import stats

from toprope.errors import UserError
from toprope.techniques.debate.measures.agents import agent_score_difference
from toprope.techniques.debate.measures.gaps import gain, paired, share_closed, share_difference
from toprope.techniques.debate.measures.power import smallest_detectable
from toprope.techniques.debate.transcript import Seating

from ..playing import judged

RIGHT, WRONG = (0.9, 0.1), (0.1, 0.9)


def rng() -> np.random.Generator:
    return np.random.default_rng(0)


def arm(right: int, of: int = 40):
    """Right on the first questions; each is played twice, in both orders."""
    return [judged(i, RIGHT if i < right else WRONG) for i in range(of) for _ in range(2)]


def test_gain_and_share_of_the_gap():
    pairs = paired({"blind": arm(10), "debate": arm(25), "consultancy": arm(13), "expert": arm(40)})
    assert gain(pairs, "debate", "blind", rng=rng()).value == pytest.approx(15 / 40)
    share = share_closed(pairs, "debate", rng=rng())
    assert share is not None
    assert share.value == pytest.approx(15 / 30)
    assert 0.2 < share.low < 0.5 < share.high < 0.8
    assert share.n == 40
    more = share_difference(pairs, "debate", "consultancy", rng=rng())
    assert more is not None
    assert more.value == pytest.approx(12 / 30)
    assert more.low > 0
    blind, whole = (share_closed(pairs, one, rng=rng()) for one in ("blind", "expert"))
    assert blind is not None
    assert whole is not None
    assert (blind.value, blind.high, whole.value, whole.low) == (0, 0, 1, 1)


def test_a_gap_within_noise_is_no_denominator():
    pairs = paired({"blind": arm(20), "debate": arm(21), "expert": arm(21)})
    assert share_closed(pairs, "debate", rng=rng()) is None


def test_an_expert_that_is_worse_leaves_no_gap_to_close():
    pairs = paired({"blind": arm(32), "debate": arm(16), "expert": arm(12)})
    assert share_closed(pairs, "debate", rng=rng()) is None
    assert share_difference(pairs, "debate", "blind", rng=rng()) is None


def test_arms_on_other_questions_are_not_compared():
    with pytest.raises(UserError, match="'expert' wasn't played on question 'q39'"):
        paired({"blind": arm(10), "expert": arm(10, of=39)})


def test_a_question_counts_by_its_mean_over_orders():
    pairs = paired({"a": [judged(0, RIGHT), judged(0, WRONG), judged(1, RIGHT)]})
    np.testing.assert_array_equal(pairs.of("a"), [0.5, 1.0])


def test_agent_score_difference_of_a_debate_by_hand():
    some = [judged(0, (0.8, 0.2), argued=(0, 1)), judged(1, (0.4, 0.6), argued=(0, 1))]
    found = agent_score_difference(some, rng=rng())
    assert found.value == pytest.approx((math.log(0.8 / 0.2) + math.log(0.4 / 0.6)) / 2)


def test_agent_score_difference_of_consultancies_by_hand():
    # Arguing for the right answer convinces to 0.9; for the wrong one, of the same question, 0.7.
    some = [
        judged(i, shares, argued=(side,))
        for i in range(2)
        for side, shares in ((0, (0.9, 0.1)), (1, (0.3, 0.7)))
    ]
    found = agent_score_difference(some, rng=rng())
    assert found.value == pytest.approx(math.log(0.9) - math.log(0.7))
    with pytest.raises(UserError, match="one side only"):
        agent_score_difference(some[:1], rng=rng())


def test_a_lone_speaker_scores_by_its_answer_whatever_its_turns_are_called():
    some = [
        replace(judged(i, shares), seating=Seating((0, 1), (side,), side))
        for i in range(2)
        for side, shares in ((0, (0.9, 0.1)), (1, (0.5, 0.5)))
    ]
    found = agent_score_difference(some, rng=rng())
    assert found.value == pytest.approx(math.log(0.9) - math.log(0.5))


def test_agent_score_difference_of_nobody_is_the_judges_own():
    some = [judged(0, (0.6, 0.4)), judged(1, (0.6, 0.4), answer=1)]
    assert agent_score_difference(some, rng=rng()).value == pytest.approx(0.0)


def test_smallest_detectable_difference():
    values = rng().normal(0, 2, 50)
    error = stats.sem(values)
    expected = (stats.t.ppf(0.975, 49) + stats.t.ppf(0.8, 49)) * error
    assert smallest_detectable(values) == pytest.approx(expected)
    twice, labels = np.repeat(values, 2), np.repeat(np.arange(50), 2)
    assert smallest_detectable(twice, labels) == pytest.approx(expected)
