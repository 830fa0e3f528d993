"""How much of a label hangs on the windows that the explainer happened to see, and how much on its
words: some latents are explained again from other windows, and their labels put in other words."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from toprope.progress import Progress
from toprope.techniques.interpretability.examples import LatentExamples
from toprope.techniques.interpretability.labels.explainer import (
    Explainer,
    paraphrase,
)
from toprope.techniques.interpretability.labels.scorers.embedding import Embedder
from toprope.techniques.interpretability.labels.stability import Stability, stability

AGAIN = 2
"""Explanations of a latent besides the first."""


@dataclass(frozen=True)
class Restated:
    """Each None where fewer than two latents got a second label.

    Attributes:
        reseeded: labels from other draws of windows.
        paraphrased: a label and its paraphrase, which says what a mere change of words does to the
            cosine: no label can be expected to be more stable than that.
    """

    reseeded: Stability | None
    paraphrased: Stability | None


async def restated(
    explainer: Explainer,
    labels: Mapping[int, str],
    examples: Callable[[int], LatentExamples],
    embedder: Embedder,
    *,
    rng: np.random.Generator,
    progress: Progress | None = None,
) -> Restated:
    """
    Args:
        explainer: who wrote the labels. It's shown the same output sides again, and other windows.
        labels: of some latents.
    """
    shown = progress or Progress(quiet=True)
    seeds = range(explainer.settings.seed + 1, explainer.settings.seed + 1 + AGAIN)
    explainers = [explainer.reseeded(seed) for seed in seeds]
    with shown.task("explaining again", len(labels)) as task:

        async def one(latent: int) -> tuple[list[str], list[str]]:
            seen = examples(latent)
            again = [(await one.label(seen)).text for one in explainers]
            other = (await paraphrase(explainer.chat, labels[latent])).text
            task.advance(1)
            return [one for one in again if one], [other] if other else []

        found = await asyncio.gather(*map(one, labels))
    reseeded = {k: [labels[k], *again] for k, (again, _) in zip(labels, found, strict=True)}
    paraphrased = {k: [labels[k], *other] for k, (_, other) in zip(labels, found, strict=True)}
    return Restated(
        await _measured(reseeded, embedder, rng), await _measured(paraphrased, embedder, rng)
    )


async def _measured(
    labels: Mapping[int, Sequence[str]], embedder: Embedder, rng: np.random.Generator
) -> Stability | None:
    if sum(len(some) > 1 for some in labels.values()) < 2:
        return None
    return await stability(labels, embedder, rng=rng)
