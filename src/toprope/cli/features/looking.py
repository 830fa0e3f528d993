"""Looking into features: `toprope features info | search | show`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click

from toprope.cli.features.shared import (
    DICTIONARY,
    FOLDER,
    LABELLER,
    MOST,
    chosen,
    described,
    machine_options,
    opened,
    some_labels,
    title,
)
from toprope.errors import UserError
from toprope.report.text import clean


@click.command()
@FOLDER
def info(folder: Path) -> None:
    """Say what a folder of features holds.

    \b
    toprope features info my-features
    """
    from toprope.techniques.interpretability.labels.job import labels_by, labels_there

    bench = opened(folder, quiet=True)
    click.echo(title(bench))
    if not bench.names:
        click.echo("no dictionary is finished: give the command that makes them again")
    for name in bench.names:
        click.echo(f"  {described(bench, name)}")
        for labeller in labels_there(bench, name):
            known = labels_by(bench, name, labeller)
            verdicts = [one.interpretable for one in known.latents.values()]
            click.echo(
                f"    {labeller}: {len(known.labels)} labels, {verdicts.count(True)} of "
                f"{len(verdicts) - verdicts.count(None)} scored latents interpretable"
            )


@click.command()
@FOLDER
@click.argument("query")
@DICTIONARY
@MOST
@machine_options
def search(folder: Path, query: str, name: str | None, most: int, **machine: Any) -> None:
    """Find latents by their labels.

    First those that have the words as they stand, then those whose label means about the same, with
    the cosine of their sentence embeddings.

    \b
    toprope features search my-features "legal language"
    """
    from toprope.models.embedding import EMBEDDER
    from toprope.techniques.interpretability.use.search import search as find

    bench = opened(folder, **machine)
    known = some_labels(bench, chosen(bench, name))
    labels = {latent: one.label for latent, one in known.items()}
    hits = find(labels, query, embedder=bench.lab.local(EMBEDDER), most=most)
    for hit in hits:
        how = "words" if hit.contains else f"{hit.similarity:.2f}"
        verdict = {True: "interpretable", False: "not interpretable", None: "not scored"}
        click.echo(
            clean(
                f"{hit.latent:>6}  {how:>5}  {verdict[known[hit.latent].interpretable]:<17}  "
                f"{hit.label}"
            )
        )
    if not hits:
        click.echo(f"none of {len(labels)} labels is like that", err=True)


@click.command()
@FOLDER
@click.argument("latents", type=click.INT, nargs=-1)
@DICTIONARY
@LABELLER
@machine_options
def show(
    folder: Path,
    latents: Sequence[int],
    name: str | None,
    labeller: str | None,
    **machine: Any,
) -> None:
    """Write pages to look at in a browser.

    An index of a dictionary, and a page for each of LATENTS, by default for all that have a label:
    where it's active, how strongly, what it makes likelier, its label, scores and neighbours.

    \b
    toprope features show my-features
    toprope features show my-features 17 1023 --dictionary seed-0
    """
    from toprope.techniques.interpretability.labels.job import labels_by, labels_there
    from toprope.techniques.interpretability.pages.building import build

    bench = opened(folder, **machine)
    of = chosen(bench, name)
    labels = labels_by(bench, of, labeller) if labeller or labels_there(bench, of) else None
    if not latents and labels is None:
        raise UserError(
            f"no latent of '{of}' has a label: name the latents to show, or label some "
            f"('toprope features label {folder}')"
        )
    wanted = sorted(set(latents)) or sorted(labels.labels if labels else ())
    click.echo(f"{len(wanted)} pages: {build(bench, of, wanted, labels)}")
