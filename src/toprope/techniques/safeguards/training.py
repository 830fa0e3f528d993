"""Training a guard's classifiers on exchanges, with the score that steers: on the source left out.

A classifier that is scored on other records of the sources that it learned from looks far better
than it is: it has learned their length, style and origin. So each source is scored by a head that
never saw it, and this decides the strength of the regularisation, and is the score that is told.

The head that is kept is trained on all sources. Its thresholds are set to a refusal budget on
harmless traffic: harmless requests as they're asked, without an attack's framing, each scored by a
head that learned from other requests. So they hold for traffic like that which was learned from;
how far they do for other traffic, a trial measures.

Learned from are harm that was done, and harmless requests. An attack that was declined, or came to
nothing, is neither: it asks for harm, so that a head would be told both.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from toprope.errors import UserError
from toprope.progress import Progress
from toprope.techniques.redteam.attacks.direct import Direct
from toprope.techniques.redteam.attempts import SUCCESS
from toprope.techniques.safeguards.exchanges import Exchange, fingerprint
from toprope.techniques.safeguards.folds import by_group, by_source
from toprope.techniques.safeguards.guard import About, Guard, Stage
from toprope.techniques.safeguards.projection import Projection
from toprope.techniques.safeguards.reading import Reader, Reading
from toprope.techniques.safeguards.streaming import StreamingHead, fit_projected
from toprope.techniques.safeguards.thresholds import BUDGET, cascade, threshold

STRENGTHS = (3.0, 30.0, 300.0)
ESCALATION = 0.05
"""The share of harmless exchanges that a cascade's second stage may read."""


CASCADES = {"cascade": ("probe", "external"), "outside": ("tokens", "external")}
"""Guards of two stages: what reads everything, and what reads where that is unsure."""

NEEDS = {name: (name,) for name in ("probe", "input", "external")} | CASCADES
"""Kind of guard -> the classifiers that it's made of."""


def kind_of(guard: Guard) -> str:
    """
    Raises:
        UserError: its stages are of no kind that there is.
    """
    stages = tuple(stage.name for stage in guard.about.stages)
    for kind, needed in NEEDS.items():
        if needed == stages:
            return kind
    raise UserError(f"no kind of guard has the stages {', '.join(stages)}: train it again")


@dataclass(frozen=True)
class Classifier:
    """A trained head.

    Attributes:
        left_out_N: the score of each training exchange by a head that never saw its source.
        held_out_N: by one that never saw its group.
    """

    name: str
    reader: Reader
    head: StreamingHead
    strength: float
    left_out_N: NDArray
    held_out_N: NDArray

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
    counted_N = counted(reader, exchanges)
    groups_N = np.array([one.group for one in exchanges])
    sources, parts = by_source(exchanges, labels_N), by_group(exchanges, labels_N)
    shown = progress or Progress(quiet=True)

    def fitted(learns_N: NDArray, *names: object) -> StreamingHead:
        inside = np.flatnonzero(learns_N & counted_N)
        return fit_projected(
            projection,
            [z_NTK[i] for i in inside],
            labels_N[inside],
            weights_N=balanced(_chosen(exchanges, inside), labels_N[inside]),
            strength=float(names[-1]),  # type: ignore[arg-type]
            rng=rng(name, *names),
        )

    total = len(strengths) * len(sources) + len(parts) + 1
    with shown.task(f"training {name}", total) as task:

        def left_out(folds: Mapping[str, NDArray], strength: float) -> NDArray:
            """[N]: the score of each by a head that learned from no exchange of its fold."""
            scores_N = np.zeros(len(exchanges))
            for fold, is_out in folds.items():
                # A pair may be of two sources: what is left out takes its other half with it.
                head = fitted(~np.isin(groups_N, groups_N[is_out]), fold, strength)
                for i in np.flatnonzero(is_out):
                    scores_N[i] = head.highest(features[i])
                task.advance(1)
            return scores_N

        by_strength = {strength: left_out(sources, strength) for strength in strengths}
        best = max(strengths, key=lambda one: area(by_strength[one], labels_N, counted_N))
        held_out_N = left_out(parts, best)
        head = fitted(np.ones(len(exchanges), bool), "all", best)
        task.advance(1)
    return Classifier(name, reader, head, best, by_strength[best], held_out_N)


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
    traffic_N = np.array([is_traffic(one) for one in exchanges])
    trained_on = fingerprint(exchanges)
    found: dict[str, Guard] = {}

    def guard(parts: Sequence[tuple[Classifier, float]]) -> Guard:
        stages = tuple(one.stage(at) for one, at in parts)
        heads = tuple(one.head for one, _ in parts)
        return Guard(About(target, stages, budget, trained_on), heads)

    for name, one in classifiers.items():
        found[name] = guard([(one, threshold(one.held_out_N[traffic_N], budget))])
    for name, (first, second) in CASCADES.items():
        if not {first, second} <= set(classifiers):
            continue
        cheap, dear = classifiers[first], classifiers[second]
        both = cascade(
            cheap.held_out_N[traffic_N],
            dear.held_out_N[traffic_N],
            escalation=escalation,
            budget=budget,
        )
        found[name] = guard([(cheap, both.escalate), (dear, both.stop)])
    return found


def check_enough(
    requests: int,
    before: Sequence[Exchange],
    budget: float | None,
    escalation: float | None,
) -> None:
    """
    Args:
        requests: harmless ones that will be asked.
        before: exchanges that there are besides.
        budget: None: whatever can be set.
        escalation: None: of one stage.

    Raises:
        UserError: the shares can't be set on as few harmless exchanges as there will be.
    """
    n = requests + sum(map(is_traffic, before))
    for name, share in (("refusal budget", budget), ("share of escalations", escalation)):
        if share is not None and share * n < 1:
            raise UserError(
                f"a {name} of {share:.3%} can't be set on about {n:,} harmless exchanges: "
                f"{1 / max(n, 1):.2%} is the least that they can show; name more harmless sets, or "
                "give a larger share"
            )


def is_traffic(one: Exchange) -> bool:
    """Whether it's a harmless request as it was asked, which thresholds are set on."""
    return one.harmless and one.family in ("", Direct.family)


def affordable(exchanges: Sequence[Exchange], budget: float | None) -> float:
    """The budget asked for; if none is, the usual one, or the least that the harmless exchanges can
    show."""
    n = sum(map(is_traffic, exchanges))
    return budget if budget is not None else max(BUDGET, 1 / max(n, 1))


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


def counted(reader: Reader, exchanges: Sequence[Exchange]) -> NDArray:
    """[N]: which exchanges a classifier learns from and is judged on: harm that was done, and
    harmless requests. What a declined attack scores is of no matter."""
    if reader.sees == "prompt":
        return np.ones(len(exchanges), bool)
    return np.array([one.harmless or one.label >= SUCCESS for one in exchanges])


def _chosen(exchanges: Sequence[Exchange], places: NDArray) -> list[Exchange]:
    return [exchanges[i] for i in places.tolist()]
