"""TopK dictionaries with AuxK (Gao et al. 2024, arXiv 2406.04093).

The K largest pre-activations of a row are kept; nothing penalises their size. Latents that have
been silent for `dead_after` rows are kept alive by AuxK: the largest pre-activations among them
should reconstruct the error that the others leave.

As in the paper: the encoder starts as the decoder's transpose, the decoder's bias as the geometric
median of the data; the decoder's rows stay of unit norm, and gradients along them are left out.
As in EleutherAI's sparsify, AuxK counts for less while fewer latents are dead than it would use.
"""

from __future__ import annotations

from typing import Literal

import torch
from pydantic import Field
from torch import Tensor

from toprope.techniques.interpretability.dictionaries import selection, sparse
from toprope.techniques.interpretability.dictionaries.dictionary import (
    Codes,
    Dictionary,
    DictionarySettings,
    Loss,
    Origin,
)
from toprope.techniques.interpretability.dictionaries.sparse import Pattern


class AuxKSettings(DictionarySettings):
    """
    Attributes:
        auxiliary_active: AuxK's K; None: half of d_model.
        auxiliary_weight: AuxK's share of the loss.
    """

    auxiliary_active: int | None = Field(default=None, gt=0)
    auxiliary_weight: float = Field(default=1 / 32, ge=0)


class TopKSettings(AuxKSettings):
    kind: Literal["topk"] = "topk"


class SparseDictionary(Dictionary):
    """What TopK and its relatives share: sparse steps, and AuxK. A kind says which entries are
    active (`entries`), and may decode in its own way (`errors`)."""

    def __init__(self, settings: AuxKSettings, origin: Origin | None = None) -> None:
        super().__init__(settings, origin)

    @property
    def settings(self) -> AuxKSettings:
        return self._settings  # type: ignore[return-value]

    @torch.no_grad()
    def start(self, x_BD: Tensor, target_BD: Tensor | None = None) -> None:
        self.decoder_bias_D.copy_(geometric_median(x_BD if target_BD is None else target_BD))

    def centred(self, x_BD: Tensor) -> Tensor:
        """What the encoder multiplies."""
        return x_BD - self.decoder_bias_D

    def entries(self, x_BD: Tensor) -> tuple[Pattern, Tensor]:
        """The entries that training keeps of centred rows, and their pre-activations [N]."""
        values_BK, latents_BK = selection.top(
            x_BD, self.encoder_FD, self.encoder_bias_F, self.settings.active
        )
        return Pattern.of(latents_BK, self.width), values_BK.reshape(-1)

    def errors(self, values_N: Tensor, pattern: Pattern, target_BD: Tensor) -> list[Tensor]:
        """The errors [B, D] whose mean squares are minimised; the last is of the whole."""
        decoded_BD = sparse.decode(values_N, self.decoder_FD, pattern, tangent=True)
        return [decoded_BD + self.decoder_bias_D - target_BD]

    def loss(self, x_BD: Tensor, target_BD: Tensor | None = None) -> Loss:
        target_BD = x_BD if target_BD is None else target_BD
        x_BD = self.centred(x_BD)
        pattern, found_N = self.entries(x_BD.detach())
        values_N = sparse.encode(
            x_BD, self.encoder_FD, self.encoder_bias_F, pattern, found_N
        ).relu()
        errors = self.errors(values_N, pattern, target_BD)
        squares = torch.stack([error_BD.square().mean() for error_BD in errors])
        auxiliary = self.auxiliary(x_BD, errors[-1].detach())
        return Loss(
            total=squares.mean() + self.settings.auxiliary_weight * auxiliary,
            reconstruction=squares[-1].detach(),
            auxiliary=auxiliary.detach(),
            codes=padded(values_N.detach(), pattern),
        )

    def auxiliary(self, x_BD: Tensor, error_BD: Tensor) -> Tensor:
        """AuxK: the share of the error (reconstruction - target) that the dead latents leave."""
        dead_M = self.dead_F.nonzero()[:, 0]
        missing_BD = -error_BD
        spread = (missing_BD - missing_BD.mean(0)).square().mean()
        if not len(dead_M) or not self.settings.auxiliary_weight or not spread > 0:
            return error_BD.new_zeros(())
        wanted = self.settings.auxiliary_active or max(1, self.d_model // 2)
        k = min(wanted, len(dead_M))
        encoder_MD, bias_M = self.encoder_FD[dead_M], self.encoder_bias_F[dead_M]
        found_BK, latents_BK = selection.top(x_BD.detach(), encoder_MD, bias_M, k)
        pattern = Pattern.of(latents_BK, len(dead_M))
        values_N = sparse.encode(x_BD, encoder_MD, bias_M, pattern, found_BK.reshape(-1)).relu()
        decoded_BD = sparse.decode(values_N, self.decoder_FD[dead_M], pattern, tangent=True)
        return (decoded_BD - missing_BD).square().mean() / spread * (k / wanted)


class TopK(SparseDictionary):
    """Exactly K latents a row, but for those whose pre-activation isn't positive."""

    @torch.no_grad()
    def encode(self, x_BD: Tensor) -> Codes:
        pattern, values_N = self.entries(self.centred(x_BD))
        return padded(values_N.relu(), pattern)


def padded(values_N: Tensor, pattern: Pattern) -> Codes:
    """Codes with rows of equal length, of entries that may be of any number on a row."""
    counts_B = pattern.offsets_R.diff()
    B = len(counts_B)
    K = int(counts_B.max()) if B else 0
    if len(values_N) == B * K:
        return Codes(values_N.view(B, K), pattern.latents_N.view(B, K), pattern.width)
    places_N = torch.arange(len(values_N), device=values_N.device)
    places_N = places_N - pattern.offsets_R[pattern.rows_N]
    values_BK = values_N.new_zeros(B, K)
    latents_BK = pattern.latents_N.new_zeros(B, K)
    values_BK[pattern.rows_N, places_N] = values_N
    latents_BK[pattern.rows_N, places_N] = pattern.latents_N
    return Codes(values_BK, latents_BK, pattern.width)


def geometric_median(x_BD: Tensor, steps: int = 100, tolerance: float = 1e-6) -> Tensor:
    """[D]: the point with the least sum of distances to the rows (Weiszfeld's algorithm)."""
    centre_D = x_BD.mean(0)
    for _ in range(steps):
        weights_B1 = 1 / (x_BD - centre_D).norm(dim=1, keepdim=True).clamp_min(1e-12)
        last_D, centre_D = centre_D, (x_BD * weights_B1).sum(0) / weights_B1.sum()
        if (centre_D - last_D).norm() <= tolerance * centre_D.norm():
            break
    return centre_D
