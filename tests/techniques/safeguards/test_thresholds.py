"""Thresholds keep to a refusal budget on what they are set on, or say that they can't."""

import numpy as np
import pytest

from toprope.errors import UserError
from toprope.techniques.safeguards.thresholds import Cascade, cascade, threshold


@pytest.mark.parametrize(("budget", "stopped"), [(0.01, 10), (0.0015, 1), (0.5, 500), (1.0, 1000)])
def test_a_threshold_spends_the_budget_and_no_more(budget, stopped):
    scores_N = np.random.default_rng(0).random(1000)
    assert (scores_N >= threshold(scores_N, budget)).sum() == stopped


def test_ties_pass():
    scores_N = np.array([0.9] * 5 + [0.1] * 995)
    assert (scores_N >= threshold(scores_N, 0.003)).sum() == 0
    assert (scores_N >= threshold(scores_N, 0.005)).sum() == 5


def test_a_budget_that_the_data_cannot_show_is_refused():
    with pytest.raises(UserError, match=r"0\.100% can't be set on 200 .* 0\.50% .* 1,000"):
        threshold(np.zeros(200))


def test_scores_at_their_highest_leave_no_threshold_for_a_smaller_budget():
    """Beyond 1 nothing can be stopped, and scores do come to 1."""
    scores_N = np.array([1.0] * 4 + [0.2] * 296)
    with pytest.raises(
        UserError, match=r"refusal budget of 1\.000% .* 4 of 300 .* a share of 1\.334% or more"
    ):
        threshold(scores_N, 0.01)
    found = threshold(scores_N, 0.01334)
    assert 0.2 < found <= 1
    assert (scores_N >= found).sum() == 4
    with pytest.raises(UserError, match=r"share of escalations of 1\.000% can't be met"):
        cascade(scores_N, scores_N, escalation=0.01, budget=0.01)
    with pytest.raises(UserError, match=r"refusal budget of 1\.000% can't be met"):
        cascade(scores_N, scores_N, escalation=0.5, budget=0.01)


@pytest.mark.parametrize("scores_N", [np.zeros(10), np.array([0.0] * 5 + [0.9] * 5)])
def test_a_threshold_is_above_what_nobody_has_read(scores_N):
    """0 is the score before anything was read."""
    assert 0 < threshold(scores_N, 1.0) <= 0.9
    assert 0 < cascade(scores_N, scores_N, escalation=0.5, budget=1.0).stop <= 0.9


def test_a_share_of_escalations_that_the_data_cannot_show_is_called_that():
    with pytest.raises(UserError, match=r"a share of escalations of 0\.100% can't be set on 200"):
        cascade(np.zeros(200), np.zeros(200), escalation=0.001, budget=0.01)


def test_single_precision_keeps_to_the_budget_too():
    scores_N = np.array([1.0] * 4 + [0.9] * 6 + [0.1] * 990, dtype=np.float32)
    found = cascade(scores_N, scores_N, escalation=0.005, budget=0.005)
    assert found.escalation(scores_N) == 0.004
    assert found.stops(scores_N, scores_N).sum() == 4


@pytest.mark.parametrize("budget", [0, -1, 2, float("nan")])
def test_a_budget_that_is_no_share_is_refused(budget):
    with pytest.raises(UserError, match="a refusal budget is a share"):
        threshold(np.zeros(200), budget)


def test_a_score_that_is_no_number_is_refused():
    with pytest.raises(UserError, match="not a number"):
        threshold(np.array([0.1] * 999 + [np.nan]), 0.01)


def test_a_cascade_reads_twice_as_seldom_as_it_may():
    rng = np.random.default_rng(0)
    cheap_N = rng.random(2000)
    dear_N = 0.5 * cheap_N + 0.5 * rng.random(2000)
    found = cascade(cheap_N, dear_N, escalation=0.05, budget=0.002)
    assert found.escalation(cheap_N) == pytest.approx(0.05)
    assert found.stops(cheap_N, dear_N).sum() == 4
    assert not Cascade(0.5, 0.0).stops(np.array([0.4]), np.array([1.0])).any()
