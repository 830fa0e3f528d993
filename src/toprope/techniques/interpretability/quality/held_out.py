"""A capture's held-out part, as the measures take it: rows with their documents, and windows of
tokens with theirs."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from toprope.techniques.interpretability.activations.captured import Capture

BATCH = 2048


def rows(
    capture: Capture, layer: int, *, most: int | None = None, size: int = BATCH
) -> Iterator[tuple[Tensor, NDArray[np.int64]]]:
    """Held-out rows in order, standardised, each with its document.

    Args:
        most: rows, of the first documents.

    Raises:
        UserError: the layer wasn't captured.
    """
    source, side = capture.layer(layer), capture.held_out
    stop = side.stop if most is None else min(side.stop, side.start + most)
    for start in range(side.start, stop, size):
        end = min(stop, start + size)
        yield source.read(start, end), capture.tokens(start, end).document


def windows(capture: Capture, *, most: int | None = None) -> tuple[list[list[int]], list[int]]:
    """Held-out windows' token ids, and their documents.

    Args:
        most: windows.
    """
    found = capture.windows
    stop = len(found) if most is None else min(len(found), found.training + most)
    chosen = range(found.training, stop)
    return [found.tokens(w).tolist() for w in chosen], [int(found.document_W[w]) for w in chosen]


def outlier_norm(capture: Capture, layer: int) -> float:
    """The length of an activation above which the capture drops it at this layer."""
    return capture.about.source.settings.outlier * capture.about.moments[layer].median_norm
