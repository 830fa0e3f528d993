"""A trained scorer's scores of a finished labelling: each latent by a head that was trained on the
labels and windows of the others; and the control, by heads that were trained on other latents'
labels throughout, and so use whatever a window gives away without its label.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from toprope.data.seeding import named_rng
from toprope.progress import Progress, Task
from toprope.statistics import LEVEL
from toprope.techniques.interpretability.examples import LatentExamples
from toprope.techniques.interpretability.labels.features import Features
from toprope.techniques.interpretability.labels.labelling import Labelled
from toprope.techniques.interpretability.labels.measures import LatentScore, latent_score, truths
from toprope.techniques.interpretability.labels.scorers.scorer import (
    Item,
    Verdict,
    detection_items,
)
from toprope.techniques.interpretability.labels.trained import FEWEST, crossfit


async def with_trained(
    labelled: Labelled,
    name: str,
    features: Features,
    examples: Callable[[int], LatentExamples],
    *,
    seed: int,
    level: float = LEVEL,
    progress: Progress | None = None,
) -> Labelled:
    """The labelling with a trained scorer's scores, by its name, beside the others'; none where
    there are too few labels to learn from some and score others."""
    texts = {latent: label.text for latent, label in labelled.labels.items() if label.text}
    items = {
        latent: detection_items(examples(latent), named_rng(seed, "items", name, str(latent)))
        for latent in texts
    }
    both = {latent: some for latent, some in items.items() if len(set(truths(some))) == 2}

    async def scores(labels: Mapping[int, str]) -> dict[int, LatentScore]:
        read = {latent: label for latent, label in labels.items() if latent in both}
        if len(read) <= FEWEST:
            return {}
        shown = progress or Progress(quiet=True)
        with shown.task(f"scoring ({name})", len(read)) as task:
            # The same folds each time.
            rng = named_rng(seed, "folds", name)
            verdicts = await crossfit(_Shown(features, task), read, both, rng=rng)
        return _scores(verdicts, both, level)

    return replace(
        labelled,
        scores={**labelled.scores, name: await scores(texts)},
        controls={**labelled.controls, name: await scores(labelled.controlled_by)},
    )


@dataclass(frozen=True)
class _Shown:
    """Features that tell how far they are."""

    features: Features
    task: Task

    async def of(self, label: str, items: Sequence[Item]) -> np.ndarray:
        found = await self.features.of(label, items)
        self.task.advance(1)
        return found


def _scores(
    verdicts: Mapping[int, Sequence[Verdict]], items: Mapping[int, Sequence[Item]], level: float
) -> dict[int, LatentScore]:
    return {
        latent: latent_score(latent, items[latent], some, level=level)
        for latent, some in verdicts.items()
    }
