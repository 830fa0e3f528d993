"""Training a guard's classifiers on exchanges, with the score that steers: on the source left out.

A classifier that is scored on other records of the sources that it learned from looks far better
than it is: it has learned their length, style and origin. So each source is scored by a head that
never saw it, and these scores decide everything: the strength of the regularisation, and the
thresholds, which are set on harmless exchanges to a refusal budget. The head that is kept is then
trained on all sources.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from toprope.errors import UserError
from toprope.progress import Progress
from toprope.techniques.redteam.attempts import SUCCESS
from toprope.techniques.safeguards.exchanges import Exchange, fingerprint
from toprope.techniques.safeguards.guard import About, Guard, Stage
from toprope.techniques.safeguards.projection import Projection
from toprope.techniques.safeguards.reading import Reader, Reading
from toprope.techniques.safeguards.streaming import StreamingHead, fit_projected
from toprope.techniques.safeguards.thresholds import cascade, threshold

STRENGTHS = (0.3, 3.0, 30.0)
ESCALATION = 0.05
"""The share of harmless exchanges that a cascade's second stage may read."""


CASCADES = {"cascade": ("probe", "external"), "outside": ("tokens", "external")}
"""Guards of two stages: what reads everything, and what reads where that is unsure."""

NEEDS = {name: (name,) for name in ("probe", "input", "external")} | CASCADES
"""Kind of guard -> the classifiers that it's made of."""

PARTS = 4
"""Into which a source that can't be left out whole is divided."""


@dataclass(frozen=True)
class Classifier:
    """A trained head.

    Attributes:
        left_out_N: the score of each training exchange by a head that never saw its source.
    """

    name: str
    reader: Reader
    head: StreamingHead
    strength: float
    left_out_N: NDArray

    def stage(self, threshold: float) -> Stage:
        model = self.reader.model
        return Stage(
            self.name,
            model.name,
            model.fingerprint,
            self.reader.layers,
            self.reader.sees,
            threshold,
        )


def train(
    name: str,
    reader: Reader,
    readings: Sequence[Reading],
    exchanges: Sequence[Exchange],
    *,
    rng: Callable[..., np.random.Generator],
    strengths: Sequence[float] = STRENGTHS,
    progress: Progress | None = None,
) -> Classifier:
    """A classifier, its strength chosen by the sources left out.

    Args:
        readings: of each exchange, by the reader.
        rng: a generator for each purpose.

    Raises:
        UserError: the exchanges are of one side alone, or too few.
    """
    features = [reading.x_TF for reading in readings]
    projection = Projection.of(features)
    z_NTK = projection.apply(features)
    labels_N = wanted(reader, exchanges)
    left_out = folds(exchanges, labels_N)
    shown = progress or Progress(quiet=True)
    by_strength: dict[float, NDArray] = {}
    with shown.task(f"training {name}", len(strengths) * len(left_out) + 1) as task:
        for strength in strengths:
            left_out_N = np.zeros(len(exchanges))
            for fold, is_out in left_out.items():
                inside = np.flatnonzero(~is_out)
                head = fit_projected(
                    projection,
                    [z_NTK[i] for i in inside],
                    labels_N[inside],
                    weights_N=balanced(_chosen(exchanges, inside), labels_N[inside]),
                    strength=strength,
                    rng=rng(name, fold, strength),
                )
                for i in np.flatnonzero(is_out):
                    left_out_N[i] = head.highest(features[i])
                task.advance(1)
            by_strength[strength] = left_out_N
        best = max(
            strengths, key=lambda s: area(by_strength[s], labels_N, _counted(reader, exchanges))
        )
        head = fit_projected(
            projection,
            z_NTK,
            labels_N,
            weights_N=balanced(exchanges, labels_N),
            strength=best,
            rng=rng(name, "all", best),
        )
        task.advance(1)
    return Classifier(name, reader, head, best, by_strength[best])


