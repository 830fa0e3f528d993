"""Measures: what a scorer's verdicts say of a label, for one latent and over latents.

A verdict that isn't there (abstained, refused, unparsable, lost) counts against the label; what the
measure would be if all of these were right is given beside it. Every measure has what is reached
without information: 0.5 for balanced accuracy, for F1 that of always saying yes, for AUPRC the
share of true items, for intruders one in five.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from toprope.statistics import LEVEL, Interval, bootstrap_clustered, wilson
from toprope.techniques.interpretability.labels.scorers.intruder import OddOneOut
from toprope.techniques.interpretability.labels.scorers.scorer import Item, Verdict
from toprope.techniques.interpretability.labels.scorers.simulation import correlation

FOLDS = 10


@dataclass(frozen=True)
class LatentScore:
    """One label's score by one scorer.

    Attributes:
        value: balanced accuracy, or for intruders accuracy, with an interval that takes items as
            independent: no two windows of a class are of one document.
        most: the same if every missing verdict were right.
        floor: the value without information.
        f1, auprc: with their floors; None for intruders, and where one class is missing.
        correlation: of a simulation's predictions.
        outcomes: how many verdicts there are of each.
    """

    latent: int
    value: Interval
    most: float
    floor: float
    f1: float | None
    f1_floor: float | None
    auprc: float | None
    auprc_floor: float | None
    correlation: float | None
    outcomes: Mapping[str, int]

    def as_json(self) -> dict[str, Any]:
        return asdict(self)


@dataclass(frozen=True)
class Summary:
    """Over latents: means of the latents' measures, with intervals by drawing latents.

    Attributes:
        outcomes: over all items.
        most: the mean if every missing verdict were right.
    """

    latents: int
    value: Interval
    most: float
    floor: float
    f1: Interval | None
    f1_floor: float | None
    auprc: Interval | None
    auprc_floor: float | None
    correlation: Interval | None
    outcomes: Mapping[str, int]


def latent_score(
    latent: int,
    items: Sequence[Any],
    verdicts: Sequence[Verdict],
    cut: float | None = None,
    *,
    level: float = LEVEL,
) -> LatentScore:
    """
    Args:
        cut: the score from which a verdict without a decision counts as yes.

    Raises:
        ValueError: there are no items, verdicts are undecided and there's no cut, or one of the
            classes is missing.
    """
    if not items or len(items) != len(verdicts):
        raise ValueError(f"{len(items)} items and {len(verdicts)} verdicts")
    outcomes = dict(Counter(verdict.outcome for verdict in verdicts))
    judged_N = np.array([verdict.outcome == "judged" for verdict in verdicts])
    if isinstance(items[0], OddOneOut):
        right_N = np.array([bool(verdict.says) for verdict in verdicts])
        return LatentScore(
            latent=latent,
            value=wilson(int(right_N.sum()), len(right_N), level=level),
            most=float((right_N | ~judged_N).mean()),
            floor=items[0].chance,
            f1=None,
            f1_floor=None,
            auprc=None,
            auprc_floor=None,
            correlation=None,
            outcomes=outcomes,
        )
    truth_N = np.array([item.truth for item in items])
    if truth_N.all() or not truth_N.any():
        raise ValueError("items of one class only")
    # A missing decision is the wrong one.
    says_N = np.array([decision(verdict, cut) for verdict in verdicts])
    says_N = np.where(judged_N, says_N, ~truth_N)
    scores_N = np.array([_score(v, t) for v, t in zip(verdicts, truth_N, strict=True)])
    base = float(truth_N.mean())
    return LatentScore(
        latent=latent,
        value=balanced_accuracy(truth_N, says_N, level=level),
        most=balanced_accuracy(truth_N, np.where(judged_N, says_N, truth_N)).value,
        floor=0.5,
        f1=f1(truth_N, says_N),
        f1_floor=2 * base / (1 + base),
        auprc=average_precision(truth_N, scores_N),
        auprc_floor=base,
        correlation=correlation(items, verdicts),
        outcomes=outcomes,
    )


def decision(verdict: Verdict, cut: float | None) -> bool:
    """What a verdict says, by the cut where it gives a score alone."""
    if verdict.says is not None or verdict.score is None:
        return bool(verdict.says)
    if cut is None:
        raise ValueError("a scorer that decides nothing needs a cut")
    return verdict.score >= cut


def balanced_accuracy(
    truth_N: NDArray[np.bool_], says_N: NDArray[np.bool_], *, level: float = LEVEL
) -> Interval:
    """The mean of sensitivity and specificity. Its interval puts together their Wilson intervals
    (the MOVER of Zou and Donner 2008, Statistics in Medicine 27:1693, as Newcombe 1998, 17:873, did
    for a difference)."""
    hits, positives = int(says_N[truth_N].sum()), int(truth_N.sum())
    rejections, negatives = int((~says_N[~truth_N]).sum()), int((~truth_N).sum())
    a, b = wilson(hits, positives, level=level), wilson(rejections, negatives, level=level)
    value = (a.value + b.value) / 2
    low = value - np.hypot(a.value - a.low, b.value - b.low) / 2
    high = value + np.hypot(a.high - a.value, b.high - b.value) / 2
    return Interval(value, float(low), float(high), level, len(truth_N), "wilson, combined")


def f1(truth_N: NDArray[np.bool_], says_N: NDArray[np.bool_]) -> float:
    """Of the true class; 0 where nothing is said to be in it."""
    return float(2 * (truth_N & says_N).sum() / (truth_N.sum() + says_N.sum()))


def average_precision(truth_N: NDArray[np.bool_], scores_N: np.ndarray) -> float:
    """The area under the precision-recall curve, by steps: the precision at each distinct score
    times the recall gained there."""
    order = np.argsort(-scores_N, kind="stable")
    truth, scores = truth_N[order], scores_N[order]
    ends = np.flatnonzero(np.append(scores[1:] != scores[:-1], True))
    hits = np.cumsum(truth)[ends]
    gained = np.diff(hits, prepend=0) / truth.sum()
    return float((gained * hits / (ends + 1)).sum())


def cuts(
    truths: Mapping[int, Sequence[bool]],
    verdicts: Mapping[int, Sequence[Verdict]],
    rng: np.random.Generator,
) -> dict[int, float]:
    """Of a scorer that gives scores alone, for each latent the cut with the best balanced accuracy
    over the items of other latents: a latent's own labels never choose its cut.

    Latents are in ten folds, or as many as there are. A single one has nothing to be cut by, and
    none is found.
    """
    latents = sorted(verdicts)
    if len(latents) < 2:
        return {}
    fold_S = rng.permutation(len(latents)) % min(FOLDS, len(latents))
    found = {}
    for fold in range(fold_S.max() + 1):
        pairs = [
            (verdict.score, truth)
            for latent, of in zip(latents, fold_S, strict=True)
            if of != fold
            for verdict, truth in zip(verdicts[latent], truths[latent], strict=True)
            if verdict.score is not None
        ]
        cut = best_cut(pairs)
        found |= {latent: cut for latent, of in zip(latents, fold_S, strict=True) if of == fold}
    return found


def best_cut(pairs: Sequence[tuple[float, bool]]) -> float:
    """Halfway between the two scores between which balanced accuracy is best."""
    if not pairs:
        return 0.0
    scores_N, truth_N = (np.array([pair[k] for pair in pairs]) for k in (0, 1))
    order = np.argsort(scores_N, kind="stable")
    scores_N, truth_N = scores_N[order], truth_N[order].astype(bool)
    # Cutting at place i says yes to all from i on.
    misses = np.append(0, np.cumsum(truth_N)) / max(1, truth_N.sum())
    rejected = np.append(0, np.cumsum(~truth_N)) / max(1, (~truth_N).sum())
    gain = rejected - misses
    inside = np.append(True, np.append(scores_N[1:] > scores_N[:-1], True))
    place = int(np.argmax(np.where(inside, gain, -np.inf)))
    if place == 0:
        return float(scores_N[0])
    if place == len(scores_N):
        return float(np.nextafter(scores_N[-1], np.inf))
    return float((scores_N[place - 1] + scores_N[place]) / 2)


def summary(
    scores: Sequence[LatentScore], *, rng: np.random.Generator, level: float = LEVEL
) -> Summary:
    """
    Raises:
        UserError: there are fewer than two latents: nothing varies.
    """

    def mean_of(name: str) -> Interval | None:
        found = [(getattr(one, name), one.latent) for one in scores]
        known = [(value, latent) for value, latent in found if value is not None]
        if len(known) < 2:
            return None
        values, latents = zip(*known, strict=True)
        return bootstrap_clustered(values, latents, rng=rng, level=level)

    def floor_of(name: str) -> float | None:
        known = [value for one in scores if (value := getattr(one, name)) is not None]
        return float(np.mean(known)) if known else None

    outcomes: Counter[str] = Counter()
    for one in scores:
        outcomes.update(one.outcomes)
    return Summary(
        latents=len(scores),
        value=bootstrap_clustered(
            [one.value.value for one in scores],
            [one.latent for one in scores],
            rng=rng,
            level=level,
        ),
        most=float(np.mean([one.most for one in scores])),
        floor=float(np.mean([one.floor for one in scores])),
        f1=mean_of("f1"),
        f1_floor=floor_of("f1_floor"),
        auprc=mean_of("auprc"),
        auprc_floor=floor_of("auprc_floor"),
        correlation=mean_of("correlation"),
        outcomes=dict(outcomes),
    )


def truths(items: Sequence[Item]) -> list[bool]:
    return [item.truth for item in items]


def _score(verdict: Verdict, truth: bool) -> float:
    """A missing score is the worst there is."""
    if verdict.score is not None:
        return verdict.score
    return -np.inf if truth else np.inf
