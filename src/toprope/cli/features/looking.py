"""Looking into features: `toprope features search | show`."""

from __future__ import annotations

from collections.abc import Sequence
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
from toprope.errors import UserError
from toprope.report.text import clean


@click.command()
@FOLDER
@click.argument("query")
@DICTIONARY
@click.option("--most", type=click.IntRange(min=1), default=20, show_default=True)
@machine_options
def search(folder: Path, query: str, name: str | None, most: int, **machine: Any) -> None:
    """Find latents by their labels: the words as they stand first, then what means about the same.

    \b
    toprope features search my-features "legal language"
    """
    from toprope.models.embedding import EMBEDDER
    from toprope.techniques.interpretability.use.search import search as find

    bench = opened(folder, **machine)
    labels = labels_of(bench, chosen(bench, name))
    for hit in find(labels.labels, query, embedder=bench.lab.local(EMBEDDER), most=most):
        known = labels.latents[hit.latent]
        how = "words" if hit.contains else f"{hit.similarity:.2f}"
        verdict = {True: "interpretable", False: "not interpretable", None: "not scored"}
        click.echo(
            clean(f"{hit.latent:>6}  {how:>5}  {verdict[known.interpretable]:<17}  {hit.label}")
        )


@click.command()
@FOLDER
@click.argument("latents", type=click.INT, nargs=-1)
@DICTIONARY
@machine_options
def show(folder: Path, latents: Sequence[int], name: str | None, **machine: Any) -> None:
    """Write pages to look at: an index of a dictionary, and a page for each of LATENTS, by default
    for all that have a label.

    \b
    toprope features show my-features
    toprope features show my-features 17 1023 --dictionary seed-0
    """
    from toprope.techniques.interpretability.labels.job import best_labels, labels_there
    from toprope.techniques.interpretability.pages.building import build

    bench = opened(folder, **machine)
    of = chosen(bench, name)
    labels = best_labels(bench, of) if labels_there(bench, of) else None
    if not latents and labels is None:
        raise UserError(
            f"no latent of '{of}' has a label: name the latents to show, or label some "
            f"('toprope features label {folder}')"
        )
    wanted = sorted(set(latents)) or sorted(labels.labels if labels else ())
    click.echo(f"{len(wanted)} pages: {build(bench, of, wanted, labels)}")
