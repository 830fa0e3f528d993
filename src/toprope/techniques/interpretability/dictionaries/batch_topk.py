"""BatchTopK dictionaries (Bussmann et al. 2024, arXiv 2412.06410).

In training the B x K largest activations of a batch are kept, so that a row may have more or fewer
than K. Afterwards a row is encoded by itself: what is over a threshold is kept, the average over
batches of the least activation that was kept.
"""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional

from toprope.techniques.interpretability.dictionaries import selection
from toprope.techniques.interpretability.dictionaries.dictionary import Codes, Origin
from toprope.techniques.interpretability.dictionaries.sparse import Pattern
from toprope.techniques.interpretability.dictionaries.topk import (
    AuxKSettings,
    SparseDictionary,
    padded,
)

AT_FIRST = 4
"""Times K: how many of a row's largest are looked at before more are."""
MEMORY = 0.99
"""What the threshold's running average keeps at each batch."""


class BatchTopKSettings(AuxKSettings):
    kind: Literal["batch_topk"] = "batch_topk"


class BatchTopK(SparseDictionary):
    """
    Attributes:
        threshold: a scalar, zero until the first batch is counted.
    """

    def __init__(self, settings: AuxKSettings, origin: Origin | None = None) -> None:
        super().__init__(settings, origin)
        self.threshold: Tensor
        self.register_buffer("threshold", torch.zeros(()))

    def entries(self, x_BD: Tensor) -> tuple[Pattern, Tensor]:
        return largest_of_batch(
            x_BD, self.encoder_FD, self.encoder_bias_F, self.settings.active * len(x_BD)
        )

    @torch.no_grad()
    def encode(self, x_BD: Tensor) -> Codes:
        pattern, values_N = selection.above(
            self.centred(x_BD), self.encoder_FD, self.encoder_bias_F, self.threshold
        )
        return padded(values_N, pattern)

    def count(self, codes: Codes) -> None:
        super().count(codes)
        active_N = codes.values_BK[codes.values_BK > 0]
        if not len(active_N):
            return
        least = active_N.min()
        moved = torch.lerp(least, self.threshold, MEMORY)
        self.threshold.copy_(torch.where(self.threshold > 0, moved, least))


@torch.no_grad()
def largest_of_batch(
    x_BD: Tensor, encoder_FD: Tensor, bias_F: Tensor, count: int
) -> tuple[Pattern, Tensor]:
    """The `count` largest pre-activations of all rows together, and their values [N]."""
    B, F = len(x_BD), len(encoder_FD)
    m = min(F, AT_FIRST * -(-count // B))
    while True:
        values_BM, latents_BM = selection.top(x_BD, encoder_FD, bias_F, m)
        kept = values_BM.flatten().topk(count, sorted=False)
        # A row all of whose m are kept may have more that should be.
        if m == F or not (values_BM.amin(1) >= kept.values.min()).any():
            break
        m = min(F, 2 * m)
    kept_BM = torch.zeros_like(values_BM, dtype=torch.bool)
    kept_BM.view(-1)[kept.indices] = True
    offsets_R = functional.pad(kept_BM.sum(1).cumsum(0), (1, 0))
    return Pattern(latents_BM[kept_BM], offsets_R, F), values_BM[kept_BM]
