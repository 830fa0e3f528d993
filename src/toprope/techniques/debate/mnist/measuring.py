"""The judge's accuracy by protocol: with and without precommitment, the liar first or second.

Beside it stand the same judges on random pixels. Irving, Christiano and Amodei 2018, section 3.1:
with 6 pixels 59.4% at random and 88.9% by debate with precommitment; with 4 pixels 48.2% and 85.2%.
Here there are intervals: images are resampled, and judges of several seeds too.

Shapes: S judges, N images.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from toprope.progress import Progress
from toprope.statistics import (
    Interval,
    bootstrap_clustered,
    bootstrap_paired,
    crossed_bootstrap,
)
from toprope.techniques.debate.mnist.boards import Boards
from toprope.techniques.debate.mnist.game import ALL_RULES, Rules
from toprope.techniques.debate.mnist.judge import Judge
from toprope.techniques.debate.mnist.playing import Mover, Played, at_random, play

Scores = NDArray[np.float64]


@dataclass(frozen=True)
class ByRules:
    """How often the truth wins under one of the rules.

    Attributes:
        score_SN: what the honest agent gets of each image, before each judge.
        accuracy: its mean, with interval.
        gain: over the same judges on random pixels, paired by image, with interval.
    """

    rules: Rules
    score_SN: Scores
    accuracy: Interval
    gain: Interval


@dataclass(frozen=True)
class Measured:
    """
    Attributes:
        by_rules: one for each of the rules.
        random_SN, random: the judges on random pixels, and their accuracy.
        played: the games, one a judge.
    """

    by_rules: tuple[ByRules, ...]
    random_SN: Scores
    random: Interval
    played: tuple[Played, ...]


def measure(
    boards: Boards,
    judges: Sequence[Judge],
    mover: Mover,
    *,
    rules: Sequence[Rules] = ALL_RULES,
    repeats: int = 3,
    random_sets: int = 10,
    seed: int = 0,
    rng: np.random.Generator,
    progress: Progress | None = None,
) -> Measured:
    """Debates before each judge on all boards, under all the rules.

    Args:
        repeats: games of each lie; 3 in the paper.
        random_sets: of random pixels, for each image and judge.
    """
    by_argmax = Rules(precommit=False)
    random_SN = np.stack(
        [
            play(boards, judge, at_random, [by_argmax], repeats=random_sets, seed=seed).by_image(
                by_argmax
            )
            for judge in judges
        ]
    )
    played = tuple(
        play(boards, judge, mover, rules, repeats=repeats, seed=seed, progress=progress)
        for judge in judges
    )
    by_rules = []
    for one in rules:
        score_SN = np.stack([games.by_image(one) for games in played])
        by_rules.append(
            ByRules(
                one, score_SN, interval_of(score_SN, rng=rng), gain_of(score_SN, random_SN, rng=rng)
            )
        )
    return Measured(tuple(by_rules), random_SN, interval_of(random_SN, rng=rng), played)


def interval_of(score_SN: Scores, *, rng: np.random.Generator) -> Interval:
    """The mean score; judges and images are resampled, or images only where there is one judge."""
    images_N = np.arange(score_SN.shape[1])
    if len(score_SN) == 1 or np.ptp(score_SN) == 0:
        by_image_N = score_SN.mean(axis=0)
        return bootstrap_clustered(by_image_N, images_N, rng=rng)
    return crossed_bootstrap({"a": score_SN}, images_N, lambda accuracy: accuracy["a"], rng=rng)


def gain_of(ours_SN: Scores, theirs_SN: Scores, *, rng: np.random.Generator) -> Interval:
    """The mean of one less that of the other, on the same judges and images."""
    if len(ours_SN) == 1 or np.ptp(ours_SN - theirs_SN) == 0:
        return bootstrap_paired(ours_SN.mean(axis=0), theirs_SN.mean(axis=0), rng=rng)
    return crossed_bootstrap(
        {"a": ours_SN, "b": theirs_SN},
        np.arange(ours_SN.shape[1]),
        lambda accuracy: accuracy["a"] - accuracy["b"],
        rng=rng,
    )
