"""What the commands of `toprope features` share: opening a folder, and choosing a dictionary and
labels of it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from toprope.cli.options import data_dir, device, dtype, quiet
from toprope.errors import UserError
from toprope.progress import Progress

if TYPE_CHECKING:
    from toprope.techniques.interpretability.labels.annotations import Annotation
    from toprope.techniques.interpretability.workbench import Workbench

FOLDER = click.argument("folder", type=click.Path(path_type=Path))
DICTIONARY = click.option(
    "--dictionary",
    "name",
    metavar="NAME",
    help="Which one: seed-0, consensus, ...  [default: the consensus if there's one, else seed-0]",
)
LABELLER = click.option(
    "--labeller",
    metavar="NAME",
    help="Whose labels: given, explainer or token-statistics.  [default: the first there is]",
)
MOST = click.option(
    "--most",
    type=click.IntRange(min=1),
    default=20,
    show_default=True,
    help="Latents to list, at most.",
)


def machine_options(command: Callable[..., Any]) -> Callable[..., Any]:
    for option in (quiet, dtype, device, data_dir):
        command = option(command)
    return command


def opened(folder: Path, **machine: Any) -> Workbench:
    from toprope.techniques.interpretability.workbench import Workbench

    return Workbench.open(folder, lab_of(folder, **machine))


def lab_of(folder: Path, *, seed: int = 0, quiet: bool = False, **machine: Any) -> Any:
    from toprope.lab import Lab

    if folder.exists() and not folder.is_dir():
        raise UserError(f"{folder} is a file: name a folder of features")
    return Lab(folder, seed=seed, progress=Progress(quiet=quiet), **machine)


def chosen(bench: Workbench, name: str | None) -> str:
    """The dictionary asked for, or the one taken where none is.

    Raises:
        UserError: it isn't there, or none is finished.
    """
    from toprope.techniques.interpretability.workbench import CONSENSUS

    if name is None:
        name = CONSENSUS if CONSENSUS in bench.names else "seed-0"
    bench.dictionary(name)
    return name


def title(bench: Workbench) -> str:
    return f"{bench.recipe.target}, layer {bench.layer}, on {bench.recipe.texts}"


def described(bench: Workbench, name: str) -> str:
    """A dictionary, in a line."""
    from toprope.techniques.interpretability.workbench import FROZEN, is_random

    what = ", control: its decoder stayed random" if name == FROZEN else ""
    if is_random(name):
        what = ", control: of the model with random weights"
    one = bench.dictionary(name)
    tokens = f", {one.origin.tokens:,} tokens" if one.origin and one.origin.tokens else ""
    kind = f"{one.settings.kind}, {one.width:,} latents"
    return f"{name:<10} {kind}{tokens}{what}"


def known_labels(bench: Workbench, name: str) -> dict[int, str]:
    """Every label that there is, to write beside a latent."""
    from toprope.techniques.interpretability.labels.job import every_label

    return {latent: one.label for latent, one in every_label(bench, name).items()}


def some_labels(bench: Workbench, name: str) -> dict[int, Annotation]:
    """
    Raises:
        UserError: nothing is labelled yet.
    """
    from toprope.techniques.interpretability.labels.job import every_label, labels_by

    labels_by(bench, name)
    return every_label(bench, name)


def made(form: type[Any], values: dict[str, Any]) -> Any:
    from pydantic import ValidationError

    from toprope.study import explained

    try:
        return form(**values)
    except ValidationError as error:
        raise explained(error, form, where="features") from None


def share(measure: Any) -> str:
    return f"{measure.value:.1%} ({measure.low:.1%} to {measure.high:.1%})"


def number(measure: Any) -> str:
    return f"{measure.value:.2f} ({measure.low:.2f} to {measure.high:.2f})"
