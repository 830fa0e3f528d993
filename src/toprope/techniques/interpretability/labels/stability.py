"""A label's stability: whether other draws of examples, or a paraphrase, lead to the same label.

Labels of one latent are compared by the cosine of their sentence embeddings, against labels of
different latents: an embedding finds any two labels somewhat alike.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from toprope.errors import UserError
from toprope.statistics import LEVEL, Interval, bootstrap_clustered, bootstrap_paired
from toprope.techniques.interpretability.labels.scorers.embedding import Embedder


@dataclass(frozen=True)
class Stability:
    """Over latents that have two labels or more.

    Attributes:
        same: the mean cosine between labels of one latent.
        different: the mean cosine between labels of a latent and those of others.
        gap: same - different, by latent.
        found: the share of latents whose other labels are nearest to it among all latents' labels.
        chance: that share without information.
        cosines: by latent, the mean between its own labels.
    """

    same: Interval
    different: Interval
    gap: Interval
    found: Interval
    chance: float
    cosines: Mapping[int, float]


async def stability(
    labels: Mapping[int, Sequence[str]],
    embedder: Embedder,
    *,
    rng: np.random.Generator,
    level: float = LEVEL,
) -> Stability:
    """
    Args:
        labels: of each latent, from different draws (`ExplainerSettings.seed`) or paraphrases
            (`explainer.paraphrase`); as many of each.

    Raises:
        UserError: there are fewer than two latents with two labels.
    """
    with_two = {latent: some for latent, some in labels.items() if len(some) >= 2}
    if len(with_two) < 2:
        raise UserError(
            "a label's stability needs two labels each of two latents or more: label with more "
            "seeds, or more latents"
        )
    latents = sorted(with_two)
    owners_N = np.repeat(latents, [len(with_two[latent]) for latent in latents])
    x_ND = await embedder.of([label for latent in latents for label in with_two[latent]])
    cosines_NN = x_ND @ x_ND.T
    own_NN = owners_N[:, None] == owners_N
    self_NN = np.eye(len(owners_N), dtype=bool)
    same, different, found = [], [], []
    for latent in latents:
        mine_N = owners_N == latent
        rows_MN = cosines_NN[mine_N]
        same.append(float(rows_MN[own_NN[mine_N] & ~self_NN[mine_N]].mean()))
        different.append(float(rows_MN[~own_NN[mine_N]].mean()))
        # By the first label alone: its nearest other label is of the same latent.
        first = int(np.flatnonzero(mine_N)[0])
        nearest = int(np.where(self_NN[first], -np.inf, cosines_NN[first]).argmax())
        found.append(float(own_NN[first, nearest]))
    others = [len(with_two[latent]) - 1 for latent in latents]
    return Stability(
        same=bootstrap_clustered(same, latents, rng=rng, level=level),
        different=bootstrap_clustered(different, latents, rng=rng, level=level),
        gap=bootstrap_paired(same, different, latents, rng=rng, level=level),
        found=bootstrap_clustered(found, latents, rng=rng, level=level),
        chance=float(np.mean(others)) / (len(owners_N) - 1),
        cosines=dict(zip(latents, same, strict=True)),
    )
