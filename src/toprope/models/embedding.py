"""Sentence embeddings: the mean of a model's last states over a text's tokens."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from toprope.progress import Progress

if TYPE_CHECKING:
    from toprope.models.local import LocalModel

EMBEDDER = "minilm-l6"
"""The catalog's sentence encoder, which is used where none is named."""


def embedded(
    model: LocalModel, texts: Sequence[str], *, progress: Progress | None = None
) -> NDArray[np.float64]:
    """[N, D]; of a text that is longer than the model reads, that of its beginning."""
    layer = model.n_layers
    read = model.activations(
        list(texts), [layer], pool="mean", most_tokens=model.context, progress=progress
    )
    return np.asarray(read.layers[layer], float)


def of_length_one(x_ND: NDArray) -> NDArray:
    """The rows scaled, so that their products are cosines; a row of zeros stays."""
    return x_ND / np.linalg.norm(x_ND, axis=1, keepdims=True).clip(1e-9)