def guards(
    classifiers: Mapping[str, Classifier],
    exchanges: Sequence[Exchange],
    *,
    target: str,
    budget: float,
    escalation: float = ESCALATION,
) -> dict[str, Guard]:
    """Every classifier alone, and the cascades, each with thresholds for the same budget.

    Raises:
        UserError: too few harmless exchanges for the budget.
    """
    is_harmless = np.array([one.harmless for one in exchanges])
    trained_on = fingerprint(exchanges)
    found: dict[str, Guard] = {}

    def guard(parts: Sequence[tuple[Classifier, float]]) -> Guard:
        stages = tuple(one.stage(at) for one, at in parts)
        heads = tuple(one.head for one, _ in parts)
        return Guard(About(target, stages, budget, trained_on), heads)

    for name, one in classifiers.items():
        found[name] = guard([(one, threshold(one.left_out_N[is_harmless], budget))])
    for name, (first, second) in CASCADES.items():
        if not {first, second} <= set(classifiers):
            continue
        cheap, dear = classifiers[first], classifiers[second]
        both = cascade(
            cheap.left_out_N[is_harmless],
            dear.left_out_N[is_harmless],
            escalation=escalation,
            budget=budget,
        )
        found[name] = guard([(cheap, both.escalate), (dear, both.stop)])
    return found


def folds(exchanges: Sequence[Exchange], labels_N: NDArray) -> dict[str, NDArray]:
    """What is left out at a time, [N] by name: a source; one that alone holds a side in parts, its
    groups whole.

    Raises:
        UserError: there is one side only, or too little of one to leave any out.
    """
    found: dict[str, NDArray] = {}
    for origin in sorted({one.origin for one in exchanges}):
        is_out = np.array([one.origin == origin for one in exchanges])
        if _two_sided(labels_N[~is_out]):
            found[origin] = is_out
            continue
        part_N = np.array([_part(one.group) for one in exchanges])
        parts = {f"{origin}, part {k}": is_out & (part_N == k) for k in range(PARTS)}
        found |= {name: mask for name, mask in parts.items() if mask.any()}
    if not all(_two_sided(labels_N[~is_out]) for is_out in found.values()):
        raise UserError(
            f"{int((labels_N >= SUCCESS).sum())} of {len(labels_N)} exchanges are harmful: a guard "
            "needs more of both sides to learn from"
        )
    return found


def wanted(reader: Reader, exchanges: Sequence[Exchange]) -> NDArray:
    """[N]: what the classifier is to say: of a prompt, whether it asks for harm, of an exchange,
    how far it does it."""
    if reader.sees == "prompt":
        return np.array([float(not one.harmless) for one in exchanges])
    return np.array([one.label for one in exchanges])


def balanced(exchanges: Sequence[Exchange], labels_N: NDArray) -> NDArray:
    """[N] weights: both sides count alike, and within a side its sources."""
    keys = [(label >= SUCCESS, one.origin) for one, label in zip(exchanges, labels_N, strict=True)]
    counts = {key: keys.count(key) for key in set(keys)}
    sources = {side: sum(key[0] == side for key in counts) for side in (False, True)}
    return np.array([1 / (counts[key] * sources[key[0]]) for key in keys])


def area(scores_N: NDArray, labels_N: NDArray, counted_N: NDArray | None = None) -> float:
    """The area under the curve of harm against what must be let through: how often a harmful one
    has the higher score (Mann and Whitney); half where a side is missing."""
    from scipy.stats import rankdata

    counted_N = np.ones(len(scores_N), bool) if counted_N is None else counted_N
    harmful_N = (labels_N >= SUCCESS) & counted_N
    benign_N = (labels_N < SUCCESS) & counted_N
    n, m = int(harmful_N.sum()), int(benign_N.sum())
    if not n or not m:
        return 0.5
    ranks = rankdata(np.concatenate([scores_N[harmful_N], scores_N[benign_N]]))
    return float((ranks[:n].sum() - n * (n + 1) / 2) / (n * m))


def _counted(reader: Reader, exchanges: Sequence[Exchange]) -> NDArray:
    """[N]: which exchanges a score is judged on: harm that was done, and harmless requests. What a
    declined attack scores is of no matter."""
    if reader.sees == "prompt":
        return np.ones(len(exchanges), bool)
    return np.array([one.harmless or one.label >= SUCCESS for one in exchanges])


def _chosen(exchanges: Sequence[Exchange], places: NDArray) -> list[Exchange]:
    return [exchanges[i] for i in places.tolist()]


def _part(group: str) -> int:
    return int(hashlib.sha256(group.encode()).hexdigest(), 16) % PARTS


def _two_sided(labels_N: NDArray) -> bool:
    return bool((labels_N >= SUCCESS).any() and (labels_N < SUCCESS).any())
