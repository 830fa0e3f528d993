"""A guard: classifiers in a row, each with the score from which it passes an exchange on to the
next, the last with that from which the exchange is stopped.

With one stage that is a probe or a classifier alone; with two a cascade (Cunningham et al. 2026,
arXiv 2601.04603): a cheap one for everything, a dear one only where the first is unsure.

A guard is a folder of `guard.json` and `heads.safetensors`, which loads without running code. It
carries the hash of what it was trained on, and holds for the weights that it reads with alone.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from pydantic import TypeAdapter, ValidationError
from safetensors import SafetensorError
from safetensors.numpy import load_file, save_file

from toprope.errors import UserError
from toprope.models.local import LocalModel
from toprope.techniques.safeguards.reading import Reader, Reading, Sees
from toprope.techniques.safeguards.streaming import StreamingHead

FORMAT = 2
FILES = ("guard.json", "heads.safetensors")
PARTS = ("mean", "scale", "weight", "bias")


@dataclass(frozen=True)
class Stage:
    """One classifier.

    Attributes:
        name: what it is called in tables: input, probe, external, ...
        model, weights: what it reads with: the model's name and fingerprint.
        layers: of the model, side by side.
        sees: the prompt alone, or the whole exchange.
        threshold: the score at and above which the next stage is asked; the last one's stops.
    """

    name: str
    model: str
    weights: str
    layers: tuple[int, ...]
    sees: Sees
    threshold: float


@dataclass(frozen=True)
class About:
    """What `guard.json` holds.

    Attributes:
        target: the model that it was trained for.
        stages: in the order in which they're asked.
        budget: the share of harmless exchanges that it was set to stop at most.
        trained_on: SHA-256 of the exchanges (`exchanges.fingerprint`).
    """

    target: str
    stages: tuple[Stage, ...]
    budget: float
    trained_on: str
    format: int = FORMAT


@dataclass(frozen=True)
class Scored:
    """One exchange as a stage scores it.

    Attributes:
        scores_T: after each position.
        ends_T: as in `Reading`.
    """

    scores_T: NDArray
    ends_T: NDArray

    @classmethod
    def by(cls, head: StreamingHead, reading: Reading) -> Scored:
        return cls(head.scores(reading.x_TF), reading.ends_T)

    @property
    def highest(self) -> float:
        """That of the whole exchange."""
        return float(self.scores_T.max())


@dataclass(frozen=True)
class Stop:
    """Where an exchange is stopped.

    Attributes:
        read: characters of the answer that had been read by then, and so let through.
        scores: stage -> its highest score up to where it passed the exchange on.
    """

    read: int
    scores: Mapping[str, float]


@dataclass(frozen=True)
class Guard:
    """
    Attributes:
        heads: one for each stage.
    """

    about: About
    heads: tuple[StreamingHead, ...]

    def stop(self, readings: Sequence[Reading]) -> Stop | None:
        """Where it stops an exchange, or None.

        Args:
            readings: of each stage.
        """
        return self.stop_scored(list(map(Scored.by, self.heads, readings)))

    def stop_scored(self, scored: Sequence[Scored]) -> Stop | None:
        """`stop` of what every stage has scored."""
        read, scores = 0, {}
        for stage, one in zip(self.about.stages, scored, strict=True):
            over_T = one.scores_T >= stage.threshold
            if not over_T.any():
                return None
            first = int(over_T.argmax())
            read = max(read, int(one.ends_T[first]))
            scores[stage.name] = float(one.scores_T[first])
        return Stop(read, scores)

    @property
    def fingerprint(self) -> str:
        """SHA-256 (hex) of all that decides what it stops."""
        digest = hashlib.sha256(json.dumps(asdict(self.about)["stages"]).encode())
        for head in self.heads:
            for part in (head.mean_F, head.scale_F, head.weight_F, np.array([head.bias])):
                digest.update(np.asarray(part, np.float64).tobytes())
        return digest.hexdigest()

    def readers(self, models: Mapping[str, LocalModel]) -> list[Reader]:
        """One for each stage.

        Args:
            models: by name; all that the stages read with.

        Raises:
            UserError: a model has other weights than the guard was made for, or doesn't fit it.
        """
        return [
            _reader(stage, head, models[stage.model])
            for stage, head in zip(self.about.stages, self.heads, strict=True)
        ]

    def save(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        tensors = {
            f"{i}.{part}": np.ascontiguousarray(value, np.float64)
            for i, head in enumerate(self.heads)
            for part, value in zip(
                PARTS, (head.mean_F, head.scale_F, head.weight_F, [head.bias]), strict=True
            )
        }
        save_file(tensors, folder / FILES[1])
        text = json.dumps(asdict(self.about), indent=1) + "\n"
        (folder / FILES[0]).write_text(text, encoding="utf-8")


def load_guard(folder: Path) -> Guard:
    """
    Raises:
        UserError: no guard there, a damaged one, or one of another format.
    """
    for name in FILES:
        if not (folder / name).is_file():
            raise UserError(f"no guard in {folder}: {name} is missing")
    try:
        content = json.loads((folder / FILES[0]).read_text(encoding="utf-8"))
        if content["format"] != FORMAT:
            raise UserError(
                f"the guard in {folder} has format {content['format']}, and this toprope reads "
                f"{FORMAT}: train it again"
            )
        about = TypeAdapter(About).validate_python(content)
        _check(about.stages)
        tensors = load_file(folder / FILES[1])
        heads = tuple(_head(tensors, i) for i in range(len(about.stages)))
    except (OSError, ValueError, KeyError, TypeError, ValidationError, SafetensorError) as error:
        reason = str(error).splitlines()[0]
        raise UserError(f"the guard in {folder} is damaged ({reason}): train it again") from None
    if not all(map(_is_sound, heads)):
        raise UserError(f"the guard in {folder} is damaged (its numbers): train it again")
    return Guard(about, heads)


def _head(tensors: Mapping[str, NDArray], i: int) -> StreamingHead:
    mean_F, scale_F, weight_F, bias = (tensors[f"{i}.{part}"] for part in PARTS)
    return StreamingHead(mean_F, scale_F, weight_F, float(bias.item()))


def _check(stages: Sequence[Stage]) -> None:
    """
    Raises:
        ValueError: what is wrong with them.
    """
    if not stages:
        raise ValueError("it has no stages")
    names = [stage.name for stage in stages]
    if len(set(names)) < len(names):
        raise ValueError(f"two stages of one name: {', '.join(names)}")
    for stage in stages:
        layers = stage.layers
        if not layers or min(layers) < 0 or len(set(layers)) < len(layers):
            told = ", ".join(map(str, layers)) or "none"
            raise ValueError(f"stage '{stage.name}': layers {told}")
        if not 0 < stage.threshold <= 1:
            raise ValueError(f"stage '{stage.name}': {stage.threshold} is no threshold")


def _is_sound(head: StreamingHead) -> bool:
    """Whether it can stop anything at all."""
    parts = [head.mean_F, head.scale_F, head.weight_F, np.array([head.bias])]
    same = {part.shape for part in parts[:3]}
    finite = all(np.isfinite(part).all() for part in parts)
    return len(same) == 1 and head.weight_F.ndim == 1 and finite and bool((head.scale_F > 0).all())


def _reader(stage: Stage, head: StreamingHead, model: LocalModel) -> Reader:
    if model.fingerprint != stage.weights:
        raise UserError(
            f"this guard was made for '{stage.model}', and '{model.name}' has other weights: train "
            "one for it"
        )
    layers, reader = stage.layers, Reader(model, stage.layers, stage.sees)
    fits = max(layers) <= model.n_layers if model.is_causal else layers == (model.n_layers,)
    if not fits or len(head.weight_F) != reader.width:
        raise UserError(
            f"this guard's stage '{stage.name}' reads layers {', '.join(map(str, layers))} with "
            f"{len(head.weight_F)} features, and '{model.name}' has {model.n_layers} layers of "
            f"{model.d_model}"
        )
    return reader
