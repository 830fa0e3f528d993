"""A guard: a streaming head on a model's own activations, and the score from which it stops an
answer.

A folder of `guard.json` and `head.safetensors`, which loads without running code; it carries the
hash of what it was trained on, and holds for the weights that it was trained on alone.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from pydantic import TypeAdapter, ValidationError
from safetensors import SafetensorError
from safetensors.numpy import load_file, save_file

from toprope.errors import UserError
from toprope.models.local import LocalModel
from toprope.techniques.safeguards.streaming import StreamingHead

FORMAT = 1
FILES = ("guard.json", "head.safetensors")


@dataclass(frozen=True)
class About:
    """What `guard.json` holds.

    Attributes:
        model, weights: whose activations it reads: the name, and the fingerprint.
        layers: of the model, side by side.
        stop: the score at which an answer is stopped.
        budget: the share of harmless exchanges that it was set to stop at most.
        trained_on: SHA-256 of the exchanges (`exchanges.fingerprint`).
    """

    model: str
    weights: str
    layers: tuple[int, ...]
    stop: float
    budget: float
    trained_on: str
    format: int = FORMAT


@dataclass(frozen=True)
class Guard:
    about: About
    head: StreamingHead

    def stops_at(self, x_TF: NDArray) -> int | None:
        """The first position of an exchange at which it is stopped, or None."""
        over_T = self.head.scores(x_TF) >= self.about.stop
        return int(over_T.argmax()) if over_T.any() else None

    def check(self, model: LocalModel) -> None:
        """
        Raises:
            UserError: the guard was made for other weights, or doesn't fit the model's shape.
        """
        if model.fingerprint != self.about.weights:
            raise UserError(
                f"this guard was made for '{self.about.model}', and '{model.name}' has other "
                "weights: train one for it"
            )
        width = model.d_model * len(self.about.layers)
        if max(self.about.layers) > model.n_layers or len(self.head.weight_F) != width:
            raise UserError(
                f"this guard reads layers {', '.join(map(str, self.about.layers))} with "
                f"{len(self.head.weight_F)} features, and '{model.name}' has {model.n_layers} "
                f"layers of {model.d_model}"
            )

    def save(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        head = self.head
        tensors = {
            "mean": head.mean_F,
            "scale": head.scale_F,
            "weight": head.weight_F,
            "bias": np.array([head.bias]),
        }
        save_file(
            {name: np.ascontiguousarray(value, np.float64) for name, value in tensors.items()},
            folder / "head.safetensors",
        )
        text = json.dumps(asdict(self.about), indent=1) + "\n"
        (folder / "guard.json").write_text(text, encoding="utf-8")


def load_guard(folder: Path) -> Guard:
    """
    Raises:
        UserError: no guard there, a damaged one, or one of another format.
    """
    for name in FILES:
        if not (folder / name).is_file():
            raise UserError(f"no guard in {folder}: {name} is missing")
    try:
        text = (folder / "guard.json").read_text(encoding="utf-8")
        about = TypeAdapter(About).validate_json(text)
        tensors = load_file(folder / "head.safetensors")
        mean_F, scale_F, weight_F = (tensors[name] for name in ("mean", "scale", "weight"))
        head = StreamingHead(mean_F, scale_F, weight_F, float(tensors["bias"].item()))
    except (OSError, ValueError, KeyError, ValidationError, SafetensorError) as error:
        reason = str(error).splitlines()[0]
        raise UserError(f"the guard in {folder} is damaged ({reason}): train it again") from None
    if about.format != FORMAT:
        raise UserError(
            f"the guard in {folder} has format {about.format}, and this toprope reads {FORMAT}"
        )
    same = {mean_F.shape, scale_F.shape, weight_F.shape}
    whole = [mean_F, scale_F, weight_F, np.array([head.bias, about.stop])]
    sound = all(np.isfinite(part).all() for part in whole) and (scale_F > 0).all()
    if len(same) != 1 or weight_F.ndim != 1 or not about.layers or not sound:
        raise UserError(f"the guard in {folder} is damaged (its numbers): train it again")
    return Guard(about, head)
