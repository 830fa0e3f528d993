"""Transcoders (Dunefsky et al. 2024, arXiv 2406.11944): from the activations of one layer, those of
a later one, by sparse codes.

The paper's go from an MLP's input to its output, with an L1 penalty; here both ends are states of
the residual stream, and the codes are TopK's with AuxK. As both ends share a space, the encoder
starts as the decoder's transpose.
"""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor

from toprope.errors import UserError
from toprope.techniques.interpretability.dictionaries.dictionary import Loss, Origin
from toprope.techniques.interpretability.dictionaries.topk import AuxKSettings, TopK


class TranscoderSettings(AuxKSettings):
    kind: Literal["transcoder"] = "transcoder"


class Transcoder(TopK):
    """
    Attributes:
        target_mean_D, target_scale_D: the standardisation of the later layer; `mean_D` and
            `scale_D` are the earlier one's.
    """

    def __init__(self, settings: TranscoderSettings, origin: Origin | None = None) -> None:
        super().__init__(settings, origin)
        self.target_mean_D: Tensor
        self.target_scale_D: Tensor
        self.register_buffer("target_mean_D", torch.zeros(settings.d_model))
        self.register_buffer("target_scale_D", torch.ones(settings.d_model))

    def centred(self, x_BD: Tensor) -> Tensor:
        """The rows themselves: the decoder's bias belongs to the other layer."""
        return x_BD

    def restore(self, x_BD: Tensor) -> Tensor:
        """The model's own activations at the later layer, of what `decode` gives."""
        return x_BD * self.target_scale_D + self.target_mean_D

    def loss(self, x_BD: Tensor, target_BD: Tensor | None = None) -> Loss:
        if target_BD is None:
            raise UserError(
                "a transcoder learns from pairs of activations, of two layers: give batches of both"
            )
        return super().loss(x_BD, target_BD)
