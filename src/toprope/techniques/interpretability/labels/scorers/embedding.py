"""The embedding scorer (after Delphi's): the cosine of the label's and the window's sentence
embeddings. It costs one short pass of a small encoder, and knows of words and subjects alone."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from toprope.models.embedding import embedded, of_length_one
from toprope.models.together import Together
from toprope.techniques.interpretability.examples import LatentExamples
from toprope.techniques.interpretability.labels.prompting import one_line
from toprope.techniques.interpretability.labels.scorers.asking import TOGETHER, digest
from toprope.techniques.interpretability.labels.scorers.scorer import (
    Item,
    Negatives,
    Verdict,
    detection_items,
    named,
)

if TYPE_CHECKING:
    from toprope.models.local import LocalModel

MOST_KNOWN = 20_000
"""Embeddings that are remembered: a window is read again with the label of another latent."""


class Embedder:
    """Sentence embeddings of length one, asked for by many at once."""

    def __init__(self, model: LocalModel) -> None:
        self.model = model
        self._together: Together[str, np.ndarray] = Together(self._embedded, TOGETHER)
        self._known: dict[str, np.ndarray] = {}

    async def of(self, texts: Sequence[str]) -> np.ndarray:
        """[N, D]."""
        found = await asyncio.gather(*(self._one(text) for text in texts))
        return np.stack(found)

    async def _one(self, text: str) -> np.ndarray:
        if text not in self._known:
            vector_D = await self._together(text)
            if len(self._known) >= MOST_KNOWN:
                self._known.clear()
            self._known[text] = vector_D
            return vector_D
        return self._known[text]

    def _embedded(self, texts: Sequence[str]) -> list[np.ndarray]:
        # A text without a token has no embedding; a full stop says as little.
        return list(of_length_one(embedded(self.model, [text.strip() or "." for text in texts])))


@dataclass(frozen=True)
class EmbeddingScorer:
    """Cosines. Where to cut is learned from other latents (`measures.cuts`)."""

    embedder: Embedder
    negatives: Negatives = "hard"
    needs_label: bool = field(default=True, init=False)

    @property
    def name(self) -> str:
        return named("embedding", self.negatives)

    @property
    def fingerprint(self) -> str:
        return digest(self.embedder.model.fingerprint, self.negatives)

    def items(self, examples: LatentExamples, rng: np.random.Generator) -> list[Item]:
        return detection_items(examples, rng, self.negatives)

    async def score(self, label: str, items: Sequence[Item]) -> list[Verdict]:
        if not items:
            return []
        x_ND = await self.embedder.of([label, *(one_line(item.window.text) for item in items)])
        return [Verdict(float(cosine), None) for cosine in x_ND[1:] @ x_ND[0]]
