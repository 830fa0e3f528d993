"""The trained scorer's scores of a finished labelling: each latent by a head that was trained on
the labels and windows of the others, beside its control by another's label."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

from toprope.data.seeding import named_rng
from toprope.statistics import LEVEL
from toprope.techniques.interpretability.examples import LatentExamples
from toprope.techniques.interpretability.labels.labelling import Labelled
from toprope.techniques.interpretability.labels.measures import LatentScore, latent_score, truths
from toprope.techniques.interpretability.labels.scorers.scorer import (
    Item,
    Verdict,
    detection_items,
)
from toprope.techniques.interpretability.labels.trained import FEWEST, Features, crossfit

TRAINED = "trained"


async def with_trained(
    labelled: Labelled,
    features: Features,
    examples: Callable[[int], LatentExamples],
    *,
    seed: int,
    level: float = LEVEL,
) -> Labelled:
    """The labelling with the trained scorer's scores beside the others'; none where there are too
    few labels to learn from some and score others."""
    texts = {latent: label.text for latent, label in labelled.labels.items() if label.text}
    items = {
        latent: detection_items(examples(latent), named_rng(seed, "items", TRAINED, str(latent)))
        for latent in texts
    }
    both = {latent: some for latent, some in items.items() if len(set(truths(some))) == 2}
    if len(both) <= FEWEST:
        return _with(labelled, {}, {})
    own, control = await crossfit(
        features,
        {latent: texts[latent] for latent in both},
        both,
        rng=named_rng(seed, "folds", TRAINED),
        controls={k: v for k, v in labelled.controlled_by.items() if k in both},
    )
    return _with(labelled, _scores(own, both, level), _scores(control, both, level))


def _with(
    labelled: Labelled, scores: dict[int, LatentScore], controls: dict[int, LatentScore]
) -> Labelled:
    return replace(
        labelled,
        scores={**labelled.scores, TRAINED: scores},
        controls={**labelled.controls, TRAINED: controls},
    )


def _scores(
    verdicts: Mapping[int, Sequence[Verdict]], items: Mapping[int, Sequence[Item]], level: float
) -> dict[int, LatentScore]:
    return {
        latent: latent_score(latent, items[latent], some, level=level)
        for latent, some in verdicts.items()
    }
