"""Workbench: a folder in which features are made and looked at, step by step, each kept and never
done twice.

    features.json                the recipe, the model's weights and the layer
    captures/KEY/                activations on the texts, of the model and of the random one; those
                                 of another folder can serve
    training/                    checkpoints and the log of the training; training-random/ of the
                                 control's
    dictionaries/NAME/           seed-0, seed-1, ..., consensus; controls: frozen, random-0, ...,
                                 random-consensus
    examples/NAME/, labels/NAME/, pages/NAME/    what was found of a dictionary's latents

Whoever opens the folder again needs its path alone. What makes what is in it: `making.py`.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator
from functools import cached_property
from pathlib import Path

from pydantic import BaseModel, ConfigDict, ValidationError
from torch import Tensor

from toprope.data.seeding import named_rng
from toprope.errors import UserError, unknown
from toprope.files import write_text
from toprope.journal import key_of
from toprope.lab import Lab
from toprope.models.local import LocalModel
from toprope.models.random import randomised
from toprope.study import explained
from toprope.techniques.interpretability.activations.batches import batches
from toprope.techniques.interpretability.activations.capture import check, check_insides
from toprope.techniques.interpretability.activations.captured import Capture, open_capture
from toprope.techniques.interpretability.activations.corpus import load_corpus
from toprope.techniques.interpretability.checkpoints import STATE
from toprope.techniques.interpretability.collecting import collect
from toprope.techniques.interpretability.dictionaries.dictionary import WEIGHTS, Dictionary, load
from toprope.techniques.interpretability.examples import Examples
from toprope.techniques.interpretability.examples import load as load_examples
from toprope.techniques.interpretability.exchange.affine import Standardisation
from toprope.techniques.interpretability.quality.held_out import rows
from toprope.techniques.interpretability.quality.measure import Rows
from toprope.techniques.interpretability.recipe import DEPTH, Recipe

ABOUT = "features.json"
CAPTURES = "captures"
CONSENSUS, FROZEN = "consensus", "frozen"
RANDOM = "random"
"""What the names of dictionaries of the random model begin with."""


class About(BaseModel):
    """What features.json holds; `captures` is relative to the folder, or a path of its own."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    recipe: Recipe
    seed: int
    layer: int
    model_fingerprint: str
    corpus_fingerprint: str
    precision: str
    captures: str = CAPTURES

    @property
    def key(self) -> str:
        """32 hex digits, of all that decides what is made; not of where captures are."""
        return key_of(self.model_dump(mode="json", exclude={"captures"}))


def about_of(recipe: Recipe, lab: Lab, captures: str = CAPTURES) -> About:
    """What a recipe comes to here.

    Raises:
        UserError: a served model, a layer that the model doesn't have, texts that can't be read, or
            too few tokens for the width.
    """
    check_insides(recipe.target)
    recipe.check_width()
    corpus = load_corpus(recipe.texts, data_dir=lab.data_dir)
    model = lab.local(recipe.target)
    layer = round(DEPTH * model.n_layers) if recipe.layer is None else recipe.layer
    if layer < 1:
        raise UserError(
            f"layer {layer} of '{recipe.target}' is the embedding, before any block: name a layer "
            f"from 1 to {model.n_layers}"
        )
    check(model, recipe.captured(layer))
    return About(
        recipe=recipe,
        seed=lab.seed,
        layer=layer,
        model_fingerprint=model.fingerprint,
        corpus_fingerprint=corpus.fingerprint,
        precision=lab.precision,
        captures=captures,
    )


