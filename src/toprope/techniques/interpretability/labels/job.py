"""Labelling the latents of a dictionary in a folder of features: which latents, by whom, scored
how; the answers and what came of it stay in the folder."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from toprope.data.seeding import named_rng
from toprope.errors import UserError, unknown
from toprope.journal import Journal
from toprope.models.embedding import EMBEDDER
from toprope.study import NOBODY
from toprope.techniques.interpretability.dictionaries.dictionary import Dictionary
from toprope.techniques.interpretability.examples import Examples
from toprope.techniques.interpretability.labels.annotations import (
    Annotation,
    Annotations,
    annotated,
    load,
    save,
)
from toprope.techniques.interpretability.labels.crossfitted import with_trained
from toprope.techniques.interpretability.labels.definition import InterpretableRate
from toprope.techniques.interpretability.labels.effects import effects
from toprope.techniques.interpretability.labels.explainer import Explainer
from toprope.techniques.interpretability.labels.floors import TokenStatistics
from toprope.techniques.interpretability.labels.given import Given
from toprope.techniques.interpretability.labels.labeller import Labeller
from toprope.techniques.interpretability.labels.labelling import Labelled, label_and_score
from toprope.techniques.interpretability.labels.naming import (
    TRAINED,
    make_features,
    make_scorers,
)
from toprope.techniques.interpretability.labels.restating import Restated, restated
from toprope.techniques.interpretability.labels.scorers.embedding import Embedder
from toprope.techniques.interpretability.labels.settings import LabelSettings
from toprope.techniques.interpretability.labels.trained import FEWEST
from toprope.techniques.interpretability.quality.raw_units import check_latent
from toprope.techniques.interpretability.use.unembedding import output_side
from toprope.techniques.interpretability.workbench import Workbench

RESTATED = 20
"""Latents that are explained again."""

FLOOR, EXPLAINER, GIVEN = "token-statistics", "explainer", "given"
"""Labellers: the one that reads no text, by which the others' scores are held up, a chat model, and
whoever wrote the labels that a user gave."""
LABELLERS = (GIVEN, EXPLAINER, FLOOR)
"""The most telling first."""


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
    latents = drawn(bench.about.seed, name, dictionary.width, settings.latents)
    labellers: dict[str, Labeller] = {FLOOR: TokenStatistics(examples)}
    if settings.overseer != NOBODY:
        labellers[EXPLAINER] = _explainer(bench, name, dictionary, latents, examples, settings)
    return [
        _labelled(bench, name, kind, labeller, latents, examples, settings)
        for kind, labeller in labellers.items()
    ]


def drawn(seed: int, name: str, width: int, most: int) -> list[int]:
    """Latents of a dictionary, drawn at random: of more, the fewer are some."""
    order = named_rng(seed, "latents", name).permutation(width)
    return sorted(order[:most].tolist())


def restate(bench: Workbench, name: str, job: Job, settings: LabelSettings) -> Restated:
    """How stable an explainer's labels are, on some that are drawn of the latents with one.

    Args:
        job, settings: the explainer's, and those by which it was done.
    """
    dictionary, examples = bench.dictionary(name), bench.examples(name)
    rng = named_rng(bench.about.seed, "restated", name)
    labels = {latent: one.text for latent, one in job.labelled.labels.items() if one.text}
    some = rng.permutation(sorted(labels))[:RESTATED].tolist()
    return asyncio.run(
        restated(
            _explainer(bench, name, dictionary, some, examples, settings),
            {latent: labels[latent] for latent in some},
            examples.latent,
            Embedder(bench.lab.local(EMBEDDER)),
            rng=rng,
            progress=bench.lab.show,
        )
    )


def score_given(bench: Workbench, name: str, given: Given, settings: LabelSettings) -> Job:
    """Scores labels that a user gave.

    Raises:
        UserError: as `label`; a label for a latent that the dictionary doesn't have; too few labels
            for the scorer that decides.
    """
    settings.check()
    if settings.scorers[0] in TRAINED and len(given.labels) <= FEWEST:
        raise UserError(
            f"the scorer '{settings.scorers[0]}' learns from the other labels of "
            f"{given.source}, which has "
            f"{len(given.labels)}: give {FEWEST + 1} or more, or score by 'embedding'"
        )
    dictionary, examples = bench.dictionary(name), bench.examples(name)
    latents = sorted(given.labels)
    for latent in latents:
        check_latent(dictionary, latent)
    return _labelled(bench, name, GIVEN, given, latents, examples, settings)


def labels_file(bench: Workbench, name: str, labeller: str) -> Path:
    """Where a labeller's annotations of a dictionary are."""
    return bench.folder / "labels" / name / f"{labeller}.json"


def labels_there(bench: Workbench, name: str) -> list[str]:
    """The labellers who have labelled latents of a dictionary, the most telling first."""
    files = {one: labels_file(bench, name, one) for one in LABELLERS}
    return [one for one, path in files.items() if path.exists() and load(path).labels]


def labels_by(bench: Workbench, name: str, labeller: str | None = None) -> Annotations:
    """Those of one labeller; by default of the most telling.

    Raises:
        UserError: nothing is labelled yet, or not by that labeller.
    """
    there = labels_there(bench, name)
    if not there:
        raise UserError(
            f"no latent of '{name}' has a label yet: 'toprope features label {bench.folder} "
            f"--dictionary {name}' writes some"
        )
    if labeller not in (None, *there):
        raise unknown("labeller", labeller, there, where=f"'{name}' of {bench.folder}")
    return load(labels_file(bench, name, labeller or there[0]))


def every_label(bench: Workbench, name: str) -> dict[int, Annotation]:
    """Each labelled latent's annotation, by the most telling labeller that wrote one for it."""
    found: dict[int, Annotation] = {}
    for labeller in reversed(labels_there(bench, name)):
        kept = load(labels_file(bench, name, labeller)).latents
        found |= {latent: one for latent, one in kept.items() if one.label}
    return found


def _explainer(
    bench: Workbench,
    name: str,
    dictionary: Dictionary,
    latents: list[int],
    examples: Examples,
    settings: LabelSettings,
) -> Explainer:
    """The overseer, with what the latents do to the model's next words."""
    alive = [one for one in latents if examples.latent(one).firings]
    model = bench.model_of(name)
    outputs = output_side(model, dictionary, alive) if alive else []
    tried = {}
    if settings.steering:
        tried = effects(
            model,
            dictionary,
            bench.layer,
            examples.latent,
            alive,
            rng=named_rng(bench.about.seed, "steering", name),
            progress=bench.lab.show,
        )
    return Explainer(
        bench.lab.chat(settings.overseer),
        outputs={one.latent: one for one in outputs},
        effects=tried,
    )


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
    seen = partial(examples.latent, windows=settings.windows)

    async def work() -> Labelled:
        with Journal(path.with_suffix(".jsonl"), head, what="labelling") as journal:
            found = await label_and_score(
                latents,
                seen,
                labeller,
                scorers,
                seed=bench.about.seed,
                journal=journal,
                progress=bench.lab.show,
            )
        features = make_features(settings.scorers, settings.overseer, bench.lab)
        for scorer, of in features.items():
            found = await with_trained(
                found, scorer, of, seen, seed=bench.about.seed, progress=bench.lab.show
            )
        return found

    labelled = asyncio.run(work())
    save(annotated(labelled, settings.definition), path)
    return Job(kind, labelled, labelled.interpretable(settings.definition))
