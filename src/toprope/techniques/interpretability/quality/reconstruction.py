"""How well a dictionary's codes give activations back: L0, the fraction of variance unexplained
(FVU), explained variance and cosine, on held-out rows.

FVU = sum of squared errors / sum of squared deviations from the rows' mean, over rows and channels
together, on standardised activations; `raw_fvu` is the same in the model's own units, where a few
channels with large variance count for most. 1 is what predicting the mean gives. What the error
does to the model's output is in `spliced.py`.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch

from toprope.progress import Progress
from toprope.resampling import Floats
from toprope.techniques.interpretability.dictionaries.dictionary import Dictionary
from toprope.techniques.interpretability.quality.measure import Measure, Rows, Sums, of_sums
from toprope.techniques.interpretability.quality.raw_units import check_reconstructs

_SUMMED = ("rows", "active", "error", "square", "raw_error", "raw_square", "cosine")


@dataclass(frozen=True)
class Reconstruction:
    """Each with its interval over documents.

    Attributes:
        l0: latents active on a row.
        explained_variance: 1 - fvu.
        cosine: between row and reconstruction, standardised, the mean over rows.
    """

    l0: Measure
    fvu: Measure
    explained_variance: Measure
    raw_fvu: Measure
    raw_explained_variance: Measure
    cosine: Measure
    rows: int
    documents: int


@torch.no_grad()
def reconstruction(
    dictionary: Dictionary,
    rows: Rows,
    *,
    rng: np.random.Generator,
    total: int = 0,
    progress: Progress | None = None,
) -> Reconstruction:
    """Encodes and decodes held-out rows once.

    Args:
        total: how many rows there are, for the progress.

    Raises:
        UserError: a transcoder, or rows of fewer than two documents.
    """
    check_reconstructs(dictionary)
    scale_D = dictionary.scale_D.double()
    sums = Sums()
    with (progress or Progress(quiet=True)).task("reconstructing", total) as task:
        for x_BD, documents_B in rows:
            x_BD = x_BD.to(scale_D.device)
            codes = dictionary.encode(x_BD)
            there_BD, back_BD = x_BD.double(), dictionary.decode(codes).double()
            error_BD = there_BD - back_BD
            of = {
                "rows": torch.ones_like(there_BD[:, 0]),
                "active": (codes.values_BK > 0).sum(1),
                "error": (error_BD**2).sum(1),
                "square": (there_BD**2).sum(1),
                "raw_error": ((error_BD * scale_D) ** 2).sum(1),
                "raw_square": ((there_BD * scale_D) ** 2).sum(1),
                "cosine": torch.cosine_similarity(there_BD, back_BD, dim=1),
            }
            columns = [of[name].double()[:, None] for name in _SUMMED]
            sums.add(documents_B, torch.cat([*columns, there_BD], dim=1))
            task.advance(len(x_BD))
    return _measured(sums.of_documents(), scale_D.cpu().numpy(), rng)


def _measured(sums_GS: Floats, scale_D: Floats, rng: np.random.Generator) -> Reconstruction:
    rows, active, error, square, raw_error, raw_square, cosine = range(len(_SUMMED))
    channels = slice(len(_SUMMED), None)

    def fvu(error_at: int, square_at: int, unit_D: Floats):
        def function(sums_RS: Floats) -> Floats:
            # The squares of deviations from the resample's own mean.
            total_R = ((sums_RS[:, channels] * unit_D) ** 2).sum(1) / sums_RS[:, rows]
            return sums_RS[:, error_at] / (sums_RS[:, square_at] - total_R)

        return of_sums(sums_GS, function, rng=rng)

    def mean(at: int) -> Measure:
        return of_sums(sums_GS, lambda sums_RS: sums_RS[:, at] / sums_RS[:, rows], rng=rng)

    standard, raw = fvu(error, square, np.ones_like(scale_D)), fvu(raw_error, raw_square, scale_D)
    return Reconstruction(
        l0=mean(active),
        fvu=standard,
        explained_variance=_complement(standard),
        raw_fvu=raw,
        raw_explained_variance=_complement(raw),
        cosine=mean(cosine),
        rows=int(sums_GS[:, rows].sum()),
        documents=len(sums_GS),
    )


def _complement(measure: Measure) -> Measure:
    return Measure(1 - measure.value, 1 - measure.high, 1 - measure.low, measure.n)
