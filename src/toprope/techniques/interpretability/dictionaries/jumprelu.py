"""JumpReLU dictionaries (Rajamanoharan et al. 2024, arXiv 2407.14435).

A latent is active when its pre-activation is over a threshold of its own. The thresholds learn by
straight-through gradients, from what lies within a narrow band around them. In place of the paper's
penalty on L0, it is on missing K, (L0 / K - 1)^2, as SAEBench has it.

Unlike the paper's, the thresholds start where K latents a row are active, so that no warm-up of
the penalty is needed. The band is given relative to a row's norm, which is about sqrt(D) here; the
paper scales rows to norm 1.
"""

from __future__ import annotations

from typing import Any, Literal

import torch
from pydantic import Field
from torch import Tensor, nn

from toprope.techniques.interpretability.dictionaries import selection, sparse
from toprope.techniques.interpretability.dictionaries.dictionary import (
    Codes,
    Dictionary,
    DictionarySettings,
    Loss,
    Origin,
)
from toprope.techniques.interpretability.dictionaries.topk import geometric_median, padded


class JumpReLUSettings(DictionarySettings):
    """
    Attributes:
        bandwidth: of the band around a threshold, relative to sqrt(D).
        sparsity_weight: of the penalty.
    """

    kind: Literal["jumprelu"] = "jumprelu"
    bandwidth: float = Field(default=0.001, gt=0)
    sparsity_weight: float = Field(default=1.0, ge=0)


class JumpReLU(Dictionary):
    """
    Attributes:
        log_threshold_F: the thresholds' logarithms, so that thresholds stay positive.
    """

    def __init__(self, settings: JumpReLUSettings, origin: Origin | None = None) -> None:
        super().__init__(settings, origin)
        self.bandwidth = settings.bandwidth * settings.d_model**0.5
        self.log_threshold_F = nn.Parameter(torch.zeros(settings.width))

    @property
    def settings(self) -> JumpReLUSettings:
        return self._settings  # type: ignore[return-value]

    @torch.no_grad()
    def start(self, x_BD: Tensor, target_BD: Tensor | None = None) -> None:
        """Sets the decoder's bias to the rows' geometric median, and all thresholds to the least of
        the B x K largest pre-activations."""
        self.decoder_bias_D.copy_(geometric_median(x_BD))
        values_BK, _ = selection.top(
            x_BD - self.decoder_bias_D,
            self.encoder_FD,
            self.encoder_bias_F,
            min(self.width, 4 * self.settings.active),
        )
        kept = values_BK.flatten().topk(len(x_BD) * self.settings.active, sorted=False).values
        self.log_threshold_F.fill_(float(kept.min().clamp_min(self.bandwidth).log()))

    @torch.no_grad()
    def encode(self, x_BD: Tensor) -> Codes:
        pattern, values_N = selection.above(
            x_BD - self.decoder_bias_D,
            self.encoder_FD,
            self.encoder_bias_F,
            self.log_threshold_F.exp(),
        )
        return padded(values_N, pattern)

    def loss(self, x_BD: Tensor, target_BD: Tensor | None = None) -> Loss:
        centred_BD = x_BD - self.decoder_bias_D
        threshold_F = self.log_threshold_F.exp()
        # All that a gradient can come from: what is active, and what lies in a threshold's band.
        pattern, found_N = selection.above(
            centred_BD.detach(),
            self.encoder_FD,
            self.encoder_bias_F,
            threshold_F.detach() - self.bandwidth / 2,
        )
        scores_N = sparse.encode(centred_BD, self.encoder_FD, self.encoder_bias_F, pattern, found_N)
        threshold_N = threshold_F[pattern.latents_N]
        values_N = _Jump.apply(scores_N, threshold_N, self.bandwidth)
        active_N = _Step.apply(scores_N, threshold_N, self.bandwidth)
        decoded_BD = sparse.decode(values_N, self.decoder_FD, pattern, tangent=True)  # type: ignore[arg-type]
        error = (decoded_BD + self.decoder_bias_D - x_BD).square().mean()
        l0 = active_N.sum() / len(x_BD)  # type: ignore[union-attr]
        penalty = (l0 / self.settings.active - 1).square()
        return Loss(
            total=error + self.settings.sparsity_weight * penalty,
            reconstruction=error.detach(),
            auxiliary=penalty.detach(),
            codes=padded(values_N.detach(), pattern),  # type: ignore[union-attr]
        )


class _Jump(torch.autograd.Function):
    """z where it is over the threshold, else 0 (the paper's equation 11 for its gradient)."""

    @staticmethod
    def forward(ctx: Any, scores_N: Tensor, threshold_N: Tensor, bandwidth: float) -> Tensor:
        ctx.save_for_backward(scores_N, threshold_N)
        ctx.bandwidth = bandwidth
        return scores_N * (scores_N > threshold_N)

    @staticmethod
    def backward(ctx: Any, *grads: Any) -> Any:
        scores_N, threshold_N = ctx.saved_tensors
        in_band_N = (scores_N - threshold_N).abs() < ctx.bandwidth / 2
        threshold_grad_N = -threshold_N / ctx.bandwidth * in_band_N * grads[0]
        return grads[0] * (scores_N > threshold_N), threshold_grad_N, None


class _Step(torch.autograd.Function):
    """1 where z is over the threshold, else 0 (the paper's equation 12 for its gradient)."""

    @staticmethod
    def forward(ctx: Any, scores_N: Tensor, threshold_N: Tensor, bandwidth: float) -> Tensor:
        ctx.save_for_backward(scores_N, threshold_N)
        ctx.bandwidth = bandwidth
        return (scores_N > threshold_N).to(scores_N.dtype)

    @staticmethod
    def backward(ctx: Any, *grads: Any) -> Any:
        scores_N, threshold_N = ctx.saved_tensors
        in_band_N = (scores_N - threshold_N).abs() < ctx.bandwidth / 2
        return None, -(in_band_N * grads[0]) / ctx.bandwidth, None
