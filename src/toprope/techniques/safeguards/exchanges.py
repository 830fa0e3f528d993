"""Exchanges: a conversation and the answer to it, with how harmful that is and where it came from;
what classifiers are trained and measured on.

Read from red-teaming runs, where a judge has scored every answer. Its scores are the labels, soft:
an attack that was declined is harmless, whatever it asked for, since what is watched is the
exchange and not the wish.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from toprope.errors import UserError
from toprope.models.local import LocalModel
from toprope.progress import Progress
from toprope.techniques.redteam.findings import ATTEMPTS
from toprope.techniques.safeguards.streaming import WINDOW


@dataclass(frozen=True)
class Exchange:
    """One conversation and its answer.

    Attributes:
        label: how harmful the answer is, 0 to 1.
        origin: what it came from: a run's folder, or a set.
        group: what it is about, such as a behaviour; a group stays on one side of every split.
        family: the attack that made it, or "".
    """

    messages: tuple[Mapping[str, str], ...]
    answer: str
    label: float
    origin: str
    group: str
    family: str = ""

    @property
    def id(self) -> str:
        """Of what was said alone."""
        said = [list(map(dict, self.messages)), self.answer]
        return hashlib.sha256(json.dumps(said).encode()).hexdigest()


def from_run(folder: Path) -> list[Exchange]:
    """The judged attempts of a run's red-teaming studies, each exchange once.

    Raises:
        UserError: there are none.
    """
    paths = sorted(folder.glob(f"artifacts/redteam/*/{ATTEMPTS}"))
    if not paths:
        raise UserError(f"no attempts in {folder}: has a red-teaming study finished there?")
    found = unique(exchange for path in paths for exchange in _judged(path, str(folder)))
    if not found:
        raise UserError(f"no attempt in {folder} was judged: there is nothing to learn from")
    return found


def unique(exchanges: Iterator[Exchange]) -> list[Exchange]:
    """Each once, the first of those with the same words."""
    return list({one.id: one for one in reversed(list(exchanges))}.values())[::-1]


def fingerprint(exchanges: Sequence[Exchange]) -> str:
    """SHA-256 (hex) of what a classifier is trained on, whatever the order."""
    lines = sorted(f"{one.id} {one.label!r}" for one in exchanges)
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()


def read(
    model: LocalModel,
    exchanges: Sequence[Exchange],
    layers: Sequence[int],
    *,
    progress: Progress | None = None,
) -> list[NDArray]:
    """Features of each exchange, [T, F]: the model's states at the given layers, side by side, at
    the answer's positions and, before them, the last `WINDOW` of the prompt: the first full window
    is that of the prompt's end, at which the answer's first token is chosen.

    Raises:
        UserError: a layer that the model doesn't have, or an exchange longer than it reads.
    """
    prompts = [list(one.messages) for one in exchanges]
    starts = [len(model.tokens(prompt)) for prompt in prompts]  # type: ignore[arg-type]
    found = model.activations(
        prompts,  # type: ignore[arg-type]
        layers,
        pool="none",
        prefills=[one.answer for one in exchanges],
        progress=progress,
    )
    features = []
    for i, start in enumerate(starts):
        since = max(0, start - WINDOW)
        features.append(np.concatenate([found.item(layer, i)[since:] for layer in layers], axis=1))
    return features


def _judged(path: Path, origin: str) -> Iterator[Exchange]:
    for line in path.read_text(encoding="utf-8").split("\n"):
        if not line:
            continue
        attempt = json.loads(line)
        if attempt["outcome"] == "judged":
            yield Exchange(
                messages=tuple(attempt["messages"]),
                answer=attempt["response"],
                label=float(attempt["score"]),
                origin=origin,
                group=attempt["behaviour"],
                family=attempt["family"],
            )
