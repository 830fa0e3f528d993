"""What labels of a folder's latents say, as evidence: how well they tell where latents fire, how
many latents are interpretable, and how stable labels are, each beside its controls: another
latent's label, a decoder that stays random, a model with random weights."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from toprope.evidence import Cost, Evidence
from toprope.statistics import Interval
from toprope.techniques.interpretability.labels.definition import InterpretableRate
from toprope.techniques.interpretability.labels.job import Job
from toprope.techniques.interpretability.labels.measures import Summary, summary
from toprope.techniques.interpretability.labels.restating import Restated
from toprope.techniques.interpretability.making import RANDOM_CONSENSUS
from toprope.techniques.interpretability.quality.measure import Measure
from toprope.techniques.interpretability.rows import Rows
from toprope.techniques.interpretability.workbench import CONSENSUS, FROZEN, RANDOM, is_random

SHUFFLED = "another latent's label"
PUBLISHED = 0.74
"""Detection's mean balanced accuracy against random negatives (Paulo et al. 2024)."""


@dataclass
class LabelMeasures:
    """Evidence of labels.

    Attributes:
        rng: of the bootstrap's draws.
    """

    rows: Rows
    rng: np.random.Generator

    def labels(self, jobs: Mapping[str, Sequence[Job]]) -> Iterator[Evidence]:
        """
        Args:
            jobs: of each dictionary, the controls' included.
        """
        rates = {
            (name, job.name): job.rate.rate.value
            for name, some in jobs.items()
            for job in some
            if job.rate
        }
        for name, some in jobs.items():
            for job in some:
                yield from self._of_job(name, job, rates)

    def restated(self, name: str, found: Restated) -> Iterator[Evidence]:
        """How alike labels of one latent are, beside labels of different latents."""
        for metric, one in (
            ("label_stability", found.reseeded),
            ("label_paraphrased", found.paraphrased),
        ):
            if one is None:
                yield self.rows.row(
                    f"{name}/explainer",
                    metric,
                    None,
                    unit="latents",
                    notes="fewer than two latents got a second label",
                )
                continue
            yield self.rows.row(
                f"{name}/explainer",
                metric,
                Measure.of(one.same),
                role="result" if metric == "label_stability" else "control",
                controls={"different latents": one.different.value},
                better="higher",
                unit="latents",
                notes="mean cosine of the sentence embeddings of labels of one latent; nearest to "
                f"each other among all {one.found.value:.1%} (by chance {one.chance:.1%})",
            )

    def _of_job(
        self, name: str, job: Job, rates: Mapping[tuple[str, str], float]
    ) -> Iterator[Evidence]:
        arm, role = f"{name}/{job.name}", _role(name)
        for scorer, scores in job.labelled.scores.items():
            if len(scores) >= 2:
                yield from self._scored(arm, role, scorer, job)
        if job.rate is None:
            yield self.rows.unmeasured(arm, "interpretable", f"none was scored: {_unscored(job)}")
        else:
            beside = [FROZEN, RANDOM_CONSENSUS if name == CONSENSUS else f"{RANDOM}-0"]
            controls = {
                one: rates[one, job.name]
                for one in beside
                if one != name and (one, job.name) in rates
            }
            yield from self._interpretable(arm, role, job, job.rate, controls)
        if (per_minute := job.labelled.per_minute) is not None:
            yield self.rows.row(
                arm,
                "labelled_per_minute",
                Measure(per_minute, per_minute, per_minute, job.labelled.done),
                better="higher",
                unit="latents",
                notes="labelled and scored, by this machine's clock; no interval",
                cost=Cost(seconds=job.labelled.seconds),
            )

    def _scored(self, arm: str, role: str, scorer: str, job: Job) -> Iterator[Evidence]:
        """Balanced accuracy (accuracy of intruders), F1, AUPRC, and a simulation's correlation."""
        own = summary(list(job.labelled.scores[scorer].values()), rng=self.rng)
        of_others = job.labelled.controls.get(scorer)
        other = summary(list(of_others.values()), rng=self.rng) if of_others else None
        outcomes = ", ".join(f"{n} {what}" for what, n in own.outcomes.items())
        accuracy = "accuracy" if scorer.startswith("intruder") else "balanced_accuracy"
        for metric, floor in (
            ("value", own.floor),
            ("f1", own.f1_floor),
            ("auprc", own.auprc_floor),
            ("correlation", 0.0),
        ):
            interval: Interval | None = getattr(own, metric)
            if interval is None:
                continue
            is_main = metric == "value"
            yield self.rows.row(
                arm,
                f"{accuracy if is_main else metric}_{scorer}",
                Measure.of(interval),
                role=role if is_main else "diagnostic",
                controls=_controls(metric, floor, other),
                baseline=PUBLISHED if is_main and scorer == "detection, random negatives" else None,
                better="higher",
                unit="latents",
                notes=f"verdicts: {outcomes}; labels: {_shown(job)}",
            )

    def _interpretable(
        self,
        arm: str,
        role: str,
        job: Job,
        rate: InterpretableRate,
        controls: Mapping[str, float],
    ) -> Iterator[Evidence]:
        told = (
            f"{rate.definition}; not scored: {_unscored(job)}; of all drawn {rate.low:.1%} if none "
            f"of these were, {rate.high:.1%} if all; labels: {_shown(job)}"
        )
        yield self.rows.row(
            arm,
            "interpretable",
            Measure.of(rate.rate),
            role=role,
            controls={SHUFFLED: rate.shuffled.value, **controls},
            better="higher",
            unit="latents",
            notes=told,
        )
        if rate.rate_of_scored is not None and rate.scored < rate.rate.n:
            yield self.rows.row(
                arm,
                "interpretable_of_scored",
                Measure.of(rate.rate_of_scored),
                better="higher",
                unit="latents",
                notes="labels that failed left out",
            )


def _role(name: str) -> str:
    return "control" if is_random(name) or name == FROZEN else "result"


def _controls(metric: str, floor: float | None, other: Summary | None) -> dict[str, float]:
    found = {} if floor is None else {"no information": floor}
    of_other: Interval | None = getattr(other, metric) if other else None
    return found if of_other is None else {**found, SHUFFLED: of_other.value}


def _shown(job: Job) -> str:
    return ", ".join(f"{n} {what}" for what, n in job.labelled.outcomes.items()) or "none"


def _unscored(job: Job) -> str:
    reasons = list(job.labelled.unscored.values())
    return ", ".join(f"{reasons.count(why)} {why}" for why in dict.fromkeys(reasons)) or "none"
