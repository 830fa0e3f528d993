"""What a dictionary is measured against: dictionaries and activations in which nothing was learned
that the measure is about. Each goes through the same training and the same measures.

- A frozen decoder: directions are random and stay so, only the encoder learns. On several measures
  such dictionaries score nearly as well as trained ones (Korznikov et al. 2026, arXiv 2602.14111).
- Shuffled activations: every channel keeps its values, and what goes with what is lost.

A third is a capture of a model with random weights: `toprope.models.random`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np
import torch
from torch import Tensor

from toprope.techniques.interpretability.dictionaries.dictionary import (
    Dictionary,
    DictionarySettings,
    make,
)


def frozen_decoder(settings: DictionarySettings | dict[str, Any], *, seed: int = 0) -> Dictionary:
    """A new dictionary whose decoder isn't trained: random unit rows, unlike those that the encoder
    begins with."""
    made = make(settings)
    rng = torch.Generator().manual_seed(seed + 1_000_003)
    rows_FD = torch.randn(made.width, made.d_model, generator=rng)
    with torch.no_grad():
        made.decoder_FD.copy_(torch.nn.functional.normalize(rows_FD, dim=1))
    made.decoder_FD.requires_grad_(False)
    return made


def shuffled(batches: Iterable[Tensor], rng: np.random.Generator) -> Iterator[Tensor]:
    """The same batches [B, D], each channel permuted over the batch's rows on its own."""
    for x_BD in batches:
        order_BD = rng.permuted(np.tile(np.arange(len(x_BD))[:, None], x_BD.shape[1]), axis=0)
        yield x_BD.gather(0, torch.from_numpy(order_BD).to(x_BD.device))
