"""Using features: `toprope features contrast | steer | attribute`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click

from toprope.cli.features.shared import (
    DICTIONARY,
    FOLDER,
    MOST,
    chosen,
    known_labels,
    machine_options,
    number,
    opened,
    share,
)
from toprope.errors import UserError
from toprope.report.text import clean

POOL = click.option(
    "--pool",
    type=click.Choice(["max", "mean", "last"]),
    default="mean",
    show_default=True,
    help="A latent's activation over a text: the highest, the mean, or that on its last token.",
)
EQUAL_LENGTHS = click.option(
    "--equal-lengths",
    is_flag=True,
    help="Cut the texts so that both sets have the same lengths: longer ones are more active.",
)


@click.command()
@FOLDER
@click.argument("files", type=click.Path(path_type=Path), nargs=-1, required=True)
@DICTIONARY
@POOL
@EQUAL_LENGTHS
@MOST
@machine_options
def contrast(
    folder: Path,
    files: Sequence[Path],
    name: str | None,
    pool: str,
    equal_lengths: bool,
    most: int,
    **machine: Any,
) -> None:
    """Find the latents that tell two sets of texts apart.

    FILES are two files of texts (a text a line, or JSON lines with "text"), or one file of red-team
    attempts (JSON lines with "prompt" or "messages", "response", and "success" or "score"): those
    that succeeded are held against those that failed. Latents are found on one half of the texts
    and measured on the other: an AUROC over 0.5 is of a latent that is more active on the first.

    \b
    toprope features contrast my-features refused.txt answered.txt
    toprope features contrast my-features runs/my-run/artifacts/redteam/.../attempts.jsonl
    """
    from toprope.techniques.interpretability.use.contrast import check_enough, from_attempts
    from toprope.techniques.interpretability.use.contrast import contrast as compare
    from toprope.techniques.interpretability.use.reading import latents_of, lengths_of, matched
    from toprope.techniques.interpretability.use.texts import read_texts

    if len(files) > 2:
        raise UserError(f"{len(files)} files: give two to compare, or one of red-team attempts")
    attempts = from_attempts(files[0]) if len(files) == 1 else None
    if attempts:
        groups = [one.group for one in attempts[0]], [one.group for one in attempts[1]]
        check_enough(len(set(groups[0])), len(set(groups[1])))
        sets: list[tuple[list[Any], list[str]]] = [
            ([one.messages for one in some], [one.response for one in some]) for some in attempts
        ]
    else:
        groups = None
        sets = [(read_texts(path), []) for path in files]
        check_enough(len(sets[0][0]), len(sets[1][0]))
    bench = opened(folder, **machine)
    name = chosen(bench, name)
    model = bench.model_of(name)
    first, second = (
        lengths_of(model, texts, prefills=behind, most_tokens=model.context)
        for texts, behind in sets
    )
    lengths = matched(first, second) if equal_lengths else (first, second)
    read = [
        latents_of(
            model,
            bench.dictionary(name),
            bench.layer,
            texts,
            pool=pool,  # type: ignore[arg-type]
            prefills=behind,
            most_tokens=cut,
            progress=bench.lab.show,
        )
        for (texts, behind), cut in zip(sets, lengths, strict=True)
    ]
    found = compare(
        read[0],
        read[1],
        rng=bench.lab.rng("contrast"),
        groups=groups,
        lengths=lengths,
        pool=pool,  # type: ignore[arg-type]
    )
    if found.warning:
        click.echo(f"{found.warning} (--equal-lengths)", err=True)
    click.echo(
        f"{len(found.latents)} of {found.tested} active latents tell the sets apart "
        f"({found.found.value:.1%}; with the sets shuffled {found.found.control or 0:.1%})"
    )
    if found.held is not None:
        click.echo(f"held on the other half: {share(found.held)}")
    labels = known_labels(bench, name)
    for one in found.latents[:most]:
        line = f"{one.latent:>6}  AUROC {number(one.auroc)}  q {one.q:.2g}"
        click.echo(clean(f"{line}  {labels.get(one.latent, '')}".rstrip()))


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
    """Push the model along a latent's direction.

    Says what that does to its next words, at multiples of the highest activation that the latent
    had: KL from the model as it is, beside that of random directions as long, and which tokens
    become likelier.

    \b
    toprope features steer my-features 1023 --prompt "The weather today is" --prompt "I think that"
    """
    from toprope.techniques.interpretability.quality.raw_units import check_latent
    from toprope.techniques.interpretability.use.steering import steering

    if len(prompts) < 2:
        raise UserError("steering is measured on two prompts or more: give --prompt again")
    bench = opened(folder, **machine)
    name = chosen(bench, name)
    check_latent(bench.dictionary(name), latent)
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
                f"{one.multiple:+g} x: KL {one.kl.value:.3f} ({one.kl.low:.3f} to "
                f"{one.kl.high:.3f}), random {one.kl.control or 0:.3f}; likelier: {promoted}"
            )
        )


@click.command()
@FOLDER
@click.argument("prompt")
@click.argument("wanted")
@click.argument("other")
@DICTIONARY
@MOST
@machine_options
def attribute(
    folder: Path, prompt: str, wanted: str, other: str, name: str | None, most: int, **machine: Any
) -> None:
    """Say which latents make the model say WANTED rather than OTHER.

    After PROMPT, that is: by the gradient of the difference of their logits, and by what ablating
    each latent does to it.

    \b
    toprope features attribute my-features "The capital of France is" " Paris" " London"
    """
    from toprope.techniques.interpretability.use.attribution import attribute as attributed

    bench = opened(folder, **machine)
    name = chosen(bench, name)
    found = attributed(
        bench.model_of(name), bench.dictionary(name), bench.layer, prompt, wanted, other, top=most
    )
    click.echo(
        f"logit difference {found.output:+.3f}; by latents {found.latents:+.3f}, by what the "
        f"dictionary leaves out {found.error:+.3f}"
    )
    if found.correlation is not None:
        r = found.correlation
        click.echo(
            f"attribution and ablation agree: r {number(r)}; by "
            f"activation alone {r.control or 0:.2f}"
        )
    labels = known_labels(bench, name)
    for one in found.parts:
        line = f"{one.latent:>6}  {one.attribution:+.3f}  ablated {one.ablation:+.3f}"
        click.echo(clean(f"{line}  {labels.get(one.latent, '')}".rstrip()))
