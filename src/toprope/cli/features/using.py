"""Using features: `toprope features contrast | steer | attribute`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from toprope.cli.features.shared import (
    DICTIONARY,
    FOLDER,
    chosen,
    machine_options,
    opened,
)
from toprope.errors import UserError
from toprope.report.text import clean

if TYPE_CHECKING:
    from toprope.techniques.interpretability.workbench import Workbench

POOL = click.option(
    "--pool",
    type=click.Choice(["max", "mean", "last"]),
    default="max",
    show_default=True,
    help="A latent's activation over a text: the highest, the mean, or that on its last token.",
)


@click.command()
@FOLDER
@click.argument("files", type=click.Path(path_type=Path), nargs=-1, required=True)
@DICTIONARY
@POOL
@click.option("--most", type=click.IntRange(min=1), default=20, show_default=True)
@machine_options
def contrast(
    folder: Path, files: Sequence[Path], name: str | None, pool: str, most: int, **machine: Any
) -> None:
    """Find the latents that are more active on the texts of one file than on those of another.

    FILES are two texts files (a text a line, or JSON lines with "text"), or one file of red-team
    attempts (JSON lines with "prompt" or "messages", "response", and "success" or "score"): those
    that succeeded are held against those that failed. Latents are found on one half of the texts
    and measured on the other.

    \b
    toprope features contrast my-features refused.txt answered.txt
    toprope features contrast my-features attempts.jsonl
    """
    from toprope.techniques.interpretability.use.contrast import contrast as compare
    from toprope.techniques.interpretability.use.contrast import from_attempts
    from toprope.techniques.interpretability.use.reading import latents_of
    from toprope.techniques.interpretability.use.texts import read_texts

    if len(files) > 2:
        raise UserError(f"{len(files)} files: give two to compare, or one of red-team attempts")
    prefills: tuple[list[str], list[str]] = ([], [])
    if len(files) == 1:
        first, second = from_attempts(files[0])
        sets = [one for one, _ in first], [one for one, _ in second]
        prefills = [one for _, one in first], [one for _, one in second]
    else:
        sets = read_texts(files[0]), read_texts(files[1])
    bench = opened(folder, **machine)
    name = chosen(bench, name)
    read = [
        latents_of(
            bench.model_of(name),
            bench.dictionary(name),
            bench.layer,
            texts,
            pool=pool,  # type: ignore[arg-type]
            prefills=behind,
            most_tokens=bench.model.context,
            progress=bench.lab.show,
        )
        for texts, behind in zip(sets, prefills, strict=True)
    ]
    found = compare(read[0], read[1], rng=bench.lab.rng("contrast"))
    click.echo(
        f"{len(found.latents)} of {found.tested} active latents tell the sets apart "
        f"({found.found.value:.1%}; with the sets shuffled {found.found.control or 0:.1%})"
    )
    if found.held is not None:
        click.echo(f"held on the other half: {_share(found.held)}")
    labels = _known_labels(bench, name)
    for one in found.latents[:most]:
        area = one.auroc
        line = f"{one.latent:>6}  AUROC {area.value:.2f} ({area.low:.2f} to {area.high:.2f})"
        click.echo(clean(f"{line}  q {one.q:.2g}  {labels.get(one.latent, '')}"))


@click.command()
@FOLDER
@click.argument("latent", type=click.INT)
@click.option(
    "--prompt",
    "prompts",
    multiple=True,
    required=True,
    help="What the model reads while it's steered. Two or more: give the option again.",
)
@DICTIONARY
@machine_options
def steer(
    folder: Path, latent: int, prompts: Sequence[str], name: str | None, **machine: Any
) -> None:
    """Push the model along a latent's direction, and say what that does to its next words, beside
    random directions as long.

    \b
    toprope features steer my-features 1023 --prompt "The weather today is" --prompt "I think that"
    """
    from toprope.techniques.interpretability.use.steering import steering

    bench = opened(folder, **machine)
    name = chosen(bench, name)
    highest = bench.examples(name).latent(latent).highest
    if not highest:
        raise UserError(f"latent {latent} of '{name}' is never active: there's no strength for it")
    for one in steering(
        bench.model_of(name),
        bench.dictionary(name),
        bench.layer,
        latent,
        list(prompts),
        typical_maximum=highest,
        rng=bench.lab.rng("steering"),
        progress=bench.lab.show,
    ):
        promoted = ", ".join(repr(each.text) for each in one.promoted[:6])
        click.echo(
            clean(
                f"{one.multiple:+.2g} x: KL {one.kl.value:.3f} ({one.kl.low:.3f} to "
                f"{one.kl.high:.3f}), random {one.kl.control or 0:.3f}; more likely: {promoted}"
            )
        )


@click.command()
@FOLDER
@click.argument("prompt")
@click.argument("wanted")
@click.argument("other")
@DICTIONARY
@click.option("--top", type=click.IntRange(min=1), default=12, show_default=True)
@machine_options
def attribute(
    folder: Path, prompt: str, wanted: str, other: str, name: str | None, top: int, **machine: Any
) -> None:
    """Say which latents make the model go on from PROMPT with WANTED rather than OTHER.

    \b
    toprope features attribute my-features "The capital of France is" " Paris" " London"
    """
    from toprope.techniques.interpretability.use.attribution import attribute as attributed

    bench = opened(folder, **machine)
    name = chosen(bench, name)
    found = attributed(
        bench.model_of(name), bench.dictionary(name), bench.layer, prompt, wanted, other, top=top
    )
    click.echo(
        f"logit difference {found.output:+.3f}; by latents {found.latents:+.3f}, by what the "
        f"dictionary leaves out {found.error:+.3f}"
    )
    if found.correlation is not None:
        r = found.correlation
        click.echo(
            f"attribution and ablation agree: r {r.value:.2f} ({r.low:.2f} to {r.high:.2f}); by "
            f"activation alone {r.control or 0:.2f}"
        )
    labels = _known_labels(bench, name)
    for one in found.parts:
        line = f"{one.latent:>6}  {one.attribution:+.3f}  ablated {one.ablation:+.3f}"
        click.echo(clean(f"{line}  {labels.get(one.latent, '')}"))


def _known_labels(bench: Workbench, name: str) -> dict[int, str]:
    from toprope.techniques.interpretability.labels.job import best_labels, labels_there

    return best_labels(bench, name).labels if labels_there(bench, name) else {}


def _share(measure: Any) -> str:
    return f"{measure.value:.1%} ({measure.low:.1%} to {measure.high:.1%})"
