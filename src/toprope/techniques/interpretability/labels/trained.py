"""The trained scorer: no chat model, but a linear head on sentence embeddings of a label and a
window, or on a local model's state behind the question about them. It's trained on the windows of
other latents, and by them alone knows what it means that a label fits.

Latents never are on both sides: `crossfit` scores each by a head that saw none of its items.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

import numpy as np

from toprope.errors import UserError
from toprope.models.heads import STRENGTHS, Axes, Head, one_hot
from toprope.models.together import Together
from toprope.techniques.interpretability.examples import LatentExamples
from toprope.techniques.interpretability.labels.prompting import (
    one_line,
    prompt,
    prompt_text,
    user,
)
from toprope.techniques.interpretability.labels.scorers.asking import TOGETHER, digest
from toprope.techniques.interpretability.labels.scorers.embedding import Embedder
from toprope.techniques.interpretability.labels.scorers.scorer import (
    Item,
    Negatives,
    Verdict,
    detection_items,
    named,
)

if TYPE_CHECKING:
    from toprope.models.local import LocalModel

FEWEST = 4
"""Latents that a head is trained on, at least."""


class Features(Protocol):
    """What the head reads of a label and windows."""

    @property
    def fingerprint(self) -> str: ...

    async def of(self, label: str, items: Sequence[Item]) -> np.ndarray:
        """[N, D]."""
        ...


@dataclass(frozen=True)
class EmbeddingFeatures:
    """Of the two embeddings u and v: their cosine, u * v and |u - v| (Conneau et al. 2017, arXiv
    1705.02364)."""

    embedder: Embedder

    @property
    def fingerprint(self) -> str:
        return digest("embedding", self.embedder.model.fingerprint)

    async def of(self, label: str, items: Sequence[Item]) -> np.ndarray:
        x_ND = await self.embedder.of([label, *(one_line(item.window.text) for item in items)])
        u_D, v_ND = x_ND[0], x_ND[1:]
        return np.concatenate([(v_ND @ u_D)[:, None], u_D * v_ND, np.abs(u_D - v_ND)], axis=1)


@dataclass(frozen=True)
class StateFeatures:
    """A local model's last state at a layer, behind the question of detection.

    Attributes:
        layer: of the model; two thirds of its depth by default, where probes read best.
    """

    model: LocalModel
    layer: int | None = None
    _together: Together[str, np.ndarray] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_together", Together(self._states, TOGETHER))

    @property
    def fingerprint(self) -> str:
        return digest("state", self.model.fingerprint, self._layer, prompt_text("detection_one"))

    @property
    def _layer(self) -> int:
        return round(self.model.n_layers * 2 / 3) if self.layer is None else self.layer

    async def of(self, label: str, items: Sequence[Item]) -> np.ndarray:
        asked = [
            prompt("detection_one", label=label, window=one_line(item.window.text))
            for item in items
        ]
        return np.stack(await asyncio.gather(*(self._together(text) for text in asked)))

    def _states(self, asked: Sequence[str]) -> list[np.ndarray]:
        chats = bool(self.model.tokenizer.chat_template)
        prompts = [user(text) if chats else text for text in asked]
        read = self.model.activations(prompts, [self._layer])
        return list(np.asarray(read.layers[self._layer], dtype=np.float64))


@dataclass(frozen=True)
class TrainedScorer:
    """The probability, by the head, that a label fits a window.

    Attributes:
        trained_on: the latents; it isn't to score these.
    """

    features: Features
    head: Head
    trained_on: frozenset[int]
    negatives: Negatives = "hard"
    needs_label: bool = field(default=True, init=False)

    @property
    def name(self) -> str:
        return named("trained", self.negatives)

    @property
    def fingerprint(self) -> str:
        weights = [np.asarray(self.head.weight_DC).tobytes(), sorted(self.trained_on)]
        return digest(self.features.fingerprint, weights, self.negatives)

    def items(self, examples: LatentExamples, rng: np.random.Generator) -> list[Item]:
        """
        Raises:
            ValueError: the head was trained on this latent.
        """
        if examples.latent in self.trained_on:
            raise ValueError(f"the scorer was trained on latent {examples.latent}")
        return detection_items(examples, rng, self.negatives)

    async def score(self, label: str, items: Sequence[Item]) -> list[Verdict]:
        if not items:
            return []
        probs_NC = self.head.probs(await self.features.of(label, items))
        return [Verdict(float(p), bool(p >= 0.5)) for p in probs_NC[:, 1]]


async def train(
    features: Features,
    labels: Mapping[int, str],
    items: Mapping[int, Sequence[Item]],
    negatives: Negatives = "hard",
) -> TrainedScorer:
    """A scorer trained on latents' labels and items.

    Raises:
        UserError: there are too few latents.
    """
    latents = sorted(latent for latent in labels if items.get(latent))
    if len(latents) < FEWEST:
        raise UserError(
            f"the trained scorer learns from {FEWEST} labelled latents or more, and there are "
            f"{len(latents)}"
        )
    read = await asyncio.gather(*(features.of(labels[latent], items[latent]) for latent in latents))
    return _fitted(features, dict(zip(latents, read, strict=True)), items, negatives)


async def crossfit(
    features: Features,
    labels: Mapping[int, str],
    items: Mapping[int, Sequence[Item]],
    *,
    rng: np.random.Generator,
    folds: int = 5,
    controls: Mapping[int, str] | None = None,
) -> tuple[dict[int, list[Verdict]], dict[int, list[Verdict]]]:
    """Verdicts on every latent's items, each by a head trained on the other folds' latents; then
    the same with `controls`, other latents' labels, which no head is trained on.

    Raises:
        UserError: there are too few latents.
    """
    latents = sorted(latent for latent in labels if items.get(latent))
    if len(latents) <= FEWEST:
        raise UserError(
            f"the trained scorer learns from {FEWEST} labelled latents to score another, and there "
            f"are {len(latents)} in all"
        )

    async def read(texts: Mapping[int, str]) -> dict[int, np.ndarray]:
        some = [latent for latent in latents if latent in texts]
        found = await asyncio.gather(*(features.of(texts[one], items[one]) for one in some))
        return dict(zip(some, found, strict=True))

    x, control_x = await read(labels), await read(controls or {})
    folds = min(folds, len(latents))
    if len(latents) - -(-len(latents) // folds) < FEWEST:
        folds = len(latents)
    fold_S = rng.permutation(len(latents)) % folds
    verdicts: dict[int, list[Verdict]] = {}
    control_verdicts: dict[int, list[Verdict]] = {}
    for fold in range(folds):
        out = {one for one, of in zip(latents, fold_S, strict=True) if of == fold}
        trained = _fitted(features, {one: x[one] for one in latents if one not in out}, items)
        for one in out:
            verdicts[one] = _verdicts(trained.head, x[one])
            if one in control_x:
                control_verdicts[one] = _verdicts(trained.head, control_x[one])
    return verdicts, control_verdicts


def _fitted(
    features: Features,
    x: Mapping[int, np.ndarray],
    items: Mapping[int, Sequence[Item]],
    negatives: Negatives = "hard",
) -> TrainedScorer:
    x_ND = np.concatenate([x[latent] for latent in x])
    truth_N = np.array([int(item.truth) for latent in x for item in items[latent]])
    targets_NC = one_hot(truth_N, 2)
    axes = Axes.of(x_ND)
    strength = float(STRENGTHS[int(axes.leave_one_out(targets_NC).argmin())])
    return TrainedScorer(features, axes.fit(targets_NC, strength), frozenset(x), negatives)


def _verdicts(head: Head, x_ND: np.ndarray) -> list[Verdict]:
    return [Verdict(float(p), bool(p >= 0.5)) for p in head.probs(x_ND)[:, 1]]
