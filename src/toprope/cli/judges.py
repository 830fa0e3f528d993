"""`toprope judges list | calibrate | train`: who says that an attack succeeded, and how well."""

import tempfile
from collections.abc import Sequence
from pathlib import Path

import click
import numpy as np

from toprope.cli.group import Group
from toprope.cli.options import data_dir as data_dir_option
from toprope.cli.options import device as device_option
from toprope.cli.options import dtype as dtype_option
from toprope.data.examples import Dataset
from toprope.data.sources import load
from toprope.errors import UserError
from toprope.lab import Lab
from toprope.progress import Progress
from toprope.techniques.redteam.judges import KINDS, make_judge
from toprope.techniques.redteam.judges.calibration import (
    Agreement,
    Calibration,
    about_of,
    calibrate,
    keep,
    known,
)


@click.group(cls=Group)
def judges() -> None:
    """Check who says that an attack succeeded against people who judged the same answers.

    Red-teaming prints no rate of a judge that hasn't been checked, and takes out of the rates the
    errors that the check has found. The judges refusal and trained come with theirs.

    \b
    toprope judges list
    toprope judges calibrate rubric:openai/gpt-4o --on pyrit_objective
    toprope judges train my-judge --model qwen2.5-coder-0.5b --on pyrit_objective
    """


@judges.command(name="list")
def list_judges() -> None:
    """List the judges that have been checked, and how well they agree with people.

    \b
    toprope judges list
    """
    click.echo(f"judges: {', '.join(KINDS)}")
    for calibration in known():
        click.echo(f"\n{calibration.judge} (version {calibration.version})")
        _print(calibration.sets)


@judges.command(name="calibrate")
@click.argument("judge")
@click.option(
    "--on",
    "sets",
    multiple=True,
    required=True,
    metavar="SET",
    help="Judged answers: a name or YAML file as in examples/judged. May be given several times.",
)
@click.option("--limit", type=click.IntRange(min=20), help="At most so many answers of each set.")
@data_dir_option
@device_option
@dtype_option
def calibrate_judge(
    judge: str,
    sets: Sequence[str],
    limit: int | None,
    data_dir: Path | None,
    device: str | None,
    dtype: str | None,
) -> None:
    """Hold a JUDGE against people: sensitivity, specificity, balanced accuracy and kappa.

    What it finds is kept for this version of the judge, and is what red-teaming takes out of its
    rates. Answers without a verdict count as wrong. For a judge of harm the sets are labelled
    unharmful, harmful; for refusals: complied, refused.

    \b
    toprope judges calibrate refusal --on xstest_refusals --data-dir DATA
    """
    data = [_judged(name, data_dir, limit) for name in sets]
    with tempfile.TemporaryDirectory() as folder:
        lab = Lab(Path(folder), device=device, dtype=dtype, progress=Progress())
        found = make_judge(judge, lab)
        _check_not_trained_on(found, data)
        rng = np.random.default_rng(0)
        agreements = tuple(calibrate(found, one, rng=rng, progress=lab.show) for one in data)
    _print(agreements)
    click.echo(f"kept in {keep(Calibration(judge, found.version, agreements))}")


@judges.command()
@click.argument("folder", type=click.Path(path_type=Path))
@click.option("--model", required=True, help="A local model, whose activations the judge reads.")
@click.option(
    "--on",
    "sets",
    multiple=True,
    required=True,
    metavar="SET",
    help="Answers judged for harm, to learn from. May be given several times.",
)
@data_dir_option
@device_option
@dtype_option
def train(
    folder: Path,
    model: str,
    sets: Sequence[str],
    data_dir: Path | None,
    device: str | None,
    dtype: str | None,
) -> None:
    """Train a judge on answers that people have judged, and write it to FOLDER.

    Calibrate it on other sets than it learned from, then red-team with --judge trained:FOLDER.

    \b
    toprope judges train my-judge --model qwen2.5-coder-0.5b --on pyrit_objective
    """
    from toprope.techniques.redteam.judges import trained

    if folder.exists() and not folder.is_dir():
        raise UserError(f"{folder} is a file: name a folder for the judge")
    data = [_judged(name, data_dir, None) for name in sets]
    for one in data:
        if about_of(one) != "harm":
            raise UserError(f"dataset '{one.name}' is about refusals: a judge learns from harm")
    with tempfile.TemporaryDirectory() as work:
        lab = Lab(Path(work), device=device, dtype=dtype, progress=Progress())
        judge = trained.train(str(folder), lab.local(model), data, progress=lab.show)
    judge.save(folder)
    click.echo(f"layer {judge.layer} of {model}, {judge.about['answers']:,} answers: {folder}")
    click.echo(f"next: toprope judges calibrate trained:{folder} --on ANOTHER-SET")


def _judged(name: str, data_dir: Path | None, limit: int | None) -> Dataset:
    """A set of judged answers, by a name in examples/judged too."""
    beside = Path("examples/judged") / f"{name}.yaml"
    return load(str(beside) if beside.is_file() else name, data_dir=data_dir, limit=limit)


def _check_not_trained_on(judge: object, data: Sequence[Dataset]) -> None:
    for one in data:
        if one.name in getattr(judge, "about", {}).get("trained_on", {}):
            raise UserError(f"the judge was trained on '{one.name}': calibrate it on another set")


def _print(sets: Sequence[Agreement]) -> None:
    for one in sets:
        click.echo(
            f"{one.data} ({one.about}): {one.positives} of {one.positives + one.negatives} "
            f"positive, {one.without_verdict} without a verdict"
        )
        for name in ("sensitivity", "specificity", "balanced_accuracy", "kappa"):
            click.echo(f"  {name.replace('_', ' '):<18} {getattr(one, name)}")
