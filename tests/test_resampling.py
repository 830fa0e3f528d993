"""The draws and the reading of an interval under the bootstraps."""

import math

import numpy as np
import pytest
import scipy.stats

from toprope.resampling import chunks, draw, draws, expanded_percentile, satterthwaite, unit_codes


def test_draws_are_multinomial() -> None:
    counts = draw(5, 40_000, np.random.default_rng(0))
    assert (counts.sum(1) == 5).all()
    theory = scipy.stats.multinomial(5, [0.2] * 5)
    assert counts.mean(0) == pytest.approx(np.ones(5), abs=0.02)
    assert np.cov(counts.T) == pytest.approx(theory.cov(), abs=0.02)


def test_chunks_add_up_and_stay_small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("toprope.resampling.MOST_CELLS", 30)
    assert list(chunks(25, 3)) == [10, 10, 5]
    assert list(chunks(3, 1000)) == [1, 1, 1]
    assert [rows.shape for rows in draws(3, 25, np.random.default_rng(0))] == [
        (10, 3),
        (10, 3),
        (5, 3),
    ]


def test_expanded_tails_are_hesterbergs() -> None:
    """The quantiles of normal estimates come out as Student's t, times sqrt(n / (n - 1))."""
    estimates = scipy.stats.norm.ppf((np.arange(200_000) + 0.5) / 200_000)
    low, high = expanded_percentile(estimates, 0.95, 9)
    reach = math.sqrt(10 / 9) * scipy.stats.t.ppf(0.975, 9)
    assert (low, high) == pytest.approx((-reach, reach), abs=1e-3)


def test_undefined_estimates_count_at_both_ends() -> None:
    estimates = np.linspace(0, 1, 1000)
    few, many = estimates.copy(), estimates.copy()
    few[500:505] = np.nan, np.inf, -np.inf, np.nan, np.nan
    many[500:600] = np.nan
    clean = expanded_percentile(estimates, 0.95, 1000)
    low, high = expanded_percentile(few, 0.95, 1000)
    assert (low, high) == pytest.approx((clean[0] - 0.005, clean[1] + 0.005), abs=0.0015)
    assert expanded_percentile(many, 0.95, 1000) == (-np.inf, np.inf)


def test_degrees_of_freedom_lie_between_the_smallest_and_the_sum() -> None:
    wide, narrow = np.linspace(-1, 1, 1001), np.linspace(-0.5, 0.5, 1001)
    # Variances 4 : 1 with 9 and 99 degrees of freedom: 5^2 / (4^2 / 9 + 1^2 / 99).
    assert satterthwaite([wide, narrow], [9, 99]) == pytest.approx(25 / (16 / 9 + 1 / 99), rel=0.01)
    assert satterthwaite([wide, 0 * wide], [9, 99]) == pytest.approx(9)
    assert satterthwaite([0 * wide, 0 * wide], [9, 99]) == 9
    undefined = np.where(wide > 0, np.inf, wide)
    assert satterthwaite([wide, undefined], [9, 99]) == 9


def test_codes_number_the_labels() -> None:
    codes, units = unit_codes(["b", "a", "b", "c"], 4)
    assert (codes.tolist(), units) == ([1, 0, 1, 2], 3)
    codes, units = unit_codes(None, 3)
    assert (codes.tolist(), units) == ([0, 1, 2], 3)
