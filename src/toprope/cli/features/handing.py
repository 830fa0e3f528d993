"""Handing features on, to people and other tools: `toprope features review | export | import`."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from toprope.cli.features.shared import (
    DICTIONARY,
    FOLDER,
    LABELLER,
    chosen,
    machine_options,
    number,
    opened,
    share,
)
from toprope.cli.options import OneOf
from toprope.errors import UserError

if TYPE_CHECKING:
    from toprope.techniques.interpretability.labels.annotations import Annotations
    from toprope.techniques.interpretability.labels.review import Answer
    from toprope.techniques.interpretability.workbench import Workbench

FORMATS = ("saelens", "sparsify")
FORMAT = click.option(
    "--format", "kind", type=OneOf(FORMATS), required=True, help="Whose: saelens or sparsify."
)


@click.command()
@FOLDER
@click.option(
    "--out", type=click.Path(path_type=Path), help="A folder: write a sample to review there."
)
@click.option(
    "--answers", type=click.Path(path_type=Path), help="Read a person's answers, and compare."
)
@click.option(
    "--corrected",
    type=click.Path(path_type=Path),
    help="With --answers: write the corrected labels here, as 'toprope features score' reads them.",
)
@DICTIONARY
@LABELLER
@click.option(
    "--most",
    type=click.IntRange(min=1),
    default=30,
    show_default=True,
    help="Labels in a sample, at most.",
)
@machine_options
def review(
    folder: Path,
    out: Path | None,
    answers: Path | None,
    corrected: Path | None,
    name: str | None,
    labeller: str | None,
    most: int,
    **machine: Any,
) -> None:
    """Have people check labels, blind to their scores.

    With --out, review.html and review.jsonl are written: answer in either. With --answers, the file
    that the page saved, or the JSONL filled in, is held against the scores.

    \b
    toprope features review my-features --out review
    toprope features review my-features --answers answers.json
    """
    if (out is None) == (answers is None):
        raise UserError("give --out FOLDER to write a sample, or --answers FILE to read one")
    if corrected is not None and answers is None:
        raise UserError("--corrected writes what answers correct: give --answers FILE as well")
    bench = opened(folder, **machine)
    name = chosen(bench, name)
    if out is not None:
        _write(bench, name, labeller, out, most)
    elif answers is not None:
        _compare(bench, name, labeller, answers, corrected)


def _write(bench: Workbench, name: str, labeller: str | None, out: Path, most: int) -> None:
    from toprope.techniques.interpretability.labels.job import labels_by
    from toprope.techniques.interpretability.labels.review import PAGE, write_sample

    labels = labels_by(bench, name, labeller).labels
    examples = bench.examples(name)
    of = {latent: examples.latent(latent) for latent in labels}
    drawn = write_sample(out, labels, of, most=most, rng=bench.lab.rng("review"))
    click.echo(f"{len(drawn)} labels to review: {out / PAGE}")


def _compare(
    bench: Workbench, name: str, labeller: str | None, path: Path, corrected: Path | None
) -> None:
    from toprope.techniques.interpretability.labels.review import VERDICTS, agreement, read_answers

    answers = read_answers(path)
    if not answers:
        raise UserError(f"no label in '{path}' has a verdict yet: write {', '.join(VERDICTS)}")
    labels = _answered(bench, name, labeller, path, answers)
    verdicts = {
        latent: one.interpretable
        for latent, one in labels.latents.items()
        if one.interpretable is not None
    }
    accepted = sum(answer.said == "accept" for answer in answers)
    click.echo(f"labels of {labels.labeller}: accepted as they are {accepted} of {len(answers)}")
    if corrected is not None:
        _write_corrections(answers, corrected)
    if not any(answer.latent in verdicts for answer in answers):
        click.echo("none of them was scored: there's nothing to compare with")
        return
    found = agreement(answers, verdicts, rng=bench.lab.rng("review"))
    click.echo(f"agrees with the score on {share(found.share)} of the {found.n} that are scored")
    if found.kappa is None:
        click.echo("kappa can't be told: one side always says the same")
    else:
        click.echo(f"kappa {number(found.kappa)}")


def _answered(
    bench: Workbench, name: str, labeller: str | None, path: Path, answers: Sequence[Answer]
) -> Annotations:
    """The labels that a person was shown: those of the first labeller who wrote them all.

    Raises:
        UserError: nobody has: they were written anew since, or are another dictionary's.
    """
    from toprope.techniques.interpretability.labels.job import labels_by, labels_there

    every = [labeller] if labeller else labels_there(bench, name) or [None]
    for one in every:
        labels = labels_by(bench, name, one)
        known = labels.labels
        if all(a.latent in known and a.label in ("", known[a.latent]) for a in answers):
            return labels
    raise UserError(
        f"{path} answers for other labels than '{name}' of {bench.folder} has: name the dictionary "
        "(--dictionary), or have the labels that are there now reviewed (--out)"
    )


def _write_corrections(answers: Sequence[Answer], path: Path) -> None:
    given = [a for a in answers if a.said == "correct" and a.correction]
    lines = [json.dumps({"latent": a.latent, "label": a.correction}) + "\n" for a in given]
    try:
        path.write_text("".join(lines), encoding="utf-8")
    except OSError as error:
        raise UserError(f"can't write the corrections to '{path}': {error.strerror}") from None
    click.echo(f"{len(given)} corrected labels: {path}")


@click.command()
@FOLDER
@click.argument("out", type=click.Path(path_type=Path))
@FORMAT
@DICTIONARY
def export(folder: Path, out: Path, kind: str, name: str | None) -> None:
    """Write a dictionary as SAELens or sparsify opens it.

    What is written to OUT reads the model's own activations: the standardisation goes into the
    weights. sparsify is EleutherAI's, and keeps TopK alone.

    \b
    toprope features export my-features out --format saelens
    """
    from toprope.techniques.interpretability.exchange.saelens import save_saelens
    from toprope.techniques.interpretability.exchange.sparsify import save_sparsify

    bench = opened(folder)
    dictionary = bench.dictionary(chosen(bench, name))
    where = out
    if kind == "saelens":
        save_saelens(dictionary, out)
    else:
        where = save_sparsify(dictionary, out)
    click.echo(f"{where}")


@click.command(name="import")
@click.argument("source", type=click.Path(path_type=Path))
@FOLDER
@FORMAT
@click.option("--as", "name", default="imported", show_default=True, help="Its name there.")
def import_(source: Path, folder: Path, kind: str, name: str) -> None:
    """Take another tool's dictionary into a folder of features.

    The folder must be of the same model and layer. The dictionary is then labelled, scored and
    shown as those made there: name it by --dictionary.

    \b
    toprope features import their-sae my-features --format saelens --as theirs
    toprope features label my-features --dictionary theirs
    """
    from toprope.techniques.interpretability.exchange.saelens import load_saelens
    from toprope.techniques.interpretability.exchange.sparsify import load_sparsify

    bench = opened(folder)
    read = bench.standardisation
    load = load_saelens if kind == "saelens" else load_sparsify
    bench.take(load(source, read), name)
    click.echo(f"{name}: {bench.folder / 'dictionaries' / name}")
