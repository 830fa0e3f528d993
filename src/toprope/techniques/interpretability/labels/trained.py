"""The trained scorer: no chat model is asked, but a linear head reads features of a label and a
window (`features.py`). It's trained on the windows of other latents, and by them alone knows what
it means that a label fits.

Latents never are on both sides: `crossfit` scores each by a head that saw none of its items.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence

import numpy as np

from toprope.errors import UserError
from toprope.models.heads import STRENGTHS, Axes, Head, one_hot
from toprope.techniques.interpretability.labels.features import Features
from toprope.techniques.interpretability.labels.measures import truths
from toprope.techniques.interpretability.labels.scorers.scorer import Item, Verdict

FEWEST = 4
"""Latents that a head is trained on, at least."""


async def crossfit(
    features: Features,
    labels: Mapping[int, str],
    items: Mapping[int, Sequence[Item]],
    *,
    rng: np.random.Generator,
    folds: int = 5,
) -> dict[int, list[Verdict]]:
    """Verdicts on every latent's items, each by a head trained on the other folds' latents.

    Raises:
        UserError: there are too few latents.
    """
    latents = sorted(latent for latent in labels if items.get(latent))
    if len(latents) <= FEWEST:
        raise UserError(
            f"the trained scorer learns from {FEWEST} labelled latents to score another, and there "
            f"are {len(latents)} in all"
        )
    found = await asyncio.gather(*(features.of(labels[one], items[one]) for one in latents))
    x = dict(zip(latents, found, strict=True))
    folds = min(folds, len(latents))
    if len(latents) - -(-len(latents) // folds) < FEWEST:
        folds = len(latents)
    fold_S = rng.permutation(len(latents)) % folds
    verdicts: dict[int, list[Verdict]] = {}
    for fold in range(folds):
        out = {one for one, of in zip(latents, fold_S, strict=True) if of == fold}
        head = _fitted({one: x[one] for one in latents if one not in out}, items)
        verdicts |= {one: _verdicts(head, x[one]) for one in out}
    return verdicts


def _fitted(x: Mapping[int, np.ndarray], items: Mapping[int, Sequence[Item]]) -> Head:
    x_ND = np.concatenate([x[latent] for latent in x])
    truth_N = np.array([int(truth) for latent in x for truth in truths(items[latent])])
    targets_NC = one_hot(truth_N, 2)
    axes = Axes.of(x_ND)
    strength = float(STRENGTHS[int(axes.leave_one_out(targets_NC).argmin())])
    return axes.fit(targets_NC, strength)


def _verdicts(head: Head, x_ND: np.ndarray) -> list[Verdict]:
    return [Verdict(float(p), bool(p >= 0.5)) for p in head.probs(x_ND)[:, 1]]
