"""Measures that a study doesn't take, and plans: `toprope features probe | absorption | plan`."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from toprope.cli.features.shared import (
    DICTIONARY,
    FOLDER,
    chosen,
    machine_options,
    opened,
    share,
)

POSITIVE = click.FloatRange(min=0, min_open=True)


@click.command()
@FOLDER
@click.argument("first", type=click.Path(path_type=Path))
@click.argument("second", type=click.Path(path_type=Path))
@DICTIONARY
@machine_options
def probe(folder: Path, first: Path, second: Path, name: str | None, **machine: Any) -> None:
    """Say how much of a property a few latents carry.

    FIRST and SECOND are files of texts (a text a line, or JSON lines with "text") with the property
    and without it. Probes are trained on the last token of one half and tested on the other: on the
    latents whose means differ most, on as many at random, and on the activations themselves.

    \b
    toprope features probe my-features true.txt false.txt
    """
    import numpy as np

    from toprope.techniques.interpretability.use.probing import probing
    from toprope.techniques.interpretability.use.reading import latents_of
    from toprope.techniques.interpretability.use.texts import read_texts

    sets = [list(dict.fromkeys(read_texts(path))) for path in (first, second)]
    texts = [text for one in sets for text in one]
    bench = opened(folder, **machine)
    name = chosen(bench, name)
    model, most = bench.model_of(name), bench.model.context
    latents_NF = latents_of(
        model,
        bench.dictionary(name),
        bench.layer,
        texts,
        pool="last",
        most_tokens=most,
        progress=bench.lab.show,
    )
    read = model.activations(texts, [bench.layer], most_tokens=most, progress=bench.lab.show)
    rng = bench.lab.rng("probe")
    found = probing(
        latents_NF,
        np.asarray(read.layers[bench.layer], dtype=np.float32),
        np.repeat([1, 0], [len(one) for one in sets]),
        np.concatenate([rng.permutation(len(one)) % 2 == 0 for one in sets]),
        rng=rng,
    )
    for k, one in found.sparse.items():
        at_random = one.accuracy.control or 0.0
        click.echo(f"latents read {k:>2}: {share(one.accuracy)}; at random {at_random:.1%}")
    click.echo(f"activations: {share(found.dense.accuracy)}; the larger class {found.majority:.1%}")
    most_telling = max(found.sparse.values(), key=lambda one: len(one.latents)).latents
    click.echo(f"the latents: {', '.join(map(str, most_telling))}")


@click.command()
@FOLDER
@DICTIONARY
@click.option(
    "--words",
    type=click.IntRange(min=1),
    default=3000,
    show_default=True,
    help="Of the model's vocabulary, at most.",
)
@machine_options
def absorption(folder: Path, name: str | None, words: int, **machine: Any) -> None:
    """Say how often a more specific latent absorbs a general one.

    On words' first letters, as Chanin et al. 2024 measure it, beside the same by another letter's
    probe.

    \b
    toprope features absorption my-features
    """
    from toprope.techniques.interpretability.quality.absorbing import AbsorptionSettings
    from toprope.techniques.interpretability.quality.absorption import absorption as measured
    from toprope.techniques.interpretability.quality.spelling import check_spelling

    bench = opened(folder, **machine)
    name = chosen(bench, name)
    check_spelling(bench.model_of(name))
    found = measured(
        bench.model_of(name),
        bench.dictionary(name),
        bench.layer,
        AbsorptionSettings(words=words),
        rng=bench.lab.rng("absorption"),
        progress=bench.lab.show,
    )
    click.echo(f"probes of first letters: mean F1 {found.f1:.2f}")
    click.echo(f"letters that the model names itself: {share(found.spelled)}")
    if found.rate is None or found.projection is None:
        click.echo(f"absorption isn't measurable: {found.reason}")
        return
    for what, rate in (("absorbed", found.rate), ("by projection (SAEBench)", found.projection)):
        click.echo(f"{what}: {share(rate)}; with another letter's probe {rate.control or 0:.1%}")
    click.echo(f"latents that stand for a letter: {found.splits:.1f} on average")


def _figure(flag: str, default: float, about: str) -> Callable[[Any], Any]:
    return click.option(flag, type=POSITIVE, default=default, show_default=True, help=about)


@click.command()
@click.option("--width", type=click.IntRange(min=1), required=True, help="Latents.")
@click.option("--d-model", type=click.IntRange(min=1), required=True, help="The model's channels.")
@click.option(
    "--active", type=click.IntRange(min=1), default=64, show_default=True, help="Latents a token."
)
@click.option(
    "--batch", type=click.IntRange(min=1), default=131_072, show_default=True, help="Tokens a step."
)
@click.option(
    "--tokens",
    type=click.FloatRange(min=1),
    help="To train on, such as 2e9.  [default: by Gao et al.'s power law]",
)
@click.option(
    "--devices", type=click.IntRange(min=1), default=8, show_default=True, help="How many."
)
@_figure("--memory", 80, "Of a device, GB.")
@_figure("--tflops", 494.7, "Of a device, in float32 or TF32.")
@_figure("--bandwidth", 3350, "Of its memory, GB/s.")
@_figure("--link", 450, "From it to the others, GB/s.")
@click.option(
    "--measured",
    type=POSITIVE,
    help="Tokens a second that the machine was seen to reach: hours are by these.",
)
def plan(
    width: int,
    d_model: int,
    active: int,
    batch: int,
    tokens: float | None,
    devices: int,
    memory: float,
    tflops: float,
    bandwidth: float,
    link: float,
    measured: float | None,
) -> None:
    """Say what training a wide TopK dictionary asks of a machine.

    Memory, operations and hours, with the latents in shards over its devices, as 'train_sharded'
    (in Python) trains it. The defaults are eight H100 in one machine; between machines --link is
    slower.

    \b
    toprope features plan --width 10000000 --d-model 4096 --devices 32 --link 50
    toprope features plan --width 65536 --d-model 576 --devices 1 --memory 24 --tflops 82
    """
    from toprope.techniques.interpretability.scale.plan import Hardware, Job
    from toprope.techniques.interpretability.scale.plan import plan as planned
    from toprope.techniques.interpretability.scale.table import ROWS

    hardware = Hardware(
        name=f"{devices} x {memory:g} GB",
        devices=devices,
        memory=memory * 1e9,
        flops=tflops * 1e12,
        bandwidth=bandwidth * 1e9,
        link=link * 1e9,
    )
    job = Job(width=width, d_model=d_model, active=active, batch=batch, tokens=tokens)
    found = planned(job, hardware, measured=measured)
    for name, shown in ROWS:
        click.echo(f"{name:<30} {shown(found)}")
