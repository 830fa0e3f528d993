"""A capture's held-out part, as the measures take it: rows with their groups of documents, and
windows of tokens with theirs."""

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
    """Held-out rows in order, standardised, each with its group: the documents that are held out
    together, which is what intervals are over.

    Args:
        most: rows, of the first documents.

    Raises:
        UserError: the layer wasn't captured.
    """
    source, side = capture.layer(layer), capture.held_out
    stop = side.stop if most is None else min(side.stop, side.start + most)
    for start in range(side.start, stop, size):
        end = min(stop, start + size)
        yield source.read(start, end), capture.tokens(start, end).group


def windows(capture: Capture, *, most: int | None = None) -> tuple[list[list[int]], list[int]]:
    """Held-out windows' token ids, and their groups, as of `rows`.

    Args:
        most: windows, drawn evenly over documents: the first of each, then the second of those
            that have one, and so on.
    """
    found = capture.windows
    held_out = np.arange(found.training, len(found))
    documents = found.document_W[held_out]
    # A document's windows follow each other: how many of its own come before each.
    first_W = np.unique(documents, return_index=True)[1]
    first_of = dict(zip(documents[first_W].tolist(), first_W.tolist(), strict=True))
    turn_W = np.arange(len(held_out)) - [first_of[one] for one in documents.tolist()]
    chosen = np.sort(held_out[np.argsort(turn_W, kind="stable")[:most]]).tolist()
    return [found.tokens(w).tolist() for w in chosen], [int(found.group_W[w]) for w in chosen]


def outlier_norm(capture: Capture, layer: int) -> float:
    """The length of an activation above which the capture drops it at this layer."""
    return capture.about.source.settings.outlier * capture.about.moments[layer].median_norm
