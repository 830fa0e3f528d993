"""`toprope climb LADDER.yaml`, and what every command that runs a study does with its ladder."""

import sys
from collections.abc import Sequence
from pathlib import Path
from textwrap import shorten
from typing import NoReturn, TypedDict

import click

from toprope.cli.options import run_options
from toprope.errors import UserError
from toprope.evidence import Evidence
from toprope.export import NOTE_LENGTH, export
from toprope.ladder.climb import climb as climb_ladder
from toprope.ladder.config import LadderConfig, load_ladder, make_ladder
from toprope.progress import Progress
from toprope.run import current_evidence


class RunOptions(TypedDict):
    """What `run_options` gives a command, but for --name and --seed, which go into the config."""

    runs: Path
    data_dir: Path | None
    device: str | None
    dtype: str | None
    quiet: bool


@click.command()
@click.argument("ladder", metavar="LADDER.yaml", type=click.Path(path_type=Path))
@run_options
def climb(
    ladder: Path,
    name: str | None,
    seed: int | None,
    runs: Path,
    data_dir: Path | None,
    device: str | None,
    dtype: str | None,
    quiet: bool,
) -> None:
    """Run the studies of a ladder, in order, and write a report of what they found.

    A ladder is a YAML file: rungs, each an overseer and a target, with the studies to make of them.
    examples/quickstart.yaml is one to start from. Results go to runs/NAME: the evidence, the
    configuration as resolved and report.html. A study that has finished isn't run again, so after
    an interruption the same command goes on where it stopped.

    --name and --seed go before what the ladder says.

    \b
    toprope climb examples/quickstart.yaml
    toprope climb my-ladder.yaml --seed 1 --name my-ladder-seed-1 --data-dir ~/datasets
    """
    config = load_ladder(ladder)
    changes = {"name": name, "seed": seed}
    given = {key: value for key, value in changes.items() if value is not None}
    if given:
        config = make_ladder(config.model_dump() | given, source=str(ladder))
    run(
        config,
        RunOptions(runs=runs, data_dir=data_dir, device=device, dtype=dtype, quiet=quiet),
    )


def run(config: LadderConfig, options: RunOptions) -> None:
    """Climbs a ladder and prints what was found, and where it is.

    Raises:
        UserError: as `toprope.ladder.climb`; or the run was stopped by Ctrl-C.
    """
    folder = options["runs"] / config.name
    try:
        report = climb_ladder(
            config,
            folder,
            progress=Progress(quiet=options["quiet"]),
            data_dir=options["data_dir"],
            device=options["device"],
            dtype=options["dtype"],
        )
    except KeyboardInterrupt:
        _stopped(folder)
    export(_findings(current_evidence(folder)), "table", sys.stdout)
    click.echo(f"all measurements: toprope evidence {folder}")
    click.echo(f"report: {report}")


def _findings(evidence: Sequence[Evidence]) -> list[Evidence]:
    """Results and controls, without diagnostics and with no notes but why a number is missing."""
    return [
        row.model_copy(update={"notes": "" if row.value is not None else _short(row.notes)})
        for row in evidence
        if row.role != "diagnostic"
    ]


def _short(text: str) -> str:
    return shorten(text, NOTE_LENGTH, placeholder=" ...")


def _stopped(folder: Path) -> NoReturn:
    if sys.stderr.isatty():
        click.echo(err=True)  # ends the line on which the terminal shows ^C
    raise UserError(
        f"stopped: {folder} keeps what has finished, and the same command goes on from there"
    ) from None
