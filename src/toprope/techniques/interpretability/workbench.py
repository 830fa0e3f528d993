"""Workbench: a folder in which features are made and looked at, step by step, each kept and never
done twice.

    features.json                the recipe, the model's weights and the layer
    capture/                     activations on the texts; capture-random/ of the control
    training/                    checkpoints and the log of the training, and of the control
    dictionaries/NAME/           seed-0, seed-1, ..., consensus; controls: frozen, random
    examples/NAME/, labels/NAME/, pages/NAME/    what was found of a dictionary's latents

Whoever opens the folder again needs its path alone.
"""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
from pydantic import BaseModel, ConfigDict, ValidationError
from torch import Tensor

from toprope.data.seeding import named_rng
from toprope.errors import UserError, unknown
from toprope.lab import Lab
from toprope.models.local import LocalModel
from toprope.models.random import randomised
from toprope.study import explained
from toprope.techniques.interpretability.activations.batches import batches
from toprope.techniques.interpretability.activations.capture import (
    capture,
    check,
    check_insides,
)
from toprope.techniques.interpretability.activations.captured import Capture, open_capture
from toprope.techniques.interpretability.activations.corpus import load_corpus
from toprope.techniques.interpretability.collecting import collect
from toprope.techniques.interpretability.dictionaries.dictionary import (
    Dictionary,
    Origin,
    load,
    make,
)
from toprope.techniques.interpretability.examples import Examples
from toprope.techniques.interpretability.examples import load as load_examples
from toprope.techniques.interpretability.exchange.affine import Standardisation
from toprope.techniques.interpretability.quality import consensus, consensus_losses
from toprope.techniques.interpretability.quality.controls import frozen_decoder
from toprope.techniques.interpretability.quality.held_out import rows
from toprope.techniques.interpretability.quality.measure import Rows
from toprope.techniques.interpretability.quality.stability import Recurrence, recurrence
from toprope.techniques.interpretability.recipe import DEPTH, Recipe
from toprope.techniques.interpretability.training import (
    LOG,
    Record,
    TrainingSettings,
    read_log,
    train,
)

ABOUT = "features.json"
CONSENSUS, FROZEN, RANDOM = "consensus", "frozen", "random"
FEWEST_FIRINGS = 50
"""Times that a latent is active in training, on average, below which a dictionary learns nothing of
most of them."""


