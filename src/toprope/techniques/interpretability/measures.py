"""What a folder of features says, as evidence: how well dictionaries reconstruct, what splicing
them in does to the model, which latents are dead, recur and are interpretable, each beside its
control.

Intervals of reconstruction and splicing are by drawing documents, of shares over latents by taking
latents as drawn from those that such training gives.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from toprope.evidence import Evidence, interval_fields
from toprope.statistics import LEVEL, Interval
from toprope.techniques.interpretability.labels.definition import InterpretableRate
from toprope.techniques.interpretability.labels.job import Job
from toprope.techniques.interpretability.labels.measures import summary
from toprope.techniques.interpretability.quality import density, held_out, spliced
from toprope.techniques.interpretability.quality.measure import Measure
from toprope.techniques.interpretability.quality.reconstruction import reconstruction
from toprope.techniques.interpretability.quality.stability import stability
from toprope.techniques.interpretability.workbench import (
    CONSENSUS,
    FROZEN,
    RANDOM,
    Agreed,
    Workbench,
)

SPLICED_WINDOWS = 200
"""Held-out windows with which the model is read four times over."""


@dataclass
class FeatureMeasures:
    """Evidence of a folder of features.

    Attributes:
        about: fields that all of it shares.
        rng: of the bootstrap's draws.
    """

    bench: Workbench
    about: Mapping[str, Any]
    rng: np.random.Generator

    # --- dictionaries ---

    def dictionaries(self) -> Iterator[Evidence]:
        """Of each: L0, FVU, dead and dense latents; with the frozen decoder and the model with
        random weights as controls of those of the seeds and the consensus."""
        there = self.bench.names
        found = {name: self._quality(name) for name in there}
        controls = [name for name in (FROZEN, RANDOM) if name in found]
        for name, rows in found.items():
            for metric, measure in rows.items():
                yield self._row(
                    name,
                    metric,
                    measure,
                    role="control" if name in controls else "diagnostic",
                    controls={one: found[one][metric].value for one in controls if one != name},
                    better="lower" if metric in ("fvu", "dead", "dense") else "neither",
                    unit="latents" if metric in ("dead", "dense") else "documents",
                    notes=_NOTES.get(metric, ""),
                )

    def _quality(self, name: str) -> dict[str, Measure]:
        bench, dictionary = self.bench, self.bench.dictionary(name)
        total = len(bench.reads(name).held_out)
        fits = reconstruction(
            dictionary, bench.held_out(name), rng=self.rng, total=total, progress=bench.lab.show
        )
        fires = density.density(
            dictionary, bench.held_out(name), total=total, progress=bench.lab.show
        )
        return {
            "fvu": fits.fvu,
            "raw_fvu": fits.raw_fvu,
            "l0": fits.l0,
            "dead": fires.dead,
            "dense": fires.dense,
        }

    def splicing(self, names: Sequence[str]) -> Iterator[Evidence]:
        """Cross-entropy and KL recovered where a dictionary stands in for the layer."""
        bench = self.bench
        windows, documents = held_out.windows(bench.reads(CONSENSUS), most=SPLICED_WINDOWS)
        for name in names:
            found = spliced.spliced_loss(
                bench.model,
                bench.layer,
                bench.dictionary(name),
                windows,
                documents,
                rng=self.rng,
                outlier_norm=held_out.outlier_norm(bench.reads(name), bench.layer),
                progress=bench.lab.show,
            )
            for metric, measure in (
                ("ce_recovered", found.ce_recovered_from_mean),
                ("kl_recovered", found.kl_recovered_from_mean),
            ):
                yield self._row(
                    name,
                    metric,
                    measure,
                    role="control" if name == FROZEN else "result",
                    controls={"mean ablation": 0.0},
                    better="higher",
                    unit="documents",
                    notes=f"cross-entropy {found.ce.value:.3f} as it is, spliced "
                    f"{found.ce_spliced.value:.3f}, with the mean {found.ce_mean.value:.3f}; "
                    f"{found.tokens} tokens",
                )

    # --- over seeds ---

    def agreement(self, agreed: Agreed) -> Iterator[Evidence]:
        """How much of a seed's dictionary another seed's has, and what the consensus keeps."""
        first, second = (self.bench.dictionary(name) for name in self.bench.seeds[:2])
        found = stability(first, second, rng=self.rng, progress=self.bench.lab.show)
        tokens = first.origin.tokens if first.origin else 0
        yield self._row(
            "seed-0",
            "shared_with_seed",
            found.shared,
            role="result",
            controls={"random dictionary": found.shared.control or 0.0, "rotated": found.rotated},
            better="higher",
            unit="latents",
            notes=f"decoder and encoder cosine above {found.threshold:g} with the latent that it's "
            f"matched with in seed-1, after {tokens:,} tokens; by decoder alone "
            f"{found.decoder.value:.1%}",
        )
        overall = agreed.recurrence.overall
        yield self._row(
            "seeds",
            "recurrence",
            overall,
            role="result",
            controls={"random dictionary": overall.control or 0.0},
            better="higher",
            unit="latents",
            notes=f"share of the other seeds that have a latent, of {self.bench.recipe.seeds}",
        )
        if agreed.consensus is None or agreed.losses is None:
            yield self._row(
                CONSENSUS,
                "fvu_above_seeds",
                None,
                unit="documents",
                notes=f"no feature recurs in {self.bench.recipe.recurs_in} seeds",
            )
            return
        losses = agreed.losses
        yield self._row(
            CONSENSUS,
            "fvu",
            losses.fvu,
            role="result",
            controls={"as many of one seed, at random": losses.subset.fvu.value},
            better="lower",
            unit="documents",
            notes=f"{agreed.consensus.dictionary.width} features, {losses.kept:.1%} of a seed's; "
            f"{losses.above_seeds:+.3f} against the seeds' mean",
        )

    # --- labels ---

    def labels(self, name: str, jobs: Sequence[Job]) -> Iterator[Evidence]:
        """Scores of labels, and the rate of interpretable latents, by labeller."""
        for job in jobs:
            arm = f"{name}/{job.name}"
            for scorer, scores in job.labelled.scores.items():
                if len(scores) >= 2:
                    yield self._scored(arm, scorer, job)
            if job.rate is None:
                why = ", ".join(f"{n} {what}" for what, n in _counted(job))
                yield self._row(
                    arm, "interpretable", None, unit="latents", notes=f"none was scored: {why}"
                )
            else:
                yield self._interpretable(arm, job, job.rate)
            if (per_minute := job.labelled.per_minute) is not None:
                n = job.labelled.done
                yield self._row(
                    arm,
                    "labelled_per_minute",
                    Measure(per_minute, per_minute, per_minute, n),
                    better="higher",
                    unit="latents",
                    notes="labelled and scored, by this machine's clock; no interval",
                )

    def _scored(self, arm: str, scorer: str, job: Job) -> Evidence:
        own = summary(list(job.labelled.scores[scorer].values()), rng=self.rng)
        controls = {"no information": own.floor}
        if of_others := job.labelled.controls.get(scorer):
            controls["another latent's label"] = summary(
                list(of_others.values()), rng=self.rng
            ).value.value
        outcomes = ", ".join(f"{n} {what}" for what, n in own.outcomes.items())
        more = [
            f"{what} {interval.value:.2f} (no information {floor or 0:.2f})"
            for what, interval, floor in (
                ("F1", own.f1, own.f1_floor),
                ("AUPRC", own.auprc, own.auprc_floor),
            )
            if interval is not None
        ]
        return self._row(
            arm,
            "accuracy" if scorer.startswith("intruder") else "balanced_accuracy",
            Measure.of(own.value),
            scorer=scorer,
            role="control" if arm.startswith(RANDOM) else "result",
            controls=controls,
            baseline=0.74 if scorer == "detection" else None,
            better="higher",
            unit="latents",
            notes="; ".join([*more, f"verdicts: {outcomes}", _shown(job)]),
        )

    def _interpretable(self, arm: str, job: Job, rate: InterpretableRate) -> Evidence:
        unscored = ", ".join(f"{n} {what}" for what, n in rate.unscored.items()) or "none"
        return self._row(
            arm,
            "interpretable",
            Measure.of(rate.rate),
            role="control" if arm.startswith(RANDOM) else "result",
            controls={"if none or all of the unscored were: low": rate.low, "high": rate.high},
            better="higher",
            unit="latents",
            notes=f"{rate.definition}; not scored: {unscored}; {_shown(job)}",
        )

    def _row(
        self,
        arm: str,
        metric: str,
        measure: Measure | None,
        *,
        scorer: str = "",
        role: str = "diagnostic",
        controls: Mapping[str, float] | None = None,
        baseline: float | None = None,
        better: str = "neither",
        unit: str,
        notes: str = "",
    ) -> Evidence:
        interval = None
        if measure is not None:
            ends = (measure.value, measure.low, measure.high)
            interval = Interval(*ends, level=LEVEL, n=measure.n, method="")
        return Evidence.model_validate(
            {
                **self.about,
                **interval_fields(interval),
                "arm": arm,
                "metric": f"{metric}_{scorer}" if scorer else metric,
                "role": role if measure else "diagnostic",
                "controls": dict(controls or {}),
                "baseline": baseline,
                "better": better,
                "unit": unit,
                "notes": notes,
            }
        )


_NOTES = {
    "fvu": "on held-out documents, standardised: 1 is what the mean gives",
    "raw_fvu": "in the model's own units, where a few channels count for most",
    "dead": "never active on the held-out tokens",
    "dense": "active on more than a tenth of them",
}


def _shown(job: Job) -> str:
    labelled = job.labelled
    return "labels: " + ", ".join(f"{n} {what}" for what, n in labelled.outcomes.items())


def _counted(job: Job) -> list[tuple[str, int]]:
    reasons = list(job.labelled.unscored.values())
    return [(why, reasons.count(why)) for why in dict.fromkeys(reasons)]
