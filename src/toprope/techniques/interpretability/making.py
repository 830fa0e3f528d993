"""Making features: capture, dictionaries of several seeds and their controls in one pass, and what
the seeds agree on. Each step keeps what it made, and a second start goes on."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from toprope.data.seeding import named_rng
from toprope.errors import UserError
from toprope.techniques.interpretability.activations.capture import capture
from toprope.techniques.interpretability.activations.captured import Capture
from toprope.techniques.interpretability.activations.corpus import load_corpus
from toprope.techniques.interpretability.dictionaries.dictionary import Dictionary, Origin, make
from toprope.techniques.interpretability.quality import consensus, consensus_losses
from toprope.techniques.interpretability.quality.controls import frozen_decoder
from toprope.techniques.interpretability.quality.members import load_members
from toprope.techniques.interpretability.quality.stability import (
    RECURRENCE,
    SeedRecurrence,
    load_recurrence,
    recurrence,
)
from toprope.techniques.interpretability.training import TrainingSettings, train
from toprope.techniques.interpretability.workbench import (
    CONSENSUS,
    FROZEN,
    RANDOM,
    Workbench,
    is_random,
)

RANDOM_CONSENSUS = f"{RANDOM}-{CONSENSUS}"


@dataclass(frozen=True)
class Agreed:
    """What the seeds have in common.

    Attributes:
        consensus, losses: None where no feature recurs.
    """

    recurrence: SeedRecurrence
    consensus: consensus.Consensus | None
    losses: consensus_losses.Losses | None


def make_features(bench: Workbench) -> dict[bool, Agreed | None]:
    """All of a recipe: whether of the random model -> what its seeds agree on, if there are some.

    Raises:
        UserError: too few tokens or held-out documents, or a disk that is full.
    """
    train_seeds(bench)
    return {
        random: agree(bench, random=random) for random in (False, True)[: 1 + bench.recipe.controls]
    }


def captured(bench: Workbench, *, random: bool = False) -> Capture:
    """The activations, of the model or of the one with random weights.

    Raises:
        UserError: as `capture`; fewer than two held-out groups of documents.
    """
    made = capture(
        bench.random_model if random else bench.model,
        load_corpus(bench.recipe.texts, data_dir=bench.lab.data_dir),
        bench.recipe.captured(bench.layer),
        bench.capture_folder(random=random),
        progress=bench.lab.show,
    )
    windows = made.windows
    if len(np.unique(windows.group_W[windows.training :])) < 2:
        raise UserError(
            f"one document of '{bench.recipe.texts}', or one group of them, is held out, and "
            "intervals are over several: take texts of more, or a larger share"
        )
    return replace(made, scaling=bench.recipe.scaling)


def train_seeds(bench: Workbench) -> None:
    """The seeds' dictionaries, and the controls if they're wanted."""
    of_model = captured(bench)
    bench.recipe.check_width(len(of_model.training))
    wanted = {name: _dictionary(bench, seed) for seed, name in enumerate(bench.seeds())}
    if bench.recipe.controls and bench.recipe.kind != "archetypal":
        wanted[FROZEN] = frozen_decoder(_dictionary(bench, 0).settings)
    _trained(bench, wanted, of_model, "training")
    if bench.recipe.controls:
        of_random = captured(bench, random=True)
        names = enumerate(bench.seeds(random=True))
        wanted = {name: _dictionary(bench, seed) for seed, name in names}
        _trained(bench, wanted, of_random, "training-random")


def untrained(bench: Workbench, seeds: int) -> list[Dictionary]:
    """The first seeds' dictionaries as training finds them at its first batch: what they share
    then, training didn't find."""
    first_BD = next(bench.batches(bench.reads(CONSENSUS)))
    made = [_dictionary(bench, seed) for seed in range(seeds)]
    for one in made:
        one.start(first_BD)
    return made


def agree(bench: Workbench, *, random: bool = False) -> Agreed | None:
    """What recurs over the seeds, and a consensus dictionary of it; None of one seed."""
    if bench.recipe.seeds < 2:
        return None
    name = RANDOM_CONSENSUS if random else CONSENSUS
    of_seeds = [bench.dictionary(one) for one in bench.seeds(random=random)]
    rng = named_rng(bench.about.seed, name)
    found = _recurrence(bench, of_seeds, rng, random=random)
    others = len(of_seeds) - 1
    if not (np.rint(found.share_SF * others) >= bench.recipe.recurs_in - 1).any():
        return Agreed(found, None, None)
    settings = consensus.ConsensusSettings(recurs_in=bench.recipe.recurs_in)
    of = bench.reads(name)
    if name in bench.names:
        place = bench.place(name)
        made = consensus.Consensus(bench.dictionary(name), load_members(place))
    else:
        made = consensus.build(
            of_seeds, found, bench.batches(of), settings, progress=bench.lab.show
        )
        made.dictionary.origin = of_seeds[0].origin
        made.save(bench.place(name))
    losses = consensus_losses.losses(
        made,
        of_seeds,
        bench.batches(of),
        lambda: bench.held_out(name),
        settings,
        rng=rng,
        progress=bench.lab.show,
    )
    return Agreed(found, made, losses)


def recurrence_folder(bench: Workbench, *, random: bool = False) -> Path:
    """Where it's kept which latents of the seeds are partners."""
    return bench.folder / ("recurrence-random" if random else "recurrence")


def _recurrence(
    bench: Workbench, of_seeds: list[Dictionary], rng: np.random.Generator, *, random: bool
) -> SeedRecurrence:
    folder = recurrence_folder(bench, random=random)
    if not (folder / f"{RECURRENCE}.json").exists():
        recurrence(of_seeds, rng=rng, progress=bench.lab.show).save(folder)
    return load_recurrence(folder)


def tidy(bench: Workbench) -> None:
    """Lets go of the trainings' checkpoints, which finished dictionaries don't need."""
    for name in ("training", "training-random"):
        for one in (bench.folder / name).glob("*.safetensors"):
            one.unlink()


def _trained(bench: Workbench, wanted: dict[str, Dictionary], of: Capture, folder: str) -> None:
    if set(wanted) <= set(bench.names):
        return
    recipe, layer = bench.recipe, of.layer(bench.layer)
    steps = recipe.epochs * (len(of.training) // recipe.batch)
    if steps < 1:
        raise UserError(
            f"{len(of.training):,} tokens make no batch of {recipe.batch:,}: capture more tokens, "
            "or take smaller batches"
        )
    for dictionary in wanted.values():
        dictionary.mean_D.copy_(layer.mean_D)
        dictionary.scale_D.copy_(layer.scale_D)
    train(
        wanted,
        lambda skip: bench.batches(of, skip),
        TrainingSettings(steps=steps, learning_rate=recipe.learning_rate),
        folder=bench.folder / folder,
        progress=bench.lab.show,
    )
    for name, dictionary in wanted.items():
        dictionary.origin = _origin(bench, name, steps * recipe.batch)
        dictionary.save(bench.place(name))


def _dictionary(bench: Workbench, seed: int) -> Dictionary:
    return make(bench.recipe.dictionary(bench.reads(CONSENSUS).d_model, seed))


def _origin(bench: Workbench, name: str, tokens: int) -> Origin:
    target = bench.recipe.target
    return Origin(
        model=f"{target} (random weights)" if is_random(name) else target,
        layer=bench.layer,
        dtype=bench.about.precision,
        corpus=bench.about.corpus_fingerprint,
        tokens=tokens,
    )
