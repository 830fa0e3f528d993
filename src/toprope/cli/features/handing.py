"""Handing features on: `toprope features review | export | import | plan`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from toprope.cli.features.shared import (
    DICTIONARY,
    FOLDER,
    chosen,
    labels_of,
    machine_options,
    opened,
)
from toprope.cli.options import OneOf
from toprope.errors import UserError

FORMATS = ("saelens", "sparsify")
FORMAT = click.option(
    "--format", "kind", type=OneOf(FORMATS), required=True, help="Whose: saelens or sparsify."
)


@click.command()
@FOLDER
@click.option("--out", type=click.Path(path_type=Path), help="Write a sample to review here.")
@click.option(
    "--answers", type=click.Path(path_type=Path), help="Read a person's answers, and compare."
)
@DICTIONARY
@click.option("--most", type=click.IntRange(min=1), default=30, show_default=True)
@machine_options
def review(
    folder: Path,
    out: Path | None,
    answers: Path | None,
    name: str | None,
    most: int,
    **machine: Any,
) -> None:
    """Have people check labels, blind to their scores, and see how far they agree with these.

    With --out, review.html and review.jsonl are written: answer in either. With --answers, the file
    that the page saved, or the JSONL filled in, is held against the scores.

    \b
    toprope features review my-features --out review
    toprope features review my-features --answers answers.json
    """
    from toprope.techniques.interpretability.labels.review import (
        agreement,
        read_answers,
        write_sample,
    )

    if (out is None) == (answers is None):
        raise UserError("give --out FOLDER to write a sample, or --answers FILE to read one")
    bench = opened(folder, **machine)
    name = chosen(bench, name)
    labels = labels_of(bench, name)
    rng = bench.lab.rng("review")
    if out is not None:
        examples = bench.examples(name)
        of = {latent: examples.latent(latent) for latent in labels.labels}
        drawn = write_sample(out, labels.labels, of, most=most, rng=rng)
        click.echo(f"{len(drawn)} labels to review: {out / 'review.html'}")
        return
    assert answers is not None
    verdicts = {
        latent: one.interpretable
        for latent, one in labels.latents.items()
        if one.interpretable is not None
    }
    found = agreement(read_answers(answers), verdicts, rng=rng)
    share = found.share
    click.echo(f"accepted as they are: {found.accepted.value:.1%} of {found.n}")
    click.echo(f"agrees with the score on {share.value:.1%} ({share.low:.1%} to {share.high:.1%})")
    if found.kappa is None:
        click.echo("kappa can't be told: one side always says the same")
    else:
        kappa = found.kappa
        click.echo(f"kappa {kappa.value:.2f} ({kappa.low:.2f} to {kappa.high:.2f})")


@click.command()
@FOLDER
@click.argument("out", type=click.Path(path_type=Path))
@FORMAT
@DICTIONARY
def export(folder: Path, out: Path, kind: str, name: str | None) -> None:
    """Write a dictionary to OUT as SAELens or EleutherAI's sparsify opens it. It reads the model's
    own activations there: the standardisation goes into the weights.

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
@machine_options
def import_(source: Path, folder: Path, kind: str, name: str, **machine: Any) -> None:
    """Take another tool's dictionary into a folder of features of the same model and layer, to be
    labelled, scored and shown as those made there.

    \b
    toprope features import their-sae my-features --format saelens --as theirs
    """
    from toprope.techniques.interpretability.exchange.saelens import load_saelens
    from toprope.techniques.interpretability.exchange.sparsify import load_sparsify

    bench = opened(folder, **machine)
    read = bench.standardisation
    load = load_saelens if kind == "saelens" else load_sparsify
    bench.take(load(source, read), name)
    click.echo(f"{name}: {bench.folder / 'dictionaries' / name}")
