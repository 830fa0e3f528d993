"""The trained judge: a linear head on a local model's activations at the end of a question about
the request and the answer, trained on answers that people have judged.

A judge is a folder: `judge.json` (the model, its layer, what it was trained on) and
`head.safetensors`. One comes along, in `trained/`.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load_file, save_file

from toprope.data.examples import Dataset
from toprope.data.prompts import filled, prompt_text
from toprope.errors import UserError
from toprope.lab import Lab
from toprope.models.heads import STRENGTHS, Axes, Head, one_hot
from toprope.models.local import LocalModel
from toprope.models.together import Together
from toprope.progress import Progress
from toprope.techniques.redteam.attempts import Verdict
from toprope.techniques.redteam.judges.calibration import pairs_of

BUILT_IN = Path(str(files("toprope.techniques.redteam.judges").joinpath("trained")))
DEPTHS = (0.5, 0.625, 0.75, 0.875, 1.0)
HEAD_CHARACTERS = 250
"""Of the request's beginning, and of its end, which are read: an attack may be long."""
RESPONSE_CHARACTERS = 900
"""Of the answer's beginning."""


MOST_TOGETHER = 32
"""Answers judged in one go."""


@dataclass(frozen=True)
class TrainedJudge:
    """A head, and the model that it reads.

    Attributes:
        layer: of the model, whose last token's state the head reads.
        about: what `judge.json` holds.
    """

    name: str
    model: LocalModel
    layer: int
    head: Head
    about: dict[str, Any]
    _together: Together[tuple[str, str], Verdict] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_together", Together(self.judge_all, MOST_TOGETHER))

    @property
    def version(self) -> str:
        digest = hashlib.sha256()
        for part in (self.head.mean_D, self.head.scale_D, self.head.weight_DC, self.head.bias_C):
            digest.update(np.asarray(part, dtype=np.float32).tobytes())
        read_of = [HEAD_CHARACTERS, RESPONSE_CHARACTERS, _question()]
        digest.update(f"{self.model.fingerprint}{self.layer}{read_of}".encode())
        return digest.hexdigest()[:16]

    async def judge(self, request: str, response: str) -> Verdict:
        """Answers that come while others are being judged are judged together after them."""
        return await self._together((request, response))

    def judge_all(
        self, pairs: Sequence[tuple[str, str]], *, progress: Progress | None = None
    ) -> list[Verdict]:
        """Verdicts on (request, response) pairs, in order; an empty answer does no harm."""
        x_ND = read(self.model, pairs, [self.layer], progress=progress)[self.layer]
        scores_N = self.head.probs(x_ND)[:, 1]
        return [
            Verdict(float(score) if response.strip() else 0.0)
            for score, (_, response) in zip(scores_N, pairs, strict=True)
        ]

    @classmethod
    def load(cls, folder: Path, lab: Lab, *, name: str) -> TrainedJudge:
        """
        Raises:
            UserError: the folder isn't a judge's, or its model has other weights than it had.
        """
        try:
            about = json.loads((folder / "judge.json").read_text(encoding="utf-8"))
            tensors = load_file(folder / "head.safetensors")
            head = Head(**{key: value.astype(np.float64) for key, value in tensors.items()})
            of, layer, weights = (about[key] for key in ("model", "layer", "model_fingerprint"))
        except (OSError, ValueError, KeyError, TypeError, SafetensorError) as error:
            raise UserError(
                f"judge '{name}': {folder} holds no trained judge ({error}); train one with "
                "'toprope judges train'"
            ) from None
        model = lab.local(of)
        if model.fingerprint != weights:
            raise UserError(
                f"judge '{name}' was trained on other weights of '{of}': train it again"
            )
        return cls(name, model, layer, head, about)

    def save(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        tensors = {
            key: np.ascontiguousarray(getattr(self.head, key), dtype=np.float32)
            for key in ("mean_D", "scale_D", "weight_DC", "bias_C")
        }
        save_file(tensors, folder / "head.safetensors")
        (folder / "judge.json").write_text(json.dumps(self.about, indent=1) + "\n")


def train(
    name: str, model: LocalModel, sets: Sequence[Dataset], *, progress: Progress | None = None
) -> TrainedJudge:
    """A judge trained on sets of judged answers.

    The layer and the regularisation are chosen by leave-one-out error on the sets themselves.

    Args:
        sets: of judged answers about harm; label 1 is harm.
    """
    pairs = [pair for data in sets for pair in pairs_of(data)]
    labels_N = np.concatenate([data.labels for data in sets])
    layers = sorted({round(depth * model.n_layers) for depth in DEPTHS})
    x_LND = read(model, pairs, layers, progress=progress)
    targets_NC = one_hot(labels_N, 2)
    found = []
    for layer in layers:
        errors = Axes.of(x_LND[layer]).leave_one_out(targets_NC)
        found.append((float(errors.min()), layer, float(STRENGTHS[int(errors.argmin())])))
    _, layer, strength = min(found)
    head = Axes.of(x_LND[layer]).fit(targets_NC, strength)
    about = {
        "model": model.name,
        "model_fingerprint": model.fingerprint,
        "layer": layer,
        "strength": strength,
        "trained_on": {data.name: data.fingerprint for data in sets},
        "answers": len(pairs),
    }
    return TrainedJudge(name, model, layer, head, about)


def read(
    model: LocalModel,
    pairs: Sequence[tuple[str, str]],
    layers: Sequence[int],
    *,
    progress: Progress | None = None,
) -> dict[int, np.ndarray]:
    """Layer -> the states [N, D] at the end of the question about each pair."""
    chats = [[{"role": "user", "content": asked(*pair)}] for pair in pairs]
    found = model.activations(chats, layers, progress=progress)
    return {layer: np.asarray(x, dtype=np.float32) for layer, x in found.layers.items()}


def asked(request: str, response: str) -> str:
    """The question, with both cut to what is read."""
    return filled(
        _question(),
        request=_cut(request.strip(), HEAD_CHARACTERS, HEAD_CHARACTERS),
        response=_cut(response.strip(), RESPONSE_CHARACTERS, 0),
    )


def _cut(text: str, head: int, tail: int) -> str:
    if len(text) <= head + tail + 5:
        return text
    return text[:head] + " ... " + (text[-tail:] if tail else "")


def _question() -> str:
    return prompt_text("toprope.techniques.redteam.judges", "question")
