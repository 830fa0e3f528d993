"""Labelling the latents of a dictionary in a folder of features: which latents, by whom, scored
how; the answers and what came of it stay in the folder."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from pathlib import Path

from toprope.data.seeding import named_rng
from toprope.errors import UserError
from toprope.journal import Journal
from toprope.models.embedding import EMBEDDER
from toprope.study import NOBODY
from toprope.techniques.interpretability.examples import Examples
from toprope.techniques.interpretability.labels.annotations import (
    Annotations,
    annotated,
    load,
    save,
)
from toprope.techniques.interpretability.labels.crossfitted import TRAINED, with_trained
from toprope.techniques.interpretability.labels.definition import InterpretableRate
from toprope.techniques.interpretability.labels.explainer import Explainer
from toprope.techniques.interpretability.labels.floors import TokenStatistics
from toprope.techniques.interpretability.labels.given import Given
from toprope.techniques.interpretability.labels.labeller import Labeller
from toprope.techniques.interpretability.labels.labelling import Labelled, label_and_score
from toprope.techniques.interpretability.labels.naming import make_scorers
from toprope.techniques.interpretability.labels.scorers.embedding import Embedder
from toprope.techniques.interpretability.labels.settings import LabelSettings
from toprope.techniques.interpretability.labels.trained import EmbeddingFeatures
from toprope.techniques.interpretability.quality.raw_units import check_latent
from toprope.techniques.interpretability.use.unembedding import output_side
from toprope.techniques.interpretability.workbench import Workbench

FLOOR, EXPLAINER, GIVEN = "token-statistics", "explainer", "given"
"""Labellers: the one that reads no text, by which the others' scores are held up, a chat model, and
whoever wrote the labels that a user gave."""


@dataclass(frozen=True)
class Job:
    """A labelling, and the rate of interpretable latents that it gives.

    Attributes:
        rate: None where no latent could be scored, or none beside its control.
    """

    name: str
    labelled: Labelled
    rate: InterpretableRate | None


def label(bench: Workbench, name: str, settings: LabelSettings) -> list[Job]:
    """Labels latents of a dictionary: by token statistics, and by the overseer if there's one.

    Raises:
        UserError: scorers that there's no overseer for; one that can't be opened; too few latents
            that could be labelled.
    """
    settings.check()
    dictionary, examples = bench.dictionary(name), bench.examples(name)
    rng = named_rng(bench.about.seed, "latents", name)
    most = min(settings.latents, dictionary.width)
    latents = sorted(rng.choice(dictionary.width, most, replace=False).tolist())
    labellers: dict[str, Labeller] = {FLOOR: TokenStatistics(examples)}
    if settings.overseer != NOBODY:
        alive = [one for one in latents if examples.latent(one).firings]
        outputs = output_side(bench.model_of(name), dictionary, alive)
        labellers[EXPLAINER] = Explainer(
            bench.lab.chat(settings.overseer), outputs={one.latent: one for one in outputs}
        )
    return [
        _labelled(bench, name, kind, labeller, latents, examples, settings)
        for kind, labeller in labellers.items()
    ]


def score_given(bench: Workbench, name: str, given: Given, settings: LabelSettings) -> Job:
    """Scores labels that a user gave.

    Raises:
        UserError: as `label`; a label for a latent that the dictionary doesn't have.
    """
    settings.check()
    dictionary, examples = bench.dictionary(name), bench.examples(name)
    latents = sorted(given.labels)
    for latent in latents:
        check_latent(dictionary, latent)
    return _labelled(bench, name, GIVEN, given, latents, examples, settings)


def labels_file(bench: Workbench, name: str, labeller: str) -> Path:
    """Where a labeller's annotations of a dictionary are."""
    return bench.folder / "labels" / name / f"{labeller}.json"


def labels_there(bench: Workbench, name: str) -> list[str]:
    """The labellers whose annotations of a dictionary are kept, the most telling first."""
    return [one for one in (GIVEN, EXPLAINER, FLOOR) if labels_file(bench, name, one).exists()]


def best_labels(bench: Workbench, name: str) -> Annotations:
    """The first of those.

    Raises:
        UserError: nothing is labelled yet.
    """
    there = labels_there(bench, name)
    if not there:
        raise UserError(
            f"no latent of '{name}' has a label yet: 'toprope features label {bench.folder} "
            f"--dictionary {name}' writes some"
        )
    return load(labels_file(bench, name, there[0]))


def _labelled(
    bench: Workbench,
    name: str,
    kind: str,
    labeller: Labeller,
    latents: list[int],
    examples: Examples,
    settings: LabelSettings,
) -> Job:
    scorers = make_scorers(settings.scorers, settings.overseer, bench.lab)
    path = labels_file(bench, name, kind)
    path.parent.mkdir(parents=True, exist_ok=True)
    head = {"dictionary": name, "about": bench.about.model_dump(mode="json")}

    async def work() -> Labelled:
        with Journal(path.with_suffix(".jsonl"), head, what="labelling") as journal:
            found = await label_and_score(
                latents,
                examples.latent,
                labeller,
                scorers,
                seed=bench.about.seed,
                journal=journal,
                progress=bench.lab.show,
            )
        if TRAINED not in settings.scorers:
            return found
        features = EmbeddingFeatures(Embedder(bench.lab.local(EMBEDDER)))
        return await with_trained(found, features, examples.latent, seed=bench.about.seed)

    labelled = asyncio.run(work())
    save(annotated(labelled, settings.definition), path)
    rate, first = None, settings.scorers[0]
    # Without two different labels there's no control, and so no rate.
    if labelled.scores[first] and labelled.controls.get(first):
        rate = labelled.interpretable(settings.definition)
    return Job(kind, labelled, rate)
