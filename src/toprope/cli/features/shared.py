"""What the commands of `toprope features` share: opening a folder, and choosing a dictionary."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from toprope.cli.options import data_dir, device, dtype, quiet
from toprope.errors import UserError
from toprope.progress import Progress

if TYPE_CHECKING:
    from toprope.techniques.interpretability.labels.annotations import Annotations
    from toprope.techniques.interpretability.workbench import Workbench

FOLDER = click.argument("folder", type=click.Path(path_type=Path))
DICTIONARY = click.option(
    "--dictionary",
    "name",
    metavar="NAME",
    help="Which one: seed-0, consensus, ...  [default: the consensus if there's one]",
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
    from toprope.techniques.interpretability.workbench import CONSENSUS

    if name is None:
        return CONSENSUS if CONSENSUS in bench.names else "seed-0"
    bench.dictionary(name)
    return name


def labels_of(bench: Workbench, name: str) -> Annotations:

    from toprope.techniques.interpretability.labels.job import best_labels

    return best_labels(bench, name)


def made(form: type[Any], values: dict[str, Any]) -> Any:
    from pydantic import ValidationError

    from toprope.study import explained

    try:
        return form(**values)
    except ValidationError as error:
        raise explained(error, form, where="features") from None
