"""How much of a dictionary another seed's dictionary has, against the tokens that both were trained
on, beside a random dictionary, and beside the two seeds before training, which may share what they
start from; and what each kind does to it.

    python benchmarks/seed_overlap.py my-features --tokens 250000,500000,1000000,2000000,6000000

reads the capture of a folder of features ('toprope features train') and trains two seeds of the
same width from scratch for each number of tokens and kind: a number that is more than the capture
has is reached by reading it again. FVU and dead latents are on held-out documents.
"""

from __future__ import annotations

import copy
import itertools
import json
from collections.abc import Mapping
from pathlib import Path

import click
import torch

from timing import machine
from toprope.data.seeding import named_rng
from toprope.lab import Lab
from toprope.progress import Progress
from toprope.techniques.interpretability.activations.batches import batches
from toprope.techniques.interpretability.activations.captured import Capture
from toprope.techniques.interpretability.dictionaries.dictionary import Dictionary, make
from toprope.techniques.interpretability.dictionaries.kinds import KINDS
from toprope.techniques.interpretability.quality.density import density
from toprope.techniques.interpretability.quality.reconstruction import reconstruction
from toprope.techniques.interpretability.quality.stability import stability
from toprope.techniques.interpretability.training import TrainingSettings, train
from toprope.techniques.interpretability.workbench import Workbench


@click.command()
@click.argument("folder", type=click.Path(path_type=Path))
@click.option("--tokens", default="250000,500000,1000000,2000000", show_default=True)
@click.option("--kinds", default="topk", show_default=True, help=f"Of {', '.join(KINDS)}.")
@click.option("--width", type=int, default=4096, show_default=True)
@click.option("--active", type=int, default=32, show_default=True)
@click.option("--batch", type=int, default=2048, show_default=True)
@click.option("--learning-rate", type=float, default=1e-3, show_default=True)
@click.option("--threads", type=int, default=2, show_default=True)
@click.option("--out", type=click.Path(path_type=Path), help="JSON lines, a line a training.")
def main(
    folder: Path,
    tokens: str,
    kinds: str,
    width: int,
    active: int,
    batch: int,
    learning_rate: float,
    threads: int,
    out: Path | None,
) -> None:
    torch.set_num_threads(threads)
    bench = Workbench.open(folder, Lab(folder, progress=Progress()))
    capture = bench.reads("seed-0")
    layer = capture.layer(bench.layer)
    click.echo(json.dumps(machine()))
    for kind in kinds.split(","):
        for number in map(int, tokens.split(",")):
            steps = number // batch
            pair: dict[str, Dictionary] = {}
            for seed in range(2):
                one = make(
                    {
                        "kind": kind,
                        "width": width,
                        "d_model": capture.d_model,
                        "active": active,
                        "seed": seed,
                    }
                )
                one.mean_D.copy_(layer.mean_D)
                one.scale_D.copy_(layer.scale_D)
                pair[f"seed-{seed}"] = one
            rows = batches(capture, bench.layer, batch, named_rng(0, "overlap"), epochs=None)
            untrained = _begun(pair, capture, bench.layer, batch)
            train(
                pair,
                rows,
                TrainingSettings(steps=steps, learning_rate=learning_rate),
                progress=bench.lab.show,
            )
            found = _measured(bench, list(pair.values()))
            line = {"kind": kind, "tokens": steps * batch, "learning_rate": learning_rate, **found}
            line["before_training"] = untrained
            click.echo(json.dumps(line))
            if out is not None:
                with out.open("a", encoding="utf-8") as file:
                    file.write(json.dumps(line) + "\n")


def _begun(pair: Mapping[str, Dictionary], capture: Capture, layer: int, batch: int) -> float:
    """The share that two seeds have in common before their first step."""
    [first_BD] = itertools.islice(
        batches(capture, layer, batch, named_rng(0, "overlap"), epochs=None), 1
    )
    begun = [copy.deepcopy(one) for one in pair.values()]
    for one in begun:
        one.start(first_BD)
    return stability(*begun, rng=named_rng(0, "overlap", "begun")).shared.value


def _measured(bench: Workbench, pair: list[Dictionary]) -> dict[str, object]:
    rng = named_rng(0, "overlap", "measures")
    fit = reconstruction(pair[0], bench.held_out("seed-0"), rng=rng)
    dead = density(pair[0], bench.held_out("seed-0")).dead
    alike = stability(*pair, rng=rng)
    return {
        "fvu": [fit.fvu.value, fit.fvu.low, fit.fvu.high],
        "dead": dead.value,
        "shared": [alike.shared.value, alike.shared.low, alike.shared.high],
        "shared_by_decoder": alike.decoder.value,
        "random_dictionary": alike.shared.control,
        "rotated": alike.rotated,
    }


if __name__ == "__main__":
    main()
