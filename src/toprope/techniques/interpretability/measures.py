"""What a folder of features says of its dictionaries, as evidence: how well they reconstruct, what
splicing them in does to the model, which latents are dead, what seeds share, each beside its
control. What labels say is in `label_measures.py`.

Intervals of reconstruction and splicing are by drawing the groups of documents that are held out
together, of shares over latents by taking
latents as drawn from those that such training gives.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from toprope.evidence import Evidence
from toprope.techniques.interpretability.making import RANDOM_CONSENSUS, Agreed, untrained
from toprope.techniques.interpretability.quality import density, held_out, spliced
from toprope.techniques.interpretability.quality.absorption import absorption
from toprope.techniques.interpretability.quality.measure import Measure
from toprope.techniques.interpretability.quality.reconstruction import reconstruction
from toprope.techniques.interpretability.quality.stability import stability
from toprope.techniques.interpretability.rows import Rows
from toprope.techniques.interpretability.workbench import (
    CONSENSUS,
    FROZEN,
    Workbench,
    is_random,
)

SPLICED_WINDOWS = 200
"""Held-out windows with which the model is read four times over."""


@dataclass
class FeatureMeasures:
    """Evidence of a folder's dictionaries.

    Attributes:
        rng: of the bootstrap's draws.
    """

    bench: Workbench
    rows: Rows
    rng: np.random.Generator

    # --- dictionaries ---

    def dictionaries(self) -> Iterator[Evidence]:
        """Of each: FVU, L0, dead and dense latents; beside the frozen decoder's and those of the
        model with random weights. A consensus' FVU is told by `agreement`, beside its own
        control."""
        found = {name: self._quality(name) for name in self.bench.names}
        first_random = self.bench.seeds(random=True)[0]
        for name, measures in found.items():
            others = [FROZEN, first_random] if not is_random(name) else []
            controls = [one for one in others if one in found and one != name]
            for metric, measure in measures.items():
                if metric == "fvu" and name in (CONSENSUS, RANDOM_CONSENSUS):
                    continue
                yield self.rows.row(
                    name,
                    metric,
                    measure,
                    role="control" if is_random(name) or name == FROZEN else "result",
                    controls={one: found[one][metric].value for one in controls},
                    better="neither" if metric == "l0" else "lower",
                    unit="latents" if metric in ("dead", "dense") else "groups of documents",
                    notes=self._notes(metric, measure),
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

    def _notes(self, metric: str, measure: Measure) -> str:
        tokens = len(self.bench.reads(CONSENSUS).held_out)
        return {
            "fvu": "on held-out documents, standardised: 1 is what the mean gives",
            "raw_fvu": "in the model's own units, where a few channels count for most",
            "dead": f"never active on {tokens:,} held-out tokens",
            "dense": f"active on more than a tenth of {tokens:,} held-out tokens",
        }.get(metric, "")

    def splicing(self, names: Sequence[str]) -> Iterator[Evidence]:
        """Cross-entropy and KL recovered where a dictionary stands in for the layer, on the scale
        from the layer's mean to the layer itself; beside the frozen decoder's."""
        bench = self.bench
        windows, documents = held_out.windows(bench.reads(CONSENSUS), most=SPLICED_WINDOWS)
        found = {
            name: spliced.spliced_loss(
                bench.model,
                bench.layer,
                bench.dictionary(name),
                windows,
                documents,
                rng=self.rng,
                outlier_norm=held_out.outlier_norm(bench.reads(name), bench.layer),
                progress=bench.lab.show,
            )
            for name in names
        }
        for name, one in found.items():
            told = (
                f"cross-entropy {one.ce.value:.3f} as it is, {one.ce_spliced.value:.3f} spliced, "
                f"{one.ce_mean.value:.3f} with the mean; {one.tokens:,} tokens"
            )
            frozen = found.get(FROZEN) if name != FROZEN else None
            for metric in ("ce_recovered", "kl_recovered"):
                of_frozen = frozen and getattr(frozen, f"{metric}_from_mean").value
                yield self.rows.row(
                    name,
                    metric,
                    getattr(one, f"{metric}_from_mean"),
                    role="control" if name == FROZEN else "result",
                    controls={} if of_frozen is None else {FROZEN: of_frozen},
                    better="higher",
                    unit="groups of documents",
                    notes=told,
                )

    def absorbed(self, names: Sequence[str]) -> Iterator[Evidence]:
        """Feature absorption on words' first letters."""
        bench = self.bench
        for name in names:
            found = absorption(
                bench.model,
                bench.dictionary(name),
                bench.layer,
                rng=self.rng,
                progress=bench.lab.show,
            )
            told = (
                f"probes' F1 {found.f1:.2f}; {len(found.letters)} letters, {found.splits:.1f} "
                "latents each"
            )
            if found.spelled.n:
                told += f"; the model itself names {found.spelled.value:.1%} of the letters"
            why = f"not measurable: {found.reason}; " if found.reason else ""
            for metric, measure in (
                ("absorption", found.rate),
                ("absorption_projection", found.projection),
            ):
                controls = {}
                if measure and measure.control is not None:
                    controls = {"another letter's probe": measure.control}
                yield self.rows.row(
                    name,
                    metric,
                    measure,
                    role="result" if controls else "diagnostic",
                    controls=controls,
                    better="lower",
                    unit="letters",
                    notes=why + told,
                )

    # --- over seeds ---

    def agreement(self, agreed: Agreed, random: bool = False) -> Iterator[Evidence]:
        """How much of a seed's dictionary another seed's has, and what the consensus keeps; of the
        model with random weights as the control."""
        bench = self.bench
        role = "control" if random else "result"
        names = bench.seeds(random=random)
        first, second = (bench.dictionary(name) for name in names[:2])
        found = stability(first, second, rng=self.rng, progress=bench.lab.show)
        controls = {
            "random dictionary": found.shared.control or 0.0,
            "rotated": found.rotated,
        }
        if not random:
            controls["before training"] = stability(*untrained(bench, 2), rng=self.rng).shared.value
        tokens = first.origin.tokens if first.origin else 0
        yield self.rows.row(
            names[0],
            "shared_with_seed",
            found.shared,
            role=role,
            controls=controls,
            better="higher",
            unit="latents",
            notes=f"decoder and encoder cosine above {found.threshold:g} with the latent that it's "
            f"matched with in {names[1]}, after {tokens:,} tokens; by decoder alone "
            f"{found.decoder.value:.1%}",
        )
        overall = agreed.recurrence.overall
        yield self.rows.row(
            "random seeds" if random else "seeds",
            "recurrence",
            overall,
            role=role,
            controls={"random dictionary": overall.control or 0.0},
            better="higher",
            unit="latents",
            notes=f"share of the other seeds that have a latent, of {bench.recipe.seeds}",
        )
        arm = RANDOM_CONSENSUS if random else CONSENSUS
        if agreed.consensus is None or agreed.losses is None:
            why = f"no feature recurs in {bench.recipe.recurs_in} seeds"
            yield self.rows.unmeasured(arm, "fvu", why)
            return
        losses = agreed.losses
        yield self.rows.row(
            arm,
            "fvu",
            losses.fvu,
            role=role,
            controls={"as many of one seed, at random": losses.subset.fvu.value},
            better="lower",
            unit="groups of documents",
            notes=f"{agreed.consensus.dictionary.width} features, {losses.kept:.1%} of a seed's "
            f"number; {losses.above_seeds:+.3f} against the seeds' mean",
        )
