"""Dictionaries with known features, rows made of them, and a linear toy model."""

from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import Tensor

from toprope.techniques.interpretability.dictionaries.dictionary import Dictionary, make


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(0)


@pytest.fixture
def dictionary_of() -> Callable[..., Dictionary]:
    """A TopK dictionary whose encoder is its decoder: `dictionary_of(rows_FD, active)`."""

    def build(rows_FD: Tensor, active: int) -> Dictionary:
        made = make(
            {
                "kind": "topk",
                "width": len(rows_FD),
                "d_model": rows_FD.shape[1],
                "active": active,
            }
        )
        with torch.no_grad():
            made.decoder_FD.copy_(torch.nn.functional.normalize(rows_FD, dim=1))
            made.encoder_FD.copy_(made.decoder_FD)
        return made

    return build


@pytest.fixture
def random_rows() -> Callable[..., Tensor]:
    """Standard normal [n, d]."""

    def build(n: int, d: int, seed: int = 0) -> Tensor:
        return torch.randn(n, d, generator=torch.Generator().manual_seed(seed))

    return build


@pytest.fixture
def sparse_rows() -> Callable[..., Tensor]:
    """Rows that are sums of a few of some features, each with a weight from 1 to 2."""

    def build(features_FD: Tensor, n: int, active: int, seed: int = 0) -> Tensor:
        rng = torch.Generator().manual_seed(seed)
        chosen = torch.rand(n, len(features_FD), generator=rng).topk(active, dim=1).indices
        codes = torch.zeros(n, len(features_FD))
        codes.scatter_(1, chosen, 1 + torch.rand(n, active, generator=rng))
        return codes @ torch.nn.functional.normalize(features_FD, dim=1)

    return build
