"""Making features: `toprope features train | label | score`."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from toprope.cli import fields
from toprope.cli.features.shared import (
    DICTIONARY,
    FOLDER,
    chosen,
    described,
    lab_of,
    machine_options,
    made,
    number,
    opened,
    share,
    title,
)
from toprope.techniques.interpretability.labels.settings import LabelSettings
from toprope.techniques.interpretability.recipe import Recipe

if TYPE_CHECKING:
    from toprope.techniques.interpretability.labels.job import Job
    from toprope.techniques.interpretability.making import Agreed
    from toprope.techniques.interpretability.workbench import Workbench

OF_MACHINE = ("data_dir", "device", "dtype", "quiet")


def _settings_command(
    form: type[Any], callback: Callable[..., None], *, without: tuple[str, ...] = ()
) -> click.Command:
    """A command named as the function, with an option for each of a model's fields."""
    params = [one for one in fields.options(form) if one.name not in without]
    return click.command(name=callback.__name__.lstrip("_"), params=list(params))(callback)


@FOLDER
@click.option("--seed", type=click.IntRange(min=0), default=0, help="Of all randomness.")
@click.option(
    "--captures",
    metavar="FOLDER",
    type=click.Path(path_type=Path, file_okay=False),
    help="Keep the activations here, where other folders of features find them too.",
)
@machine_options
@click.pass_context
def _train(
    ctx: click.Context, folder: Path, seed: int, captures: Path | None, **values: Any
) -> None:
    """Train dictionaries of a model's states on texts.

    Everything is kept in FOLDER. All seeds are trained in one pass. What a killed run has done is
    kept: the same command goes on. The states are captured once; they take about a byte a channel
    and token.

    \b
    toprope features train my-features --target smollm2-135m --texts mixed --width 4096
    toprope features train wider --target smollm2-135m --texts mixed --width 16384 --captures shared
    toprope features train my-features --target ./my-model --texts 'file:texts.txt' --layer 12
    """
    from toprope.techniques.interpretability.making import make_features, tidy
    from toprope.techniques.interpretability.workbench import CAPTURES, Workbench, about_of

    recipe = made(Recipe, fields.given(Recipe, ctx))
    lab = lab_of(folder, seed=seed, **{key: values[key] for key in OF_MACHINE})
    where = str(captures.resolve()) if captures else CAPTURES
    bench = Workbench.begin(folder, about_of(recipe, lab, where), lab)
    agreed = make_features(bench)[False]
    tidy(bench)
    click.echo(title(bench))
    for name in bench.names:
        click.echo(f"  {described(bench, name)}; {_fit(bench, name)}")
    if agreed:
        click.echo(_agreement(bench, agreed))


@FOLDER
@DICTIONARY
@machine_options
@click.pass_context
def _label(ctx: click.Context, folder: Path, name: str | None, **values: Any) -> None:
    """Label latents, and score the labels beside those of others.

    Without an overseer a label is the tokens that stand out, and a classifier trained on the other
    latents scores it. With one, it explains each latent too; ask it to judge as well by --scorers
    detection.

    \b
    toprope features label my-features
    toprope features label my-features --overseer qwen2.5-coder-0.5b --scorers detection,trained
    """
    from toprope.techniques.interpretability.labels.job import label as label_all

    settings = made(LabelSettings, fields.given(LabelSettings, ctx))
    bench = opened(folder, **{key: values[key] for key in OF_MACHINE})
    jobs = label_all(bench, chosen(bench, name), settings)
    for job in jobs:
        _print_job(bench, job)
    _print_definition(jobs)


@FOLDER
@click.argument("file", type=click.Path(path_type=Path))
@DICTIONARY
@machine_options
@click.pass_context
def _score(ctx: click.Context, folder: Path, file: Path, name: str | None, **values: Any) -> None:
    """Score labels of your own, or another tool's.

    FILE has a JSON line each, with "latent" and "label". They are scored as labels made here are,
    and shown before these.

    \b
    toprope features score my-features labels.jsonl --dictionary seed-0
    """
    from toprope.techniques.interpretability.labels.given import read_labels
    from toprope.techniques.interpretability.labels.job import score_given

    settings = made(LabelSettings, fields.given(LabelSettings, ctx))
    given = read_labels(file)
    bench = opened(folder, **{key: values[key] for key in OF_MACHINE})
    job = score_given(bench, chosen(bench, name), given, settings)
    _print_job(bench, job)
    _print_definition([job])


train = _settings_command(Recipe, _train)
label = _settings_command(LabelSettings, _label)
score = _settings_command(LabelSettings, _score, without=("latents", "steering"))


def _fit(bench: Workbench, name: str) -> str:
    from toprope.data.seeding import named_rng
    from toprope.techniques.interpretability.quality.density import density
    from toprope.techniques.interpretability.quality.reconstruction import reconstruction

    dictionary, rng = bench.dictionary(name), named_rng(bench.about.seed, "quality")
    total = len(bench.reads(name).held_out)
    fit = reconstruction(
        dictionary, bench.held_out(name), rng=rng, total=total, progress=bench.lab.show
    )
    dead = density(dictionary, bench.held_out(name), total=total, progress=bench.lab.show).dead
    return (
        f"FVU {fit.fvu.value:.3f} ({fit.fvu.low:.3f} to {fit.fvu.high:.3f}), "
        f"L0 {fit.l0.value:.1f}, dead {dead.value:.1%}"
    )


def _agreement(bench: Workbench, agreed: Agreed) -> str:
    overall = agreed.recurrence.overall
    found = (
        f"another seed has {share(overall)} of a seed's latents; of random dictionaries "
        f"{overall.control or 0:.1%}"
    )
    if agreed.consensus is None:
        return f"{found}; none recurs in {bench.recipe.recurs_in} seeds: there's no consensus"
    return f"{found}; the consensus has {agreed.consensus.dictionary.width:,} features"


def _print_job(bench: Workbench, job: Job) -> None:
    from toprope.data.seeding import named_rng
    from toprope.techniques.interpretability.labels.measures import summary

    labelled, rng = job.labelled, named_rng(bench.about.seed, "scores")
    told = ", ".join(f"{n} {what}" for what, n in labelled.outcomes.items())
    click.echo(f"{labelled.labeller}: {told or 'no labels'}")
    for scorer, scores in labelled.scores.items():
        if len(scores) < 2:
            continue
        own = summary(list(scores.values()), rng=rng).value
        line = f"  {scorer}: accuracy {number(own)}"
        if others := labelled.controls.get(scorer):
            control = summary(list(others.values()), rng=rng).value
            line += f", by another latent's label {number(control)}"
        click.echo(line)
    why = list(labelled.unscored.values())
    if why:
        counted = ", ".join(f"{why.count(one)} {one}" for one in dict.fromkeys(why))
        click.echo(f"  not scored: {counted}")
    if job.rate is None:
        click.echo("  none of them could be scored")
        return
    rate = job.rate
    click.echo(
        f"  interpretable: {share(rate.rate)} of {rate.rate.n}; by another latent's label "
        f"{rate.shuffled.value:.1%}"
    )


def _print_definition(jobs: list[Job]) -> None:
    texts = dict.fromkeys(job.rate.definition for job in jobs if job.rate)
    for text in texts:
        click.echo(text)
