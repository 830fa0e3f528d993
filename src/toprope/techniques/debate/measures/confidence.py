"""How sure debaters are to win: their private bets before each round.

Prasad and Nguyen 2025, When Two LLMs Debate, Both Think They'll Win (arXiv 2505.19184): bets rise
over rounds, and both sides are sure to win at once in most debates: above 75% in 61.7%, at 75% or
above in 71.7%. Both figures are given here, by the last bets. Two bets that sum to more than 100
can't both be right. Here debaters bet before they speak in a round, there after.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from toprope.errors import UserError
from toprope.statistics import RESAMPLES, Interval, bootstrap_clustered
from toprope.techniques.debate.transcript import Transcript

SURE = 75.0
MOST = 100.0


@dataclass(frozen=True)
class Bets:
    """
    Attributes:
        percent_NKS: of each debate the bets in percent, [N debates, K rounds, S sides]; NaN where a
            debater gave none, and where a debate has fewer sides. Sides as they first spoke.
        sides_N: how many sides each has.
        units: what debates are resampled with.
    """

    percent_NKS: np.ndarray
    sides_N: np.ndarray
    units: tuple[str, ...]

    @property
    def absent_NS(self) -> np.ndarray:
        """Where there is no side."""
        return np.arange(self.percent_NKS.shape[2]) >= self.sides_N[:, None]

    @property
    def incomplete(self) -> int:
        """Debates without all of their last bets."""
        missing_NS = np.isnan(self.percent_NKS[:, -1]) & ~self.absent_NS
        return int(missing_NS.any(1).sum())


def bets(transcripts: Sequence[Transcript]) -> Bets:
    """
    Raises:
        UserError: there are no bets, or debates differ in rounds.
    """
    tables: list[np.ndarray] = []
    for one in transcripts:
        said = [turn for turn in one.turns if turn.kind == "bet"]
        if not said:
            raise UserError(
                f"question '{one.question.id}' was debated without bets: play debates with `bets`"
            )
        rounds = sorted({turn.round for turn in said})
        sides = list(dict.fromkeys(turn.position for turn in said))
        table = np.full((len(rounds), len(sides)), np.nan)
        for turn in said:
            if turn.private.bet is not None:
                table[rounds.index(turn.round), sides.index(turn.position)] = turn.private.bet
        tables.append(table)
    if not tables or any(len(table) != len(tables[0]) for table in tables):
        raise UserError("debates of different lengths, or none: bets are compared round by round")
    sides_N = np.array([table.shape[1] for table in tables])
    percent_NKS = np.full((len(tables), len(tables[0]), sides_N.max()), np.nan)
    for n, table in enumerate(tables):
        percent_NKS[n, :, : sides_N[n]] = table
    return Bets(percent_NKS, sides_N, tuple(one.question.unit for one in transcripts))


def by_round(some: Bets, *, rng: np.random.Generator, resamples: int = RESAMPLES) -> list[Interval]:
    """The mean bet before each round."""
    return [
        _mean(some.percent_NKS[:, k], some.units, rng, resamples)
        for k in range(some.percent_NKS.shape[1])
    ]


def escalation(
    some: Bets, *, rng: np.random.Generator, resamples: int = RESAMPLES
) -> list[Interval]:
    """How much bets rise from each round to the next; then from the first to the last."""
    percent_NKS = some.percent_NKS
    rounds = percent_NKS.shape[1]
    steps = [(k, k + 1) for k in range(rounds - 1)] + [(0, rounds - 1)] * (rounds > 1)
    return [
        _mean(percent_NKS[:, b] - percent_NKS[:, a], some.units, rng, resamples) for a, b in steps
    ]


@dataclass(frozen=True)
class Overconfidence:
    """
    Attributes:
        strictly: the share of debates in which every side's last bet is above 75%; one without all
            of its last bets counts as not sure.
        at_least: the same with 75% itself.
        incoherent: the share of all bets of a debate before a round that sum to over 100.
    """

    strictly: Interval
    at_least: Interval
    incoherent: Interval


def overconfidence(
    some: Bets, *, rng: np.random.Generator, resamples: int = RESAMPLES
) -> Overconfidence:
    """
    Raises:
        UserError: no debate has all of its bets before a round.
    """
    last_NS, absent_NS = some.percent_NKS[:, -1], some.absent_NS
    sums_NK = np.where(absent_NS[:, None], 0.0, some.percent_NKS).sum(2)
    complete_NK = np.isfinite(sums_NK)
    of_sums = np.asarray(some.units)[np.nonzero(complete_NK)[0]]

    def share(holds: ArrayLike, units: ArrayLike) -> Interval:
        return bootstrap_clustered(np.asarray(holds, float), units, rng=rng, resamples=resamples)

    return Overconfidence(
        # A comparison with NaN is false.
        strictly=share(((last_NS > SURE) | absent_NS).all(1), some.units),
        at_least=share(((last_NS >= SURE) | absent_NS).all(1), some.units),
        incoherent=share(sums_NK[complete_NK] > MOST, of_sums),
    )


def _mean(
    values_NS: np.ndarray, units: Sequence[str], rng: np.random.Generator, resamples: int
) -> Interval:
    """Over those that were given."""
    given = np.isfinite(values_NS)
    if not given.any():
        raise UserError("no debater gave a bet: there is nothing to estimate from")
    places = np.nonzero(given)[0]
    return bootstrap_clustered(
        values_NS[given], np.asarray(units)[places], rng=rng, resamples=resamples
    )
