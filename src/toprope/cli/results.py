"""`toprope evidence RUN` and `toprope report RUN`: what a run found, read from its folder."""

import sys
from pathlib import Path

import click

from toprope.cli.options import OneOf
from toprope.errors import UserError, unknown
from toprope.evidence import Evidence, EvidenceStore
from toprope.export import FORMATS, export
from toprope.report.build import build_report
from toprope.run import EVIDENCE, current_evidence

RUNS = Path("runs")


@click.command()
@click.argument("run", type=click.Path(path_type=Path))
@click.option(
    "--format",
    "format_",
    type=OneOf(list(FORMATS)),
    default="table",
    show_default=True,
    help="How; csv and parquet are flat, with a column for each control.",
)
@click.option(
    "--output", type=click.Path(path_type=Path), help="A file to write, instead of printing."
)
@click.option(
    "--all",
    "everything",
    is_flag=True,
    help="Also what other configurations, or older code, left in the folder.",
)
def evidence(run: Path, format_: str, output: Path | None, everything: bool) -> None:
    """Print or export what a run has measured: every number with its interval, controls and cost.

    RUN is the run's folder. It may be read while the run goes on. By default it's the evidence of
    the configuration that the folder holds now, which is what its report shows.

    \b
    toprope evidence runs/quickstart
    toprope evidence runs/quickstart --format parquet --output quickstart.parquet
    """
    folder = _run_folder(run)
    rows = _all_evidence(folder) if everything else current_evidence(folder)
    if output is None:
        export(rows, format_, sys.stdout)
        return
    try:
        # Without newline translation, so that a CSV is the same on every system.
        with output.open("w", encoding="utf-8", newline="") as stream:
            export(rows, format_, stream)
    except OSError as error:
        raise UserError(f"can't write {output}: {error.strerror}") from error
    click.echo(f"{len(rows):,} rows in {output}", err=True)


@click.command()
@click.argument("run", type=click.Path(path_type=Path))
def report(run: Path) -> None:
    """Write a run's report again, from the evidence in its folder, and print its path.

    RUN is the run's folder. The report shows what has finished, also while the run goes on.

    \b
    toprope report runs/quickstart
    """
    click.echo(build_report(_run_folder(run)))


def _all_evidence(folder: Path) -> list[Evidence]:
    with EvidenceStore(folder / EVIDENCE) as store:
        return store.all()


def _run_folder(run: Path) -> Path:
    """The folder, which must be there; a mistyped one is answered with the nearest."""
    if run.is_dir():
        return run
    beside = {path.parent for path in run.parent.glob(f"*/{EVIDENCE}")}
    known = beside | {path.parent for path in RUNS.glob(f"*/{EVIDENCE}")}
    if known:
        raise unknown("run", str(run), map(str, known))
    raise UserError(f"there is no run folder '{run}': 'toprope climb' makes one below {RUNS}/")
