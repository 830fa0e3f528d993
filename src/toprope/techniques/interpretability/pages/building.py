"""From a folder of features to its pages: what was collected, labelled and paired of a dictionary,
put together for each latent that is shown."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from toprope.statistics import LEVEL, Interval
from toprope.techniques.interpretability.examples import Examples
from toprope.techniques.interpretability.labels.annotations import Annotation, Annotations
from toprope.techniques.interpretability.making import RANDOM_CONSENSUS, recurrence_folder
from toprope.techniques.interpretability.pages.index import (
    IndexPage,
    IndexRow,
    index_row,
    write_index,
)
from toprope.techniques.interpretability.pages.page import (
    LatentPage,
    Neighbour,
    Recurrence,
    Score,
    groups_of,
    histogram_of,
    page_name,
    write_page,
)
from toprope.techniques.interpretability.quality.members import load_members
from toprope.techniques.interpretability.quality.stability import load_recurrence
from toprope.techniques.interpretability.use.unembedding import OutputSide, output_side
from toprope.techniques.interpretability.workbench import CONSENSUS, Workbench, is_random

SHUFFLED, NOTHING = "another latent's label", "no information"


def build(bench: Workbench, name: str, latents: Sequence[int], labels: Annotations | None) -> Path:
    """Writes a page for each of the latents, and the index of all; returns the index.

    Raises:
        UserError: no such dictionary or latent, or the folder can't be written.
    """
    examples, dictionary = bench.examples(name), bench.dictionary(name)
    outputs = output_side(bench.model_of(name), dictionary, latents) if latents else []
    recurs = _recurrences(bench, name)
    folder = bench.folder / "pages" / name
    rows: dict[int, IndexRow] = {}
    with bench.lab.progress("writing pages", len(latents)) as task:
        for latent, output in zip(latents, outputs, strict=True):
            page = _page(bench, name, latent, examples, labels, output, recurs.get(latent), latents)
            write_page(page, folder)
            rows[latent] = index_row(page)
            task.advance()
    for latent in range(dictionary.width):
        if latent not in rows:
            rows[latent] = _row(latent, examples, labels, recurs.get(latent))
    return write_index(
        IndexPage(
            dictionary=_title(bench, name),
            rows=[rows[latent] for latent in sorted(rows)],
            facts=_facts(bench, name),
            score=_scorer_title(labels.scorer) if labels else "Score",
            control=SHUFFLED.capitalize(),
            definition=labels.definition if labels else None,
        ),
        folder,
    )


def _page(
    bench: Workbench,
    name: str,
    latent: int,
    examples: Examples,
    labels: Annotations | None,
    output: OutputSide,
    recurs: Recurrence | None,
    shown: Sequence[int],
) -> LatentPage:
    seen = examples.latent(latent)
    known = labels.latents.get(latent) if labels else None
    all_labels = labels.labels if labels else {}
    return LatentPage(
        latent=latent,
        dictionary=_title(bench, name),
        highest=seen.highest,
        label=(known.label or None) if known else None,
        labelled_by=labels.labeller if labels and known and known.label else None,
        interpretable=known.interpretable if known else None,
        definition=labels.definition if labels and known else None,
        scores=_scores(known, labels.scorer) if known and labels else None,
        recurrence=recurs,
        rate=seen.rate,
        histogram=histogram_of(seen),
        groups=groups_of(seen),
        neighbours=tuple(
            Neighbour(
                other,
                cosine,
                all_labels.get(other),
                page_name(other) if other in set(shown) else None,
            )
            for other, cosine in seen.neighbours
        ),
        promoted=tuple((one.text, one.effect) for one in output.promoted),
        suppressed=tuple((one.text, one.effect) for one in output.suppressed),
        corpus=bench.recipe.texts,
        index="index.html",
    )


def _row(
    latent: int, examples: Examples, labels: Annotations | None, recurs: Recurrence | None
) -> IndexRow:
    known = labels.latents.get(latent) if labels else None
    of = labels.scorer if labels else ""
    return IndexRow(
        latent=latent,
        label=(known.label or None) if known else None,
        score=known.scores.get(of) if known else None,
        control=known.controls.get(of) if known else None,
        interpretable=known.interpretable if known else None,
        rate=examples.rates.get(latent),
        recurrence=recurs.share if recurs else None,
    )


def _scores(known: Annotation, first: str) -> tuple[Score, ...]:
    order = sorted(known.scores, key=lambda scorer: scorer != first)
    chance = Interval(0.5, 0.5, 0.5, LEVEL, 0, "by definition")
    found = []
    for scorer in order:
        controls = [(SHUFFLED, known.controls[scorer])] if scorer in known.controls else []
        if not scorer.startswith("intruder"):
            controls.append((NOTHING, chance))
        found.append(Score(_scorer_title(scorer), known.scores[scorer], tuple(controls)))
    return tuple(found)


def _recurrences(bench: Workbench, name: str) -> dict[int, Recurrence]:
    """Of a seed's or a consensus' latents in the other seeds; of other dictionaries nothing is
    known."""
    random = is_random(name)
    others = bench.recipe.seeds - 1
    if name in (CONSENSUS, RANDOM_CONSENSUS):
        of = load_members(bench.place(name))
        shares = (of.recurrence_C - 1) / others
        return {
            latent: Recurrence(float(share), others, float(cosine))
            for latent, (share, cosine) in enumerate(zip(shares, of.cohesion_C, strict=True))
        }
    if name not in bench.seeds(random=random) or others < 1:
        return {}
    found = load_recurrence(recurrence_folder(bench, random=random))
    recurring = found.of_seed(bench.seeds(random=random).index(name))
    return {
        latent: Recurrence(float(share), others, float(cosine))
        for latent, (share, cosine) in enumerate(
            zip(recurring.share_F, recurring.cosine_FS.max(1), strict=True)
        )
    }


def _title(bench: Workbench, name: str) -> str:
    return f"{bench.recipe.target}, layer {bench.layer}: {name}"


def _facts(bench: Workbench, name: str) -> list[str]:
    dictionary = bench.dictionary(name)
    kind, origin = dictionary.settings.kind, dictionary.origin
    trained = [f"{origin.tokens:,} tokens of {bench.recipe.texts}"] if origin else []
    return [f"{kind}, {dictionary.width:,} latents, {dictionary.settings.active} active", *trained]


def _scorer_title(scorer: str) -> str:
    measure = "accuracy" if scorer.startswith("intruder") else "balanced accuracy"
    return f"{scorer.capitalize()}, {measure}"
