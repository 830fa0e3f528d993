"""`toprope guard train | test | loop | show`: guards for a model."""

import tempfile
from collections.abc import Sequence
from pathlib import Path

import click

from toprope.cli.group import Group
from toprope.cli.options import OneOf
from toprope.cli.options import device as device_option
from toprope.cli.options import dtype as dtype_option
from toprope.cli.options import quiet as quiet_option
from toprope.cli.study import study_command
from toprope.errors import UserError
from toprope.lab import Lab
from toprope.progress import Progress
from toprope.techniques.safeguards.constitution import load_constitution
from toprope.techniques.safeguards.exchanges import of as exchanges_of
from toprope.techniques.safeguards.exchanges import unique
from toprope.techniques.safeguards.guard import Guard, load_guard
from toprope.techniques.safeguards.trainer import Trainer
from toprope.techniques.safeguards.training import NEEDS, check_enough


@click.group(cls=Group)
def guard() -> None:
    """Make a guard for a model, attack it, and look into it.

    A guard is one classifier, or two in a row, that watch an exchange and stop it at the token.
    'loop' does everything: it collects what the target answers, trains, attacks, trains again, and
    measures the guard on attacks, requests and harmless prompts that it never saw.

    \b
    toprope guard loop --target qwen2.5-coder-0.5b
    toprope guard test my-guard --target qwen2.5-coder-0.5b
    toprope serve guard --guard my-guard --upstream http://127.0.0.1:8000/v1
    """


TRAINING = {
    *("overseer", "constitution", "each", "behaviours", "harmless", "limit", "attacks", "families"),
    *("depths", "external", "budget", "escalation", "rounds", "round_queries", "share"),
}
"""Settings of the study that decide how a guard is made."""


def _test_command() -> click.Command:
    """The study, of a guard that there is: without the settings of its making."""
    command = study_command("safeguards", called="guard test")
    command.help = """Attack a trained guard, kept in FOLDER, and measure it.

    Attacks, requests and harmless prompts must be others than it was trained on: name them.

    \b
    toprope guard test my-guard --target qwen2.5-coder-0.5b --test jbb --unseen xstest_safe
    """
    kept = [one for one in command.params if one.name not in TRAINING | {"trained"}]
    command.params = [click.Argument(["trained"], metavar="FOLDER"), *kept]
    return command


guard.add_command(study_command("safeguards", called="guard loop"))
guard.add_command(_test_command())


@guard.command()
@click.argument("folder", type=click.Path(path_type=Path))
@click.option("--target", required=True, help="The model to guard: the exchanges are its own.")
@click.option(
    "--on",
    "sources",
    multiple=True,
    required=True,
    metavar="PATH",
    help="What to learn from: an exchanges.jsonl, or the folder of a red-teaming run. May be given "
    "several times.",
)
@click.option(
    "--kind",
    type=OneOf(tuple(NEEDS)),
    default="probe",
    show_default=True,
    help="One classifier, or two in a row: cascade (probe, then external), outside (tokens, then "
    "external).",
)
@click.option(
    "--external",
    default="",
    help="A local model that reads the exchange from outside: one that is tuned for chat, or a "
    "sentence encoder (minilm-l6).",
)
@click.option(
    "--budget",
    type=click.FloatRange(0, 1, min_open=True),
    help="The share of harmless exchanges that it may stop; none: 0.1%, or the least that they can "
    "show.",
)
@click.option("--seed", type=click.IntRange(min=0), default=0, help="Of the training.")
@device_option
@dtype_option
@quiet_option
def train(
    folder: Path,
    target: str,
    sources: Sequence[str],
    kind: str,
    external: str,
    budget: float | None,
    seed: int,
    device: str | None,
    dtype: str | None,
    quiet: bool,
) -> None:
    """Train a guard on exchanges that there are, and write it to FOLDER.

    Harmless exchanges must be among them: thresholds are set on those. 'toprope guard loop' leaves
    both kinds in its artifacts.

    \b
    toprope guard train my-guard --target qwen2.5-coder-0.5b --on exchanges.jsonl
    """
    from toprope.techniques.safeguards.study import Safeguards

    if folder.exists() and not folder.is_dir():
        raise UserError(f"{folder} is a file: name a folder for the guard")
    exchanges = unique(one for source in sources for one in exchanges_of(Path(source)))
    study = Safeguards(target=target, external=external, guard=kind, budget=budget)  # type: ignore[arg-type]
    study.check()
    two_stages = len(NEEDS[kind]) > 1
    check_enough(0, exchanges, budget, study.escalation if two_stages else None)
    with tempfile.TemporaryDirectory() as work:
        show = Progress(quiet=quiet)
        lab = Lab(Path(work), seed=seed, device=device, dtype=dtype, progress=show)
        study.check_models(lab)
        readers = {n: one for n, one in study.readers(lab).items() if n in NEEDS[kind]}
        made = Trainer(lab, target, readers, budget).train(exchanges)[kind]
    made.save(folder)
    _print(made)
    click.echo(f"kept in {folder}")


@guard.command()
@click.argument("folder", type=click.Path(path_type=Path))
def show(folder: Path) -> None:
    """Say what a guard reads, where it stops, and what it was trained on.

    \b
    toprope guard show my-guard
    """
    _print(load_guard(folder))


@guard.command()
@click.argument("file", type=click.Path(path_type=Path), required=False)
def constitution(file: Path | None) -> None:
    """Check a constitution's YAML FILE, or print the built-in one's categories.

    \b
    toprope guard constitution my-constitution.yaml
    """
    found = load_constitution(file) if file else load_constitution()
    for side, categories in (("harmful", found.harmful), ("harmless", found.harmless)):
        for name, one in categories.items():
            near = f" (near {one.near})" if one.near else ""
            click.echo(f"{side:<9} {name}{near}: {one.about}")


def _print(guard: Guard) -> None:
    about = guard.about
    click.echo(f"for {about.target}, budget {about.budget:.2%}, trained on {about.trained_on[:16]}")
    for stage in about.stages:
        layers = ", ".join(map(str, stage.layers))
        click.echo(
            f"  {stage.name}: {stage.model}, layers {layers}, reads the {stage.sees}, "
            f"threshold {stage.threshold:.4f}"
        )
