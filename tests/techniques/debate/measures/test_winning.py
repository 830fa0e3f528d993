"""Win rates, ratings and the slope of persuasion, in closed forms."""

import math

import numpy as np
import pytest

from toprope.errors import UserError
from toprope.techniques.debate.measures.persuasion import slope
from toprope.techniques.debate.measures.winning import Match, elo, matches, win_rates

from ..playing import judged


def rng() -> np.random.Generator:
    return np.random.default_rng(0)


def games(first: str, second: str, wins: int, losses: int, start: int = 0) -> list[Match]:
    outcomes = [1.0] * wins + [0.0] * losses
    return [Match(first, second, won, f"q{start + i}") for i, won in enumerate(outcomes)]


def test_games_are_won_by_the_named_answers_side():
    some = [
        judged(0, (0.9, 0.1), argued=(0, 1), by=("x", "y")),
        judged(1, (0.1, 0.9), argued=(0, 1), by=("x", "y")),
        judged(2, None, argued=(1, 0), by=("x", "y")),
    ]
    found = matches(some)
    assert [(m.first, m.second, m.won) for m in found] == [
        ("x", "y", 1.0),
        ("x", "y", 0.0),
        ("x", "y", 0.5),
    ]


def test_win_rates():
    found = win_rates(games("x", "y", 30, 10) + games("x", "x", 5, 0), rng=rng())
    assert (found["x"].value, found["y"].value) == (0.75, 0.25)
    with pytest.raises(UserError, match="no two debaters met"):
        win_rates(games("x", "x", 5, 5), rng=rng())


def test_ratings_of_two_are_the_logarithm_of_their_odds():
    found = elo(games("x", "y", 30, 10), reference="y", rng=rng())
    assert found["x"].value == pytest.approx(400 * math.log10(3))
    assert (found["y"].value, found["y"].low, found["y"].high) == (0, 0, 0)
    # The delta method: a standard error of 400 / ln 10 / sqrt(n p (1 - p)).
    error = 400 / math.log(10) / math.sqrt(40 * 0.75 * 0.25)
    assert found["x"].low == pytest.approx(found["x"].value - 1.96 * error, abs=0.4 * error)
    assert found["x"].high == pytest.approx(found["x"].value + 1.96 * error, abs=0.8 * error)


def test_ratings_of_three_that_fit_exactly():
    # Odds of 3 to 1 and again: x beats z by 9 to 1, as Bradley and Terry's model has it.
    some = games("x", "y", 30, 10) + games("y", "z", 30, 10, 40) + games("x", "z", 36, 4, 80)
    found = elo(some, reference="z", rng=rng(), resamples=200)
    values = [found[name].value for name in "xyz"]
    assert values == pytest.approx([800 * math.log10(3), 400 * math.log10(3), 0], abs=1e-4)


def test_who_never_loses_has_no_rating():
    with pytest.raises(UserError, match="won all or none"):
        elo(games("x", "y", 10, 0), reference="y", rng=rng())
    with pytest.raises(UserError, match="won all or none"):
        elo(games("x", "y", 5, 5) + games("z", "w", 5, 5, 10), reference="y", rng=rng())
    few = elo(games("x", "y", 4, 1), reference="y", rng=rng())
    assert few["x"].high == math.inf


def test_the_slope_of_accuracy_over_persuasiveness():
    def arm(right: int):
        return [judged(i, (0.9, 0.1) if i < right else (0.1, 0.9)) for i in range(40)]

    settings = {"weak": arm(20), "middle": arm(26), "strong": arm(32)}
    found = slope(settings, {"weak": 0, "middle": 100, "strong": 200}, rng=rng())
    assert found.value == pytest.approx(12 / 40 / 200)
    # Two ends decide: the slope is the paired difference of their accuracies over 200.
    differences = np.array([0.0] * 20 + [1.0] * 12 + [0.0] * 8)
    error = differences.std() / math.sqrt(40) / 200
    assert found.low == pytest.approx(found.value - 2 * error, abs=0.3 * error)
    assert found.high == pytest.approx(found.value + 2 * error, abs=0.4 * error)
    with pytest.raises(UserError, match="two or more different"):
        slope(settings, dict.fromkeys(settings, 3.0), rng=rng())
