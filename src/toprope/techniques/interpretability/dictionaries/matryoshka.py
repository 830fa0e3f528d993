"""Matryoshka BatchTopK dictionaries (Bussmann et al. 2025, arXiv 2503.17547).

The first latents alone should reconstruct, so should more of them, and all: early latents stay
general, and are not absorbed by later, more specific ones. Encoding is BatchTopK's. The errors of
the prefixes are averaged, where the paper adds them up.
"""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional

from toprope.errors import UserError
from toprope.techniques.interpretability.dictionaries import sparse
from toprope.techniques.interpretability.dictionaries.batch_topk import BatchTopK
from toprope.techniques.interpretability.dictionaries.dictionary import Origin
from toprope.techniques.interpretability.dictionaries.sparse import Pattern
from toprope.techniques.interpretability.dictionaries.topk import AuxKSettings

HALVINGS = 4


class MatryoshkaSettings(AuxKSettings):
    """
    Attributes:
        prefixes: how many latents each reconstruction uses, the last of them all; none: a 16th of
            them, an eighth, a quarter, half, all.
    """

    kind: Literal["matryoshka"] = "matryoshka"
    prefixes: tuple[int, ...] = ()


class MatryoshkaBatchTopK(BatchTopK):
    def __init__(self, settings: MatryoshkaSettings, origin: Origin | None = None) -> None:
        super().__init__(settings, origin)
        F = settings.width
        self.prefixes = settings.prefixes or tuple(
            sorted({max(1, F >> halvings) for halvings in range(HALVINGS + 1)})
        )
        rises = all(a < b for a, b in zip((0, *self.prefixes), self.prefixes, strict=False))
        if not rises or self.prefixes[-1] != F:
            raise UserError(
                f"prefixes of a matryoshka dictionary must rise to its width {F}, "
                f"not {list(self.prefixes)}"
            )

    def errors(self, values_N: Tensor, pattern: Pattern, target_BD: Tensor) -> list[Tensor]:
        starts = (0, *self.prefixes[:-1])
        sizes = [end - start for start, end in zip(starts, self.prefixes, strict=True)]
        error_BD = self.decoder_bias_D - target_BD
        errors = []
        for start, decoder_GD in zip(starts, self.decoder_FD.split(sizes), strict=True):
            inside_N, group = _within(pattern, start, len(decoder_GD))
            decoded_BD = sparse.decode(values_N[inside_N], decoder_GD, group, tangent=True)
            error_BD = error_BD + decoded_BD
            errors.append(error_BD)
        return errors


def _within(pattern: Pattern, start: int, size: int) -> tuple[Tensor, Pattern]:
    """The entries of `size` latents from `start` on, and their own pattern."""
    inside_N = (pattern.latents_N >= start) & (pattern.latents_N < start + size)
    counts_B = torch.bincount(pattern.rows_N[inside_N], minlength=len(pattern.offsets_R) - 1)
    offsets_R = functional.pad(counts_B.cumsum(0), (1, 0))
    return inside_N, Pattern(pattern.latents_N[inside_N] - start, offsets_R, size)