class About(BaseModel):
    """What features.json holds."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    recipe: Recipe
    seed: int
    layer: int
    model_fingerprint: str
    corpus_fingerprint: str
    precision: str


@dataclass(frozen=True)
class Agreed:
    """What the seeds have in common.

    Attributes:
        consensus, losses: None where no feature recurs.
    """

    recurrence: Recurrence
    consensus: consensus.Consensus | None
    losses: consensus_losses.Losses | None


class Workbench:
    """A folder of features; `begin` makes one, `open` finds one again."""

    def __init__(self, folder: Path, about: About, lab: Lab) -> None:
        self.folder, self.about, self.lab = folder, about, lab
        self.recipe, self.layer = about.recipe, about.layer

    @classmethod
    def begin(cls, folder: Path, recipe: Recipe, lab: Lab) -> Workbench:
        """A folder for a recipe; one that is there goes on.

        Raises:
            UserError: a served model, a layer that the model doesn't have, texts that can't be
                read, or a folder of another recipe.
        """
        check_insides(recipe.target)
        corpus = load_corpus(recipe.texts, data_dir=lab.data_dir)
        model = lab.local(recipe.target)
        layer = round(DEPTH * model.n_layers) if recipe.layer is None else recipe.layer
        if layer < 1:
            raise UserError(
                f"layer {layer} of '{recipe.target}' is the embedding, before any block: name a "
                f"layer from 1 to {model.n_layers}"
            )
        check(model, recipe.captured(layer))
        about = About(
            recipe=recipe,
            seed=lab.seed,
            layer=layer,
            model_fingerprint=model.fingerprint,
            corpus_fingerprint=corpus.fingerprint,
            precision=lab.precision,
        )
        if (folder / ABOUT).exists():
            _check_same(_read(folder), about, folder)
        folder.mkdir(parents=True, exist_ok=True)
        (folder / ABOUT).write_text(about.model_dump_json(indent=1) + "\n", encoding="utf-8")
        return cls(folder, about, lab)

    @classmethod
    def open(cls, folder: Path, lab: Lab) -> Workbench:
        """
        Raises:
            UserError: there are no features in the folder.
        """
        return cls(folder, _read(folder), lab)

    # --- what is there ---

    @property
    def model(self) -> LocalModel:
        """
        Raises:
            UserError: its weights are others than the features were made from.
        """
        model = self.lab.local(self.recipe.target)
        if model.fingerprint != self.about.model_fingerprint:
            raise UserError(
                f"'{self.recipe.target}' has other weights than when the features in {self.folder} "
                "were made: make them again in another folder"
            )
        return model

    @cached_property
    def random_model(self) -> LocalModel:
        """The target with random weights, the same each time."""
        return randomised(self.model, named_rng(self.about.seed, "random model"))

    def model_of(self, name: str) -> LocalModel:
        """The model that a dictionary's activations are of."""
        return self.random_model if name == RANDOM else self.model

    @property
    def names(self) -> list[str]:
        """The dictionaries that are finished."""
        folder = self.folder / "dictionaries"
        there = sorted(one.parent.name for one in folder.glob("*/dictionary.json"))
        return sorted(there, key=lambda name: (not name.startswith("seed-"), name))

    @property
    def seeds(self) -> list[str]:
        return [f"seed-{seed}" for seed in range(self.recipe.seeds)]

    def dictionary(self, name: str) -> Dictionary:
        """
        Raises:
            UserError: there's no such dictionary.
        """
        if name not in self.names:
            if not self.names:
                raise UserError(
                    f"the features in {self.folder} aren't finished: give the command that makes "
                    "them again, and it goes on"
                )
            raise unknown("dictionary", name, self.names, where=str(self.folder))
        return load(self.folder / "dictionaries" / name)

    def reads(self, name: str) -> Capture:
        """The finished capture that a dictionary is of."""
        return open_capture(self._capture_folder(random=name == RANDOM))

    def held_out(self, name: str) -> Rows:
        """The rows of a dictionary's capture that no training sees."""
        return rows(self.reads(name), self.layer)

    @property
    def standardisation(self) -> Standardisation:
        """That of the model's capture, which dictionaries from elsewhere are turned to."""
        layer = self.reads(CONSENSUS).layer(self.layer)
        return Standardisation(layer.mean_D, layer.scale_D)

    # --- making ---

    def take(self, dictionary: Dictionary, name: str) -> None:
        """Keeps a dictionary from elsewhere, which works on this capture's activations.

        Raises:
            UserError: it reads other activations, or the name is another one's, or no name.
        """
        if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_.-]*", name):
            raise UserError(f"'{name}' can't be a dictionary's name: use letters, digits, - and _")
        if name in {*self.names, *self.seeds, CONSENSUS, FROZEN, RANDOM}:
            raise UserError(f"{self.folder} has a dictionary '{name}': name it otherwise (--as)")
        d_model = self.reads(CONSENSUS).d_model
        if dictionary.d_model != d_model:
            raise UserError(
                f"the dictionary reads {dictionary.d_model} channels, and '{self.recipe.target}' "
                f"has {d_model}: take one of the same model"
            )
        origin = dictionary.origin
        if origin is not None and origin.layer != self.layer:
            raise UserError(
                f"the dictionary is of layer {origin.layer}, and the features in {self.folder} of "
                f"layer {self.layer}: capture that layer"
            )
        dictionary.save(self.folder / "dictionaries" / name)

    def capture(self, *, random: bool = False) -> Capture:
        """The activations, of the model or of the one with random weights."""
        return capture(
            self.random_model if random else self.model,
            load_corpus(self.recipe.texts, data_dir=self.lab.data_dir),
            self.recipe.captured(self.layer),
            self._capture_folder(random=random),
            progress=self.lab.show,
        )

    def train(self) -> list[Record]:
        """The seeds' dictionaries, and the controls if they're wanted. Returns the log."""
        of_model = self.capture()
        self.check_width(of_model)
        made = {
            name: make(self.recipe.dictionary(self.model.d_model, seed), self._origin())
            for seed, name in enumerate(self.seeds)
        }
        if self.recipe.controls and self.recipe.kind != "archetypal":
            made[FROZEN] = frozen_decoder(self.recipe.dictionary(self.model.d_model, 0))
        log = self._trained(made, of_model, "training")
        if self.recipe.controls:
            of_random = make(self.recipe.dictionary(self.model.d_model, 0))
            log += self._trained({RANDOM: of_random}, self.capture(random=True), "training-random")
        return log

    def agree(self) -> Agreed | None:
        """What recurs over the seeds, and a consensus dictionary of it; None of one seed."""
        if self.recipe.seeds < 2:
            return None
        of_seeds = [self.dictionary(name) for name in self.seeds]
        rng = named_rng(self.about.seed, "consensus")
        found = recurrence(of_seeds, rng=rng, progress=self.lab.show)
        others = len(of_seeds) - 1
        if not (np.rint(found.share_SF * others) >= self.recipe.recurs_in - 1).any():
            return Agreed(found, None, None)
        settings = consensus.ConsensusSettings(recurs_in=self.recipe.recurs_in)
        made = consensus.build(
            of_seeds, found, self._batches(self.reads(CONSENSUS)), settings, progress=self.lab.show
        )
        losses = consensus_losses.losses(
            made,
            of_seeds,
            self._batches(self.reads(CONSENSUS)),
            lambda: self.held_out(CONSENSUS),
            settings,
            rng=rng,
            progress=self.lab.show,
        )
        made.dictionary.origin = of_seeds[0].origin
        made.dictionary.save(self.folder / "dictionaries" / CONSENSUS)
        return Agreed(found, made, losses)

    def examples(self, name: str, latents: Sequence[int] | None = None) -> Examples:
        """The windows on which a dictionary's latents fire, over all of the capture's text;
        collected once, of all latents."""
        folder = self.folder / "examples" / name
        if not (folder / "examples.json").exists():
            found = collect(
                self.dictionary(name),
                self.reads(name),
                self.layer,
                progress=self.lab.show,
            )
            found.save(folder)
        return load_examples(folder).read_with(self.model.tokenizer)

    def tidy(self) -> None:
        """Lets go of the trainings' checkpoints, which finished dictionaries don't need."""
        for name in ("training", "training-random"):
            for one in (self.folder / name).glob("*.safetensors"):
                one.unlink()

    def check_width(self, of: Capture) -> None:
        """
        Raises:
            UserError: too few tokens for the width: most latents would hardly ever be active.
        """
        recipe = self.recipe
        firings = len(of.training) * recipe.epochs * recipe.active / recipe.width
        if firings < FEWEST_FIRINGS:
            raise UserError(
                f"{len(of.training):,} tokens are too small for dictionaries of {recipe.width:,} "
                f"latents: each would be active {firings:.1f} times on average, and should be "
                f"{FEWEST_FIRINGS}: take more tokens, a smaller width or more epochs"
            )

    def _trained(self, made: dict[str, Dictionary], of: Capture, folder: str) -> list[Record]:
        if set(made) <= set(self.names):
            return read_log(self.folder / folder / LOG)
        layer = of.layer(self.layer)
        steps = self.recipe.epochs * (len(of.training) // self.recipe.batch)
        if steps < 1:
            raise UserError(
                f"{len(of.training):,} tokens make no batch of {self.recipe.batch:,}: capture more "
                "tokens, or take smaller batches"
            )
        for dictionary in made.values():
            dictionary.mean_D.copy_(layer.mean_D)
            dictionary.scale_D.copy_(layer.scale_D)
        log = train(
            made,
            self._batches(of),
            TrainingSettings(steps=steps, learning_rate=self.recipe.learning_rate),
            folder=self.folder / folder,
            progress=self.lab.show,
        )
        for name, dictionary in made.items():
            dictionary.origin = self._origin(steps * self.recipe.batch, random=name == RANDOM)
            dictionary.save(self.folder / "dictionaries" / name)
        return log

    def _batches(self, of: Capture) -> Iterator[Tensor]:
        rng = named_rng(self.about.seed, "batches")
        return batches(of, self.layer, self.recipe.batch, rng, epochs=self.recipe.epochs)

    def _capture_folder(self, *, random: bool) -> Path:
        return self.folder / ("capture-random" if random else "capture")

    def _origin(self, tokens: int = 0, *, random: bool = False) -> Origin:
        target = self.recipe.target
        return Origin(
            model=f"{target} (random weights)" if random else target,
            layer=self.layer,
            dtype=self.about.precision,
            corpus=self.about.corpus_fingerprint,
            tokens=tokens,
        )


def remove_captures(folder: Path) -> int:
    """Removes the activations from a folder of features, the bulk of it. Returns the bytes."""
    freed = 0
    for name in ("capture", "capture-random"):
        freed += sum(one.stat().st_size for one in (folder / name).rglob("*") if one.is_file())
        shutil.rmtree(folder / name, ignore_errors=True)
    return freed


def _read(folder: Path) -> About:
    path = folder / ABOUT
    try:
        return About.model_validate_json(path.read_bytes())
    except FileNotFoundError:
        raise UserError(
            f"there are no features in {folder}: it has no {ABOUT} ('toprope features train' "
            "makes them)"
        ) from None
    except ValidationError as error:
        raise explained(error, About, where=str(path)) from None
    except (OSError, json.JSONDecodeError) as error:
        raise UserError(f"{path} can't be read: {error}") from None


def _check_same(before: About, now: About, folder: Path) -> None:
    if before == now:
        return
    old, new = (
        one.recipe.model_dump() | one.model_dump(exclude={"recipe"}) for one in (before, now)
    )
    changed = [f"{key} was {old[key]!r}, now {new[key]!r}" for key in old if old[key] != new[key]]
    raise UserError(f"{folder} holds other features ({'; '.join(changed)}): give another folder")
