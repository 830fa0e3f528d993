"""Who wins: win rates, and ratings on Elo's scale, of debaters that meet in debates.

A game between the models behind two sides is won by the side whose answer the judge names; without
an answer it's half a win for each. Ratings are the maximum-likelihood ones of Bradley and Terry
1952 (Biometrika 39:324), by the iteration of Hunter 2004 (Annals of Statistics 32:384), scaled as
Elo's: 400 points are odds of 10 to 1. Khan et al. 2024 (arXiv 2402.06782) rate debaters so.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.sparse.csgraph import connected_components

from toprope import statistics
from toprope.errors import UserError
from toprope.resampling import Floats, draws, expanded_percentile, unit_codes
from toprope.statistics import LEVEL, Interval, bootstrap_clustered
from toprope.techniques.debate.transcript import Transcript

RESAMPLES = 1000
STEPS = 10_000
TOLERANCE = 1e-10


@dataclass(frozen=True)
class Match:
    """One pair of sides in one game. `won`: the first's, 1, 0 or 0.5."""

    first: str
    second: str
    won: float
    unit: str


def matches(transcripts: Sequence[Transcript]) -> list[Match]:
    """Every pair of sides of every game of which the judge named one, or none; where it named a
    third, neither has won."""
    found = []
    for one in transcripts:
        who = {
            turn.position: turn.by
            for turn in one.turns
            if turn.kind == "speech" and turn.position is not None
        }
        sides = list(who)
        for i, a in enumerate(sides):
            for b in sides[i + 1 :]:
                answer = one.verdict.answer
                won = 1.0 if answer == a else 0.0 if answer == b else 0.5
                found.append(Match(who[a], who[b], won, one.question.unit))
    return found


def win_rates(
    some: Sequence[Match], *, rng: np.random.Generator, resamples: int = statistics.RESAMPLES
) -> dict[str, Interval]:
    """Of each model, over its games against others.

    Raises:
        UserError: no two models met.
    """
    between = _between(some)
    return {
        name: bootstrap_clustered(
            [m.won if m.first == name else 1 - m.won for m in between if name in _both(m)],
            [m.unit for m in between if name in _both(m)],
            rng=rng,
            resamples=resamples,
        )
        for name in _names(between)
    }


def elo(
    some: Sequence[Match],
    *,
    reference: str,
    rng: np.random.Generator,
    resamples: int = RESAMPLES,
) -> dict[str, Interval]:
    """Of each model, relative to the reference, which has 0.

    A model that never loses, or a group that never loses to the rest, has no finite rating: a bound
    is infinite where more resamples are so than its tail may hold.

    Raises:
        UserError: the reference isn't among the models, or the games as they are give no ratings.
    """
    between = _between(some)
    names = _names(between)
    if reference not in names:
        raise UserError(f"'{reference}' met no other debater: rated are {', '.join(names)}")
    zero, p = names.index(reference), len(names)
    codes_N, n = unit_codes([m.unit for m in between], len(between))
    wins_GPP = np.zeros((n, p, p))
    for code, m in zip(codes_N, between, strict=True):
        a, b = names.index(m.first), names.index(m.second)
        wins_GPP[code, a, b] += m.won
        wins_GPP[code, b, a] += 1 - m.won
    ratings_P = _ratings(wins_GPP.sum(0), zero)
    if not np.isfinite(ratings_P).all():
        raise UserError(
            "some debater, or a group of them, won all or none of its games against the rest: such "
            "games give no ratings (win rates do)"
        )
    ratings_RP = np.array(
        [
            _ratings((w_G[:, None, None] * wins_GPP).sum(0), zero)
            for w_RG in draws(n, resamples, rng)
            for w_G in w_RG
        ]
    )
    bounds = [expanded_percentile(ratings_RP[:, i], LEVEL, n - 1) for i in range(p)]
    return {
        name: Interval(float(ratings_P[i]), *bounds[i], LEVEL, n, "bootstrapped Bradley-Terry")
        for i, name in enumerate(names)
    }


def _ratings(wins_PP: Floats, zero: int) -> Floats:
    """On Elo's scale, [P]; NaN where there are none (Ford 1957: some wins don't connect all)."""
    parts, _ = connected_components(wins_PP > 0, directed=True, connection="strong")
    if parts > 1:
        return np.full(len(wins_PP), np.nan)
    met_PP, won_P = wins_PP + wins_PP.T, wins_PP.sum(1)
    strengths_P = np.ones(len(wins_PP))
    for _ in range(STEPS):
        before_P = strengths_P
        strengths_P = won_P / (met_PP / (before_P[:, None] + before_P)).sum(1)
        strengths_P /= np.exp(np.log(strengths_P).mean())
        if np.abs(np.log(strengths_P / before_P)).max() < TOLERANCE:
            break
    return 400 * np.log10(strengths_P / strengths_P[zero])


def _between(some: Sequence[Match]) -> list[Match]:
    between = [m for m in some if m.first != m.second]
    if not between:
        raise UserError("no two debaters met: win rates and ratings need two models or settings")
    return between


def _names(some: Sequence[Match]) -> list[str]:
    return list(dict.fromkeys(name for m in some for name in _both(m)))


def _both(match: Match) -> tuple[str, str]:
    return match.first, match.second
