"""The K largest pre-activations of each row, exact in float32, without computing all of them in
float32 where the processor multiplies bfloat16 faster.

There, a bfloat16 product of everything picks K and a few more candidates a row, which are computed
again in float32. What the rounding can have done to any other latent is bounded (Cauchy-Schwarz on
the rounding errors); a row whose K-th candidate isn't clear of that bound is done again in full.
The result is the same either way, but for the last bits of a sum's order.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from toprope.techniques.interpretability.dictionaries.sparse import Pattern, dots

ROWS = 512
"""Rows at a time: their pre-activations stay in the cache between the product and the search."""
SPARE = 32
"""Candidates beyond K."""
BLOCK = 16
"""Latents in a block: only blocks with one of the largest maxima are searched."""
UNPROFITABLE = 0.3
"""With a greater share of rows to be done again, the rest of a batch goes without the bfloat16."""
ROUNDING = 2.0**-8
"""The most that rounding to bfloat16 changes a number by, relative to it."""


@torch.no_grad()
def top(x_BD: Tensor, encoder_FD: Tensor, bias_F: Tensor, k: int) -> tuple[Tensor, Tensor]:
    """The k largest of x @ encoder.T + bias in each row, in no order.

    Returns:
        Their values [B, k], float32, and their latents [B, k], int64.
    """
    F = len(encoder_FD)
    fits = F % BLOCK == 0 and 2 * (k + SPARE) <= F // BLOCK
    if x_BD.device.type != "cpu" or not fits:
        return largest(torch.addmm(bias_F, x_BD, encoder_FD.T), k)
    screen = _Screen(encoder_FD, bias_F) if multiplies_bfloat16() else None
    parts = []
    for x_RD in x_BD.split(ROWS):
        if screen is None:
            parts.append(largest_by_block(torch.addmm(bias_F, x_RD, encoder_FD.T), k))
            continue
        parts.append(screen.top(x_RD, k))
        if screen.redone > UNPROFITABLE * len(x_RD):
            screen = None
    values, latents = zip(*parts, strict=True)
    return torch.cat(values), torch.cat(latents)


@torch.no_grad()
def above(
    x_BD: Tensor, encoder_FD: Tensor, bias_F: Tensor, threshold: Tensor
) -> tuple[Pattern, Tensor]:
    """All pre-activations over a threshold, one for all latents or one each [F]; and their values,
    [N]."""
    values, latents, counts = [], [], []
    for x_RD in x_BD.split(ROWS):
        scores_RF = torch.addmm(bias_F, x_RD, encoder_FD.T)
        over_RF = scores_RF > threshold
        values.append(scores_RF[over_RF])
        latents.append(over_RF.nonzero()[:, 1])
        counts.append(over_RF.sum(1))
    offsets_R = functional.pad(torch.cat(counts).cumsum(0), (1, 0))
    return Pattern(torch.cat(latents), offsets_R, len(encoder_FD)), torch.cat(values)


def multiplies_bfloat16() -> bool:
    """Whether this processor has instructions for bfloat16 products; elsewhere they are slow."""
    # A version of torch may not have a question; nothing else answers it.
    asked = ("_is_avx512_bf16_supported", "_is_amx_tile_supported")
    return any(getattr(torch.cpu, name, bool)() for name in asked)


def largest(scores_BF: Tensor, k: int) -> tuple[Tensor, Tensor]:
    values_BK, latents_BK = scores_BF.topk(k, sorted=False)
    return values_BK, latents_BK


def largest_by_block(scores_BF: Tensor, k: int) -> tuple[Tensor, Tensor]:
    """The same as `largest`, faster on a CPU: a block that holds one of the k largest has one of
    the k largest maxima."""
    B, F = scores_BF.shape
    blocks = F // BLOCK
    # Block j is the latents j, j + blocks, j + 2 blocks, ...: the maximum then runs over whole rows
    # of memory.
    by_block = scores_BF.view(B, BLOCK, blocks)
    best_BK = by_block.amax(1).topk(k, sorted=False).indices
    kept = by_block.gather(2, best_BK[:, None].expand(-1, BLOCK, -1)).reshape(B, -1)
    values_BK, at_BK = kept.topk(k, sorted=False)
    latents_BK = at_BK.div(k, rounding_mode="floor") * blocks + best_BK.gather(1, at_BK % k)
    return values_BK, latents_BK


class _Screen:
    """The encoder in bfloat16, and what that can be wrong by.

    Attributes:
        redone: rows of the last call that had to be done again.
    """

    def __init__(self, encoder_FD: Tensor, bias_F: Tensor) -> None:
        self.encoder_FD, self.bias_F = encoder_FD, bias_F
        self.redone = 0
        self.rough_DF = encoder_FD.bfloat16().T
        self.rough_bias_F = bias_F.bfloat16()
        self.norm = _norms(encoder_FD).max()
        self.off = _norms(encoder_FD - self.rough_DF.T.float()).max()
        self.bias_off = (bias_F - self.rough_bias_F.float()).abs().max()

    def top(self, x_BD: Tensor, k: int) -> tuple[Tensor, Tensor]:
        rough_BD = x_BD.bfloat16()
        scores_BF = torch.addmm(self.rough_bias_F, rough_BD, self.rough_DF)
        rough_BC, latents_BC = largest_by_block(scores_BF, k + SPARE)
        pattern = Pattern.of(latents_BC, len(self.encoder_FD))
        exact_BC = (dots(pattern, x_BD, self.encoder_FD) + self.bias_F[pattern.latents_N]).view_as(
            rough_BC
        )
        values_BK, at_BK = exact_BC.topk(k, sorted=False)
        latents_BK = latents_BC.gather(1, at_BK)

        # Any other latent scored at most `least_B` roughly.
        least_B = rough_BC.amin(1).float()
        wrong_B = (
            _norms(x_BD - rough_BD.float()) * self.norm
            + _norms(rough_BD.float()) * self.off
            + self.bias_off
            + least_B.abs() * ROUNDING
        )
        unsure = (values_BK.amin(1) < least_B + wrong_B).nonzero()[:, 0]
        self.redone = len(unsure)
        if len(unsure):
            scores_UF = torch.addmm(self.bias_F, x_BD[unsure], self.encoder_FD.T)
            values_BK[unsure], latents_BK[unsure] = largest_by_block(scores_UF, k)
        return values_BK, latents_BK


def _norms(rows_BD: Tensor) -> Tensor:
    return torch.linalg.vector_norm(rows_BD, dim=-1)
