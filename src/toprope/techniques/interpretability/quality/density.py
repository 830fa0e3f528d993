"""How often a dictionary's latents are active: dead ones, dense ones, and the spread between.

"Dead" says little without the number of tokens: a latent that wasn't active on N of them may still
be active once in N / 3. So each count comes with its tokens and with the highest rate that such a
latent may have (Clopper and Pearson 1934; 3 / N is its shortcut, the "rule of three", Hanley and
Lippman-Hand 1983). That takes tokens as independent; those of a document aren't quite, so that the
true bound is somewhat higher. Dense latents (active on over a tenth of tokens, Cunningham et al.
2023, arXiv 2309.08600) tend to carry position and norm more than meaning.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from toprope.errors import UserError
from toprope.progress import Progress
from toprope.techniques.interpretability.dictionaries.dictionary import Dictionary
from toprope.techniques.interpretability.quality.measure import Measure, Rows, share

DENSE = 0.1
"""The rate above which a latent counts as dense."""


@dataclass(frozen=True)
class Density:
    """Rates over `tokens` tokens.

    Attributes:
        active_F: int64, on how many tokens each latent was active.
        dead, dense: shares of the latents; the intervals take latents as drawn at random from
            those that such training gives.
        dead_rate_at_most: with 95% confidence, the highest rate of a latent that was never active.
        edges_B, counts_B: a histogram of log10 of the rates of latents that aren't dead.
    """

    active_F: NDArray[np.int64]
    tokens: int
    dead: Measure
    dense: Measure
    dead_rate_at_most: float
    edges_B: NDArray[np.float64]
    counts_B: NDArray[np.int64]

    @property
    def rates_F(self) -> NDArray[np.float64]:
        return self.active_F / self.tokens


@torch.no_grad()
def density(
    dictionary: Dictionary, rows: Rows, *, total: int = 0, progress: Progress | None = None
) -> Density:
    """Counts each latent's active rows.

    Args:
        total: how many rows there are, for the progress.

    Raises:
        UserError: no rows.
    """
    active_F = np.zeros(dictionary.width, dtype=np.int64)
    tokens = 0
    with (progress or Progress(quiet=True)).task("counting active latents", total) as task:
        for x_BD, _ in rows:
            codes = dictionary.encode(x_BD.to(dictionary.decoder_FD.device))
            latents = codes.latents_BK[codes.values_BK > 0]
            active_F += torch.bincount(latents, minlength=dictionary.width).cpu().numpy()
            tokens += len(x_BD)
            task.advance(len(x_BD))
    return of_counts(active_F, tokens)


def of_counts(active_F: NDArray[np.int64], tokens: int, *, bins: int = 30) -> Density:
    """The same from counts that were taken elsewhere, as training does.

    Raises:
        UserError: no tokens.
    """
    if tokens == 0:
        raise UserError("no tokens: how often latents are active can't be told; give held-out rows")
    width = len(active_F)
    rates = active_F[active_F > 0] / tokens
    counts_B, edges_B = np.histogram(np.log10(rates), bins=bins, range=(np.log10(1 / tokens), 0))
    return Density(
        active_F=active_F,
        tokens=tokens,
        dead=share(int((active_F == 0).sum()), width),
        dense=share(int((active_F > DENSE * tokens).sum()), width),
        dead_rate_at_most=float(-np.expm1(np.log(0.05) / tokens)),
        edges_B=edges_B,
        counts_B=counts_B,
    )
