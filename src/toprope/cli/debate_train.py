"""`toprope debate train-judge`: a judge that learns from transcripts with known answers."""

import tempfile
from collections.abc import Sequence
from pathlib import Path

import click

from toprope.cli.options import OneOf
from toprope.cli.options import device as device_option
from toprope.cli.options import dtype as dtype_option
from toprope.cli.options import quiet as quiet_option
from toprope.errors import UserError
from toprope.lab import Lab
from toprope.progress import Progress
from toprope.techniques.debate import kept
from toprope.techniques.debate.trained.about import Expected, Figures


@click.command(name="train-judge")
@click.argument("places", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option("--model", required=True, help="The judge: a local model, whose states are read.")
@click.option(
    "--protocol",
    "names",
    multiple=True,
    help="Of a run: games of this protocol only. May be given several times.",
)
@click.option(
    "--kind",
    type=OneOf(["head", "lora"]),
    default="head",
    show_default=True,
    help="head: a linear head on the model's states; lora: the model is fine-tuned.",
)
@click.option("--to", type=click.Path(path_type=Path), help="Keep the judge in this new folder.")
@click.option("--seed", type=click.IntRange(min=0), default=0, help="Of what is left out.")
@device_option
@dtype_option
@quiet_option
def train_judge(
    places: Sequence[Path],
    model: str,
    names: Sequence[str],
    kind: str,
    to: Path | None,
    seed: int,
    device: str | None,
    dtype: str | None,
    quiet: bool,
) -> None:
    """Train a judge on transcripts whose answers are known, and say how well it judges.

    PLACES are folders of runs, or files of transcripts. Each question is judged by one that learned
    from the others: on what was said, on the question alone, and after it was told a wrong truth.
    What the first gains over the second, the words carry.

    \b
    toprope debate train-judge runs/my-run --protocol debate --model smollm2-135m --to my-judge
    """
    from toprope.techniques.debate.trained.fitting import fit_judge
    from toprope.techniques.debate.trained.keeping import save_judge

    if to is not None and to.exists() and any(to.iterdir() if to.is_dir() else [to]):
        raise UserError(f"--to {to}: there is something already: name a new folder")
    paths = [path for place in places for path in kept.files(place, names)]
    transcripts = [one for path in paths for one in kept.load(path)]
    shown = Progress(quiet=quiet)
    with tempfile.TemporaryDirectory(prefix="toprope-") as folder:
        lab = Lab(Path(folder), device=device, dtype=dtype, progress=shown)
        judge = fit_judge(
            lab.local(model),
            transcripts,
            kind="lora" if kind == "lora" else "head",
            seed=seed,
            progress=shown,
        )
    if to is not None:
        save_judge(judge, to)
    about = judge.about
    left_out = f", {about.left_out} of no use" if about.left_out else ""
    click.echo(
        f"{about.transcripts} transcripts of {about.questions} questions "
        f"({', '.join(about.protocols)}){left_out}"
    )
    for line in _table(about.expected):
        click.echo(line)
    if to is not None:
        click.echo(f"the judge is in {to}")


def _table(expected: Expected) -> list[str]:
    rows: list[tuple[str, Figures]] = [
        ("what was said", expected.words),
        ("the question alone", expected.blind),
        ("told a wrong truth", expected.shuffled),
    ]
    head = f"{'learned from':<20} {'accuracy':<22} log score"
    return [
        head,
        *(f"{name:<20} {one.accuracy!s:<22} {one.log_score}" for name, one in rows),
        f"{'words gain':<20} {expected.gain}",
        f"{'chance':<20} {expected.chance:.3f}",
    ]
