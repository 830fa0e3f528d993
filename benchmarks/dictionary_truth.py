"""What each kind of dictionary finds of features that are known, and how much it absorbs.

Rows are sums of known directions (`toprope.techniques.interpretability.synthetic`): flat ones,
which are independent, and hierarchical ones, of which a child is only active with its parent. Each
seed has features and first weights of its own; the kinds train on the same rows, more features than
channels. Printed are, with 95% intervals over the seeds (Student's t of their mean):

    recovered    the share of features whose latent has a cosine over 0.9 (Hungarian matching)
    cosine       the mean of the matched cosines
    absorbed     of all rows with an active parent, the share in which its latent is silent and
                 its children's latents carry it

beside the same dictionaries before their first step.

    python benchmarks/dictionary_truth.py --seeds 4 --out truth.json
"""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import click
import numpy as np
import torch
from scipy import stats
from torch import Tensor

from timing import machine
from toprope.data.seeding import named_rng
from toprope.progress import Progress
from toprope.techniques.interpretability.dictionaries.dictionary import Dictionary, make
from toprope.techniques.interpretability.synthetic import (
    Features,
    Sample,
    absorption,
    flat,
    hierarchy,
    recovery,
)
from toprope.techniques.interpretability.training import TrainingSettings, train

KINDS = ("topk", "batch_topk", "matryoshka", "jumprelu", "archetypal")
CHILDREN, CHILD_PROBABILITY = 3, 0.2
MEASURES = ("recovered", "cosine", "absorbed")
TESTED = 8192
"""Rows on which absorption is counted."""


@dataclass(frozen=True)
class Found:
    """Of one dictionary; `absorbed` is None where no feature has children."""

    world: str
    kind: str
    trained: bool
    seed: int
    recovered: float
    cosine: float
    absorbed: float | None


@click.command()
@click.option("--d-model", default=64, show_default=True)
@click.option("--parents", default=32, show_default=True, help="Each has three children.")
@click.option("--active", default=3.0, show_default=True, help="Features, or parents, in a row.")
@click.option("--steps", default=1500, show_default=True)
@click.option("--batch", default=512, show_default=True)
@click.option("--learning-rate", default=3e-3, show_default=True)
@click.option("--seeds", default=4, show_default=True, help="An interval takes 2 or more.")
@click.option("--threads", default=2, show_default=True)
@click.option("--out", type=click.Path(path_type=Path), help="A JSON file for all that was found.")
def main(
    d_model: int,
    parents: int,
    active: float,
    steps: int,
    batch: int,
    learning_rate: float,
    seeds: int,
    threads: int,
    out: Path | None,
) -> None:
    """Trains dictionaries on known features; prints a Markdown table."""
    torch.set_num_threads(threads)
    settings = TrainingSettings(steps=steps, learning_rate=learning_rate)
    found: list[Found] = []
    for seed in range(seeds):
        for world in ("flat", "hierarchical"):
            features, count = _features(world, parents, d_model, active, seed)
            found += _trained(world, features, count, settings, batch, seed)
    click.echo(table(found))
    if out:
        given = {"d_model": d_model, "parents": parents, "active": active, "batch": batch}
        report = {
            "settings": given | settings.model_dump(),
            "machine": machine(),
            "found": [asdict(one) for one in found],
        }
        out.write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")


def _features(
    world: str, parents: int, d_model: int, active: float, seed: int
) -> tuple[Features, int]:
    """As many features in either world, and how many are in a row on average."""
    rng = named_rng(seed, world, "features")
    if world == "flat":
        return flat(parents * (1 + CHILDREN), d_model, active, rng), round(active)
    features = hierarchy(
        parents, CHILDREN, d_model, active, rng, child_probability=CHILD_PROBABILITY
    )
    return features, round(active * (1 + CHILDREN * CHILD_PROBABILITY))


def _trained(
    world: str, features: Features, active: int, settings: TrainingSettings, batch: int, seed: int
) -> Iterator[Found]:
    rng = named_rng(seed, world, "rows")
    first = features.sample(batch, rng)
    # Rows as long as standardised ones are; one scale for all channels keeps the directions.
    scale = float((first.x_ND.shape[1] / first.x_ND.square().sum(1).mean()).sqrt())
    sample = _scaled(features.sample(TESTED, rng), scale)
    dictionaries = {kind: _made(kind, features, active, batch, seed) for kind in KINDS}
    untrained = copy.deepcopy(dictionaries)
    for one in untrained.values():
        one.start(scale * first.x_ND)
    train(dictionaries, _rows(features, batch, rng, scale), settings, progress=Progress())
    for kind in KINDS:
        for trained, of in ((True, dictionaries), (False, untrained)):
            yield _measured(of[kind], features, sample, world, kind, trained, seed)


def _rows(
    features: Features, batch: int, rng: np.random.Generator, scale: float
) -> Iterator[Tensor]:
    for x_BD in features.batches(batch, rng):
        yield scale * x_BD


def _scaled(sample: Sample, scale: float) -> Sample:
    return Sample(scale * sample.x_ND, scale * sample.strengths_NG)


def _made(kind: str, features: Features, active: int, batch: int, seed: int) -> Dictionary:
    """With a quarter more latents than there are features."""
    G, D = features.directions_GD.shape
    own = {"centroids": min(512, batch)} if kind == "archetypal" else {}
    given = {"kind": kind, "width": G * 5 // 4, "d_model": D, "active": active, "seed": seed}
    return make(given | {"dead_after": 20 * batch} | own)


def _measured(
    dictionary: Dictionary,
    features: Features,
    sample: Sample,
    world: str,
    kind: str,
    trained: bool,
    seed: int,
) -> Found:
    matched = recovery(dictionary, features)
    has_children = world == "hierarchical"
    return Found(
        world=world,
        kind=kind,
        trained=trained,
        seed=seed,
        recovered=matched.share(0.9),
        cosine=float(matched.cosine_G.mean()),
        absorbed=absorption(dictionary, features, sample).share if has_children else None,
    )


def table(found: Sequence[Found]) -> str:
    """Markdown: a line a world, kind, and whether it was trained."""
    lines = [f"| features | kind | {' | '.join(MEASURES)} |", "|---|---|---|---|---|"]
    for world, kind, trained in dict.fromkeys((f.world, f.kind, f.trained) for f in found):
        of = [f for f in found if (f.world, f.kind, f.trained) == (world, kind, trained)]
        cells = [_mean([getattr(f, name) for f in of]) for name in MEASURES]
        said = kind if trained else f"{kind}, untrained"
        lines.append(f"| {world} | {said} | {' | '.join(cells)} |")
    return "\n".join(lines)


def _mean(values: Sequence[float | None]) -> str:
    """With the interval of the mean, within what it can be, where there are several values."""
    kept = np.array([value for value in values if value is not None])
    if not len(kept):
        return ""
    mean = float(kept.mean())
    if len(kept) < 2:
        return f"{mean:.3f}"
    off = float(stats.t.ppf(0.975, len(kept) - 1) * kept.std(ddof=1) / len(kept) ** 0.5)
    return f"{mean:.3f} ({max(0.0, mean - off):.3f} to {min(1.0, mean + off):.3f})"


if __name__ == "__main__":
    main()
