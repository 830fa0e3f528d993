"""Archetypal TopK dictionaries (Fel et al. 2025, arXiv 2502.12892), for features that recur across
seeds.

A decoder row points to a convex combination of fixed centroids of the data, plus a relaxation of
bounded length (the paper's RA-SAE). Unlike the paper's, the weights of the combination are a
softmax, and the row is scaled to unit norm, as in all kinds here. The centroids come from the first
batch alone, whatever the seed: dictionaries trained side by side share them.
"""

from __future__ import annotations

from typing import Literal

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional

from toprope.errors import UserError
from toprope.techniques.interpretability.dictionaries.dictionary import Origin
from toprope.techniques.interpretability.dictionaries.topk import AuxKSettings, TopK

LLOYD_STEPS = 10


class ArchetypalSettings(AuxKSettings):
    """
    Attributes:
        centroids: how many; at most as many as the first batch has rows.
        relaxation: the most that a combination may be moved by, relative to the centroids' mean
            norm.
    """

    kind: Literal["archetypal"] = "archetypal"
    centroids: int = Field(default=512, gt=1)
    relaxation: float = Field(default=0.5, ge=0)


class ArchetypalTopK(TopK):
    """
    Attributes:
        mixing_FC: the logits of each row's combination.
        relaxation_FD: what is added, before its length is cut.
        centroids_CD: of the data about its median, divided by their mean norm.
    """

    def __init__(self, settings: ArchetypalSettings, origin: Origin | None = None) -> None:
        super().__init__(settings, origin)
        self.bound = settings.relaxation
        F, C = settings.width, settings.centroids
        rng = torch.Generator().manual_seed(settings.seed)
        # Each row begins half at a centroid of its own, half spread over the others.
        logits_FC = torch.randn(F, C, generator=rng)
        at_F = torch.randint(C, (F,), generator=rng)
        logits_FC[torch.arange(F), at_F] += torch.tensor(float(C)).log() + 0.5
        self.mixing_FC = nn.Parameter(logits_FC)
        self.relaxation_FD = nn.Parameter(torch.zeros(F, settings.d_model))
        self.centroids_CD: Tensor
        self.register_buffer("centroids_CD", torch.zeros(C, settings.d_model))

    @torch.no_grad()
    def start(self, x_BD: Tensor, target_BD: Tensor | None = None) -> None:
        super().start(x_BD, target_BD)
        C = len(self.centroids_CD)
        if len(x_BD) < C:
            raise UserError(
                f"{C} centroids can't come from a batch of {len(x_BD)} rows: lower centroids, or "
                "raise the batch's size"
            )
        centres_CD = k_means(self.centred(x_BD), C)
        self.centroids_CD.copy_(centres_CD / centres_CD.norm(dim=1).mean())
        self.after_step()
        self.encoder_FD.copy_(self.decoder_FD)

    def composed(self) -> Tensor:
        """The decoder [F, D] that mixing and relaxation make."""
        norm_F1 = torch.linalg.vector_norm(self.relaxation_FD, dim=1, keepdim=True)
        moved_FD = self.relaxation_FD * (self.bound / norm_F1.clamp_min(1e-12)).clamp_max(1)
        return functional.normalize(self.mixing_FC.softmax(1) @ self.centroids_CD + moved_FD)

    def before_step(self) -> None:
        """Takes the decoder's gradient on to what it is made of."""
        super().before_step()
        gradient_FD, self.decoder_FD.grad = self.decoder_FD.grad, None
        self.composed().backward(gradient_FD)

    @torch.no_grad()
    def after_step(self) -> None:
        self.decoder_FD.copy_(self.composed())


def k_means(x_BD: Tensor, count: int) -> Tensor:
    """[C, D]: centroids by Lloyd's algorithm, from evenly spaced rows; an empty one stays."""
    centres_CD = x_BD[torch.linspace(0, len(x_BD) - 1, count, device=x_BD.device).long()].clone()
    for _ in range(LLOYD_STEPS):
        nearest_B = torch.cdist(x_BD, centres_CD).argmin(1)
        sizes_C = torch.bincount(nearest_B, minlength=count)
        sums_CD = torch.zeros_like(centres_CD).index_add(0, nearest_B, x_BD)
        full_C = sizes_C > 0
        centres_CD[full_C] = sums_CD[full_C] / sizes_C[full_C, None]
    return centres_CD
