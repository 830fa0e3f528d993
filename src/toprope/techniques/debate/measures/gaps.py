"""What a protocol gains over the judge alone, and how much of the way to an expert judge it goes.

The "performance gap recovered" of Khan et al. 2024 (arXiv 2402.06782): (protocol - blind) / (expert
- blind), in accuracy. Arms are paired by question: each question counts by its mean over
seatings, and whole groups of questions are resampled.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from toprope.errors import UserError
from toprope.resampling import draws, expanded_percentile, unit_codes
from toprope.statistics import LEVEL, RESAMPLES, Interval, bootstrap_paired, ratio_is_measurable
from toprope.techniques.debate.measures.judging import by_question, correct
from toprope.techniques.debate.transcript import Transcript


@dataclass(frozen=True)
class Paired:
    """Accuracies of arms on the same questions, [A, N], and the questions' units, [N]."""

    arms: tuple[str, ...]
    accuracies_AN: np.ndarray
    units: tuple[str, ...]

    def of(self, arm: str) -> np.ndarray:
        return self.accuracies_AN[self.arms.index(arm)]


def paired(arms: Mapping[str, Sequence[Transcript]]) -> Paired:
    """
    Raises:
        UserError: the arms aren't on the same questions.
    """
    asked = {name: {one.question.id for one in some} for name, some in arms.items()}
    every = set().union(*asked.values())
    for name, found in asked.items():
        if missing := sorted(every - found):
            raise UserError(
                f"'{name}' wasn't played on question '{missing[0]}' (of {len(missing)}): arms are "
                "compared on the same questions"
            )
    means = [by_question(correct, some) for some in arms.values()]
    units = means[0][1] if means else []
    return Paired(tuple(arms), np.array([one_N for one_N, _ in means]), tuple(units))


def gain(
    pairs: Paired,
    arm: str,
    over: str,
    *,
    rng: np.random.Generator,
    resamples: int = RESAMPLES,
) -> Interval:
    """The difference of two arms' accuracies, such as a protocol's over "blind"."""
    return bootstrap_paired(
        pairs.of(arm), pairs.of(over), pairs.units, rng=rng, resamples=resamples
    )


def share_closed(
    pairs: Paired,
    arm: str,
    *,
    blind: str = "blind",
    expert: str = "expert",
    rng: np.random.Generator,
    resamples: int = RESAMPLES,
) -> Interval | None:
    """The share of the gap from blind to expert that an arm closes; None where the expert isn't
    clearly better, and there's no gap to close a share of."""
    return _of_gap(pairs, arm, blind, blind, expert, rng, resamples)


def share_difference(
    pairs: Paired,
    arm: str,
    other: str,
    *,
    blind: str = "blind",
    expert: str = "expert",
    rng: np.random.Generator,
    resamples: int = RESAMPLES,
) -> Interval | None:
    """How much more of the gap one arm closes than another; None as for `share_closed`."""
    return _of_gap(pairs, arm, other, blind, expert, rng, resamples)


def _of_gap(
    pairs: Paired,
    arm: str,
    other: str,
    blind: str,
    expert: str,
    rng: np.random.Generator,
    resamples: int,
) -> Interval | None:
    """The difference of two arms' accuracies over the gap."""
    gap = gain(pairs, expert, blind, rng=rng, resamples=resamples)
    if not ratio_is_measurable(gap) or gap.value < 0:
        return None
    above_N = pairs.of(arm) - pairs.of(other)
    below_N = pairs.of(expert) - pairs.of(blind)
    codes_N, n = unit_codes(pairs.units, len(pairs.units))
    above_G, below_G = (np.bincount(codes_N, weights=one) for one in (above_N, below_N))
    with np.errstate(divide="ignore", invalid="ignore"):
        ratios_R = np.concatenate(
            [(w_RG @ above_G) / (w_RG @ below_G) for w_RG in draws(n, resamples, rng)]
        )
    low, high = expanded_percentile(ratios_R, LEVEL, n - 1)
    value = float(np.sum(above_N) / np.sum(below_N))
    return Interval(value, low, high, LEVEL, n, "clustered bootstrap of a ratio")
