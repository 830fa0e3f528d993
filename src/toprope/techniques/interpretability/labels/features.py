"""Features: what the trained scorer's head reads of a label and windows.

None depends on which window it is, where the latent fires in it, or whether it's true: only on what
its text says and what the label says.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cache
from importlib.resources import files
from typing import TYPE_CHECKING, Protocol

import numpy as np

from toprope.models.together import Together
from toprope.techniques.interpretability.labels.prompting import (
    one_line,
    plain,
    prompt,
    user,
)
from toprope.techniques.interpretability.labels.scorers.asking import TOGETHER
from toprope.techniques.interpretability.labels.scorers.embedding import Embedder
from toprope.techniques.interpretability.labels.scorers.scorer import Item

if TYPE_CHECKING:
    from toprope.models.local import LocalModel

QUOTED = re.compile(r"[\"\u201c](.+?)[\"\u201d](?=[\s,.;:)]|$)")
"""What a label quotes; a quote that is quoted too."""

SHORTEST = 3
"""Letters of a word that is looked for, where a label quotes nothing."""


class Features(Protocol):
    """What the head reads."""

    async def of(self, label: str, items: Sequence[Item]) -> np.ndarray:
        """[N, D]."""
        ...


@dataclass(frozen=True)
class CosineFeatures:
    """The cosine of the label's and the window's sentence embeddings. Their products and
    differences would be hundreds of features, which as few latents as are labelled can't teach."""

    embedder: Embedder

    async def of(self, label: str, items: Sequence[Item]) -> np.ndarray:
        x_ND = await self.embedder.of([label, *(one_line(item.window.text) for item in items)])
        return (x_ND[1:] @ x_ND[0])[:, None]


@dataclass(frozen=True)
class LexicalFeatures:
    """Which of the words that a label names are in a window: for each of the first `most` whether
    it is, the share that are, whether any is, and the logarithm of one more than how often.

    A word is found as a token, or as a word that several tokens spell.
    """

    most: int = 5

    async def of(self, label: str, items: Sequence[Item]) -> np.ndarray:
        named = words_of(label)[: self.most]
        return np.array([self._one(named, item) for item in items])

    def _one(self, named: Sequence[str], item: Item) -> list[float]:
        text = item.window.text.lower()
        tokens = [plain(token) for token in item.window.tokens]
        spelled = re.findall(r"\w+", text)
        times = [
            text.count(word) if " " in word else max(tokens.count(word), spelled.count(word))
            for word in named
        ]
        there = [float(count > 0) for count in times]
        padded = there + [0.0] * (self.most - len(there))
        share = sum(there) / max(1, len(there))
        return [*padded, share, float(any(there)), float(np.log1p(sum(times)))]


def words_of(label: str) -> list[str]:
    """What a label names, each once and in its order: what it quotes, or else its words without
    those that any text has."""
    found = [plain(one) for one in QUOTED.findall(label)]
    if not any(found):
        words = re.findall(r"\w+", label.lower())
        found = [one for one in words if len(one) >= SHORTEST and one not in _stop_words()]
    return list(dict.fromkeys(one for one in found if one))


@dataclass(frozen=True)
class StateFeatures:
    """A local model's last state behind the question of detection, at two thirds of its depth,
    where probes read best."""

    model: LocalModel
    _together: Together[str, np.ndarray] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_together", Together(self._states, TOGETHER))

    async def of(self, label: str, items: Sequence[Item]) -> np.ndarray:
        asked = [
            prompt("detection_one", label=label, window=one_line(item.window.text))
            for item in items
        ]
        return np.stack(await asyncio.gather(*(self._together(text) for text in asked)))

    def _states(self, asked: Sequence[str]) -> list[np.ndarray]:
        chats = bool(self.model.tokenizer.chat_template)
        prompts = [user(text) if chats else text for text in asked]
        layer = round(self.model.n_layers * 2 / 3)
        read = self.model.activations(prompts, [layer])
        return list(np.asarray(read.layers[layer], dtype=np.float64))


@dataclass(frozen=True)
class Joined:
    """The features of several, side by side."""

    parts: tuple[Features, ...]

    async def of(self, label: str, items: Sequence[Item]) -> np.ndarray:
        found = await asyncio.gather(*(part.of(label, items) for part in self.parts))
        return np.concatenate(found, axis=1)


@cache
def _stop_words() -> frozenset[str]:
    path = files("toprope.techniques.interpretability.labels").joinpath("stop_words.txt")
    return frozenset(path.read_text(encoding="utf-8").split())
