"""How the judge's mind moves over the rounds of a debate in which it's asked after each."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from toprope.errors import UserError
from toprope.statistics import RESAMPLES, Interval, bootstrap_clustered
from toprope.techniques.debate.measures.judging import probability, units
from toprope.techniques.debate.transcript import Transcript


@dataclass(frozen=True)
class Drift:
    """
    Attributes:
        rounds: after which the judge was asked; 0: before anyone spoke.
        right: the mean probability of the right answer then.
        step: how far it moved since the time before, towards the right answer.
        moved: the mean size of these moves, in either direction.
    """

    rounds: tuple[int, ...]
    right: tuple[Interval, ...]
    step: tuple[Interval, ...]
    moved: tuple[Interval, ...]


def drift(
    transcripts: Sequence[Transcript], *, rng: np.random.Generator, resamples: int = RESAMPLES
) -> Drift:
    """
    Raises:
        UserError: the judge was asked once only, or not after the same rounds in all games.
    """
    rounds = {tuple(verdict.round for verdict in one.verdicts) for one in transcripts}
    if len(rounds) != 1:
        raise UserError("the judge wasn't asked after the same rounds in all of these games")
    [asked] = rounds
    if len(asked) < 2:
        raise UserError("the judge was asked at the end only: play with `each_round`")
    right_NK = np.array(
        [[probability(one, one.question.answer, v) for v in one.verdicts] for one in transcripts]
    )
    steps_NK = np.diff(right_NK, axis=1)

    def means(values_NK: np.ndarray) -> tuple[Interval, ...]:
        names = units(transcripts)
        return tuple(
            bootstrap_clustered(one_N, names, rng=rng, resamples=resamples) for one_N in values_NK.T
        )

    return Drift(asked, means(right_NK), means(steps_NK), means(np.abs(steps_NK)))