class Workbench:
    """A folder of features; `begin` makes one, `open` finds one again."""

    def __init__(self, folder: Path, about: About, lab: Lab) -> None:
        self.folder, self.about, self.lab = folder, about, lab
        self.recipe, self.layer = about.recipe, about.layer

    @classmethod
    def begin(cls, folder: Path, about: About, lab: Lab) -> Workbench:
        """A folder for a recipe; one that is there goes on. While nothing trained is kept,
        another recipe may take it over, and what was captured for the one before serves if it fits.

        Raises:
            UserError: a folder of another recipe.
        """
        if any((folder / begun).exists() for begun in (f"training/{STATE}", "dictionaries")):
            _check_same(_read(folder), about, folder)
        write_text(folder / ABOUT, about.model_dump_json(indent=1) + "\n")
        return cls(folder, about, lab)

    @classmethod
    def open(cls, folder: Path, lab: Lab) -> Workbench:
        """
        Raises:
            UserError: there are no features in the folder.
        """
        return cls(folder, _read(folder), lab)

    # --- models ---

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
        return self.random_model if is_random(name) else self.model

    # --- dictionaries ---

    @property
    def names(self) -> list[str]:
        """The dictionaries that are finished."""
        folder = self.folder / "dictionaries"
        there = sorted(one.parent.name for one in folder.glob("*/dictionary.json"))
        return sorted(there, key=lambda name: (not name.startswith("seed-"), name))

    def seeds(self, *, random: bool = False) -> list[str]:
        """The names of the seeds' dictionaries, of the model or of the random one."""
        return [f"{RANDOM if random else 'seed'}-{seed}" for seed in range(self.recipe.seeds)]

    def place(self, name: str) -> Path:
        """A dictionary's folder."""
        return self.folder / "dictionaries" / name

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
        return load(self.place(name))

    def take(self, dictionary: Dictionary, name: str) -> None:
        """Keeps a dictionary from elsewhere, which works on this capture's activations.

        Raises:
            UserError: it reads other activations, or the name is another one's, or no name.
        """
        if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_.-]*", name):
            raise UserError(f"'{name}' can't be a dictionary's name: use letters, digits, - and _")
        if name in self.names or re.fullmatch(rf"seed-\d+|{CONSENSUS}|{FROZEN}|{RANDOM}.*", name):
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
        dictionary.save(self.place(name))

    # --- activations ---

    def capture_folder(self, *, random: bool = False) -> Path:
        """Where the activations are: by all that decides them, so that recipes that differ in
        their dictionaries alone share them."""
        about = self.about
        decided = [
            about.model_fingerprint,
            about.seed if random else None,
            about.corpus_fingerprint,
            about.precision,
            self.recipe.captured(self.layer).model_dump(mode="json"),
        ]
        return self.folder / about.captures / key_of(*decided)

    def reads(self, name: str) -> Capture:
        """The finished capture that a dictionary is of."""
        folder = self.capture_folder(random=is_random(name))
        return open_capture(folder, self.recipe.scaling)

    def held_out(self, name: str) -> Rows:
        """The rows of a dictionary's capture that no training sees."""
        return rows(self.reads(name), self.layer)

    def batches(self, of: Capture, skip: int = 0) -> Iterator[Tensor]:
        """What is trained on, the same each time."""
        rng = named_rng(self.about.seed, "batches")
        epochs, size = self.recipe.epochs, self.recipe.batch
        return batches(of, self.layer, size, rng, epochs=epochs, skip=skip)

    @property
    def standardisation(self) -> Standardisation:
        """That of the model's capture, which dictionaries from elsewhere are turned to."""
        layer = self.reads(CONSENSUS).layer(self.layer)
        return Standardisation(layer.mean_D, layer.scale_D)

    # --- latents ---

    def examples(self, name: str) -> Examples:
        """The windows on which a dictionary's latents fire; collected once, of all latents."""
        folder = self.folder / "examples" / name
        weights = _digest(self.place(name) / WEIGHTS)
        mark = folder / "dictionary.sha256"
        if not mark.exists() or mark.read_text(encoding="utf-8") != weights:
            mark.unlink(missing_ok=True)
            found = collect(
                self.dictionary(name), self.reads(name), self.layer, progress=self.lab.show
            )
            found.save(folder)
            write_text(mark, weights)
        return load_examples(folder).read_with(self.model.tokenizer)


def is_random(name: str) -> bool:
    """Whether a dictionary is of the model with random weights."""
    return name.startswith(f"{RANDOM}-")


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


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
