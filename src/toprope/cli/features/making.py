"""Making features: `toprope features train | label | score | info`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from toprope.cli import fields
from toprope.cli.features.shared import (
    DICTIONARY,
    FOLDER,
    chosen,
    lab_of,
    machine_options,
    made,
    opened,
)
from toprope.techniques.interpretability.labels.settings import LabelSettings
from toprope.techniques.interpretability.recipe import Recipe

if TYPE_CHECKING:
    from toprope.techniques.interpretability.labels.job import Job
    from toprope.techniques.interpretability.workbench import Workbench


def _train_command() -> click.Command:
    @click.pass_context
    def train(ctx: click.Context, folder: Path, seed: int, **values: Any) -> None:
        from toprope.techniques.interpretability.workbench import Workbench

        machine = {key: values[key] for key in ("data_dir", "device", "dtype", "quiet")}
        recipe = made(Recipe, fields.given(Recipe, ctx))
        lab = lab_of(folder, seed=seed, **machine)
        bench = Workbench.begin(folder, recipe, lab)
        bench.train()
        bench.agree()
        bench.tidy()
        print_quality(bench)

    command = click.command(
        name="train",
        params=list(fields.options(Recipe)),
        help="""Read a model's states on texts, and train dictionaries of them in FOLDER.

        All seeds are trained in one pass. What a killed run has done is kept: the same command goes
        on. The states are captured once; they take about a byte a channel and token.

        \b
        toprope features train my-features --target smollm2-135m --texts mixed --width 4096
        """,
    )
    seed = click.option("--seed", type=click.IntRange(min=0), default=0, help="Of all randomness.")
    return command(FOLDER(seed(machine_options(train))))


train = _train_command()


def _label_command() -> click.Command:
    @click.pass_context
    def label(ctx: click.Context, folder: Path, name: str | None, **values: Any) -> None:
        from toprope.techniques.interpretability.labels.job import label as label_all

        machine = {key: values[key] for key in ("data_dir", "device", "dtype", "quiet")}
        settings = made(LabelSettings, fields.given(LabelSettings, ctx))
        settings.check()
        bench = opened(folder, **machine)
        for job in label_all(bench, chosen(bench, name), settings):
            print_job(job)

    command = click.command(
        name="label",
        params=list(fields.options(LabelSettings)),
        help="""Label latents, and score the labels beside those of other latents.

        Without an overseer a label is the tokens that stand out, and a classifier trained on the
        other latents scores it. With one, it explains each latent too; ask it to judge as well by
        --scorers detection.

        \b
        toprope features label my-features
        toprope features label my-features --overseer qwen2.5-coder-0.5b --scorers detection,trained
        """,
    )
    return command(FOLDER(DICTIONARY(machine_options(label))))


label = _label_command()


@click.command()
@FOLDER
@click.argument("file", type=click.Path(path_type=Path))
@DICTIONARY
@click.option("--overseer", default="none", help="The model that judges; none: no such.")
@click.option(
    "--scorers",
    "scorers",
    type=fields.Listed(click.STRING),
    default="trained,embedding",
    show_default=True,
    help="What scores labels; the first one decides what is interpretable.",
)
@machine_options
def score(
    folder: Path,
    file: Path,
    name: str | None,
    overseer: str,
    scorers: list[str],
    **machine: Any,
) -> None:
    """Score labels of your own, or another tool's: FILE has a JSON line each, with "latent" and
    "label".

    \b
    toprope features score my-features labels.jsonl --dictionary seed-0
    """
    from toprope.techniques.interpretability.labels.given import read_labels
    from toprope.techniques.interpretability.labels.job import score_given

    settings = made(LabelSettings, {"overseer": overseer, "scorers": scorers})
    settings.check()
    given = read_labels(file)
    bench = opened(folder, **machine)
    print_job(score_given(bench, chosen(bench, name), given, settings))


@click.command()
@FOLDER
def info(folder: Path) -> None:
    """Say what a folder of features holds.

    \b
    toprope features info my-features
    """
    print_quality(opened(folder, quiet=True), measured=False)


def print_quality(bench: Workbench, *, measured: bool = True) -> None:
    recipe = bench.recipe
    click.echo(f"{recipe.target}, layer {bench.layer}, on {recipe.texts}")
    for name in bench.names:
        one = bench.dictionary(name)
        tokens = one.origin.tokens if one.origin else 0
        line = f"  {name:<10} {one.settings.kind}, {one.width:,} latents, {tokens:,} tokens"
        if measured:
            line += _fit(bench, name)
        click.echo(line)


def _fit(bench: Workbench, name: str) -> str:
    from toprope.data.seeding import named_rng
    from toprope.techniques.interpretability.quality.density import density
    from toprope.techniques.interpretability.quality.reconstruction import reconstruction

    dictionary, rng = bench.dictionary(name), named_rng(bench.about.seed, "quality")
    fit = reconstruction(dictionary, bench.held_out(name), rng=rng, progress=bench.lab.show)
    dead = density(dictionary, bench.held_out(name), progress=bench.lab.show).dead
    return (
        f"; FVU {fit.fvu.value:.3f} ({fit.fvu.low:.3f} to {fit.fvu.high:.3f}), "
        f"L0 {fit.l0.value:.1f}, dead {dead.value:.1%}"
    )


def print_job(job: Job) -> None:
    labelled = job.labelled
    told = ", ".join(f"{n} {what}" for what, n in labelled.outcomes.items())
    click.echo(f"{labelled.labeller}: {told or 'no labels'}")
    if job.rate is None:
        click.echo("  none could be scored")
        return
    rate = job.rate
    click.echo(
        f"  interpretable: {rate.rate.value:.1%} ({rate.rate.low:.1%} to {rate.rate.high:.1%}) of "
        f"{rate.scored}; {rate.definition}"
    )
