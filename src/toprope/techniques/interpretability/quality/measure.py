"""A measured number with its interval, and intervals of ratios of sums over documents.

Neighbouring tokens are alike, so that documents are what is resampled. What is measured on a
dictionary is a function of sums over rows (errors, squares, counts): each document keeps its sums,
and a resample adds up those of the documents drawn.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from toprope.errors import UserError
from toprope.resampling import Floats, draws, expanded_percentile
from toprope.statistics import LEVEL, Interval, wilson

RESAMPLES = 2000

Rows = Iterable[tuple[Tensor, NDArray[np.int64]]]
"""Held-out activations in batches: standardised [B, D] float32, and the rows' documents [B]."""


@dataclass(frozen=True)
class Measure:
    """A number with its confidence interval.

    Attributes:
        n: the units behind the interval: documents, prompts, latents; as the measure says.
        control: the same number of the control that the measure names, where it has one.
    """

    value: float
    low: float
    high: float
    n: int
    control: float | None = None

    @classmethod
    def of(cls, interval: Interval, control: float | None = None) -> Measure:
        return cls(interval.value, interval.low, interval.high, interval.n, control)

    def beside(self, control: Measure | float) -> Measure:
        """The same, with a control measured elsewhere."""
        value = control.value if isinstance(control, Measure) else control
        return replace(self, control=float(value))


class Sums:
    """Sums over each document's rows, gathered batch by batch in float64."""

    def __init__(self) -> None:
        self._of: dict[int, Floats] = {}

    def add(self, documents_B: NDArray[np.int64], values_BS: Tensor) -> None:
        """Adds a batch's rows: S numbers of each, the same ones in every batch."""
        found_U, codes_B = np.unique(documents_B, return_inverse=True)
        totals_US = np.zeros((len(found_U), values_BS.shape[1]))
        np.add.at(totals_US, codes_B, values_BS.double().cpu().numpy())
        for document, total_S in zip(found_U.tolist(), totals_US, strict=True):
            self._of[document] = self._of.get(document, 0.0) + total_S

    def of_documents(self) -> Floats:
        """[G, S], in the order in which the documents came.

        Raises:
            UserError: fewer than two documents.
        """
        if len(self._of) < 2:
            raise UserError(
                f"an interval over documents needs two of them, and there are {len(self._of)}: "
                "hold out more"
            )
        return np.stack(list(self._of.values()))


def of_sums(
    sums_GS: Floats,
    function: Callable[[Floats], Floats],
    *,
    rng: np.random.Generator,
    control: float | None = None,
    level: float = LEVEL,
    resamples: int = RESAMPLES,
) -> Measure:
    """A function of sums over documents, with the interval of a bootstrap over documents.

    Args:
        function: from sums [R, S] to [R]. Where it isn't finite, the resample counts as the worst
            case at both ends.

    Raises:
        UserError: the function isn't finite on the data themselves: there is nothing to measure.
    """
    n = len(sums_GS)
    with np.errstate(divide="ignore", invalid="ignore"):
        value = float(function(sums_GS.sum(0)[None])[0])
        if not np.isfinite(value):
            raise UserError(
                "a ratio over nothing: all held-out rows are alike; hold out more, or other texts"
            )
        parts = [function(weights_RG @ sums_GS) for weights_RG in draws(n, resamples, rng)]
    low, high = expanded_percentile(np.concatenate(parts), level, n - 1)
    return Measure(value, low, high, n, control)


def share(hits: int, n: int, control: float | None = None) -> Measure:
    """A share of n independent things (latents, words), with Wilson's interval."""
    return Measure.of(wilson(hits, n), control)
