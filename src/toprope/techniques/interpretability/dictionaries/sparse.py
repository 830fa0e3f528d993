"""The operations of a training step on sparse codes, differentiable, in time that goes with the
active latents instead of the width.

Decoding is an `embedding_bag`; the gradient of either weight matrix is one too, of the transposed
pattern, whose one sort both share; the gradient of the values is a sampled product. The idea of a
sparse step is Gao et al. 2024 (arXiv 2406.04093, appendix D), who do it with GPU kernels. Which
latents are active isn't decided here (see `selection.py`).
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from toprope.techniques.interpretability.dictionaries.dictionary import Codes

PLAIN_BYTES = 1 << 28
"""The most that `_dots_by_gathering` gathers at a time."""


@dataclass(frozen=True, eq=False)
class Pattern:
    """Which latents are active on which rows: N entries, row by row.

    Attributes:
        latents_N: int64.
        offsets_R: int64, [B + 1]; row b has the entries offsets[b] .. offsets[b + 1] - 1.
        width: F.
    """

    latents_N: Tensor
    offsets_R: Tensor
    width: int

    @classmethod
    def of(cls, latents_BK: Tensor, width: int) -> Pattern:
        """K entries on every row."""
        B, K = latents_BK.shape
        offsets_R = torch.arange(0, B * K + 1, K, device=latents_BK.device)
        return cls(latents_BK.reshape(-1), offsets_R, width)

    @cached_property
    def rows_N(self) -> Tensor:
        """The row of each entry."""
        rows_B = torch.arange(len(self.offsets_R) - 1, device=self.offsets_R.device)
        return rows_B.repeat_interleave(self.offsets_R.diff())

    @cached_property
    def order_N(self) -> Tensor:
        """The entries sorted by latent, those of one latent by row."""
        return torch.argsort(self.latents_N, stable=True)

    @cached_property
    def transposed(self) -> Pattern:
        """The pattern with rows and latents exchanged; its entries are in `order_N`."""
        counts_F = torch.bincount(self.latents_N, minlength=self.width)
        offsets_G = functional.pad(counts_F.cumsum(0), (1, 0))
        return Pattern(self.rows_N[self.order_N], offsets_G, len(self.offsets_R) - 1)


def encode(
    x_BD: Tensor, encoder_FD: Tensor, bias_F: Tensor, pattern: Pattern, values_N: Tensor | None
) -> Tensor:
    """The pre-activations at the pattern's entries, [N], with gradients to x, encoder and bias.

    Args:
        values_N: the pre-activations, if they are known.
    """
    return _Encode.apply(x_BD, encoder_FD, bias_F, pattern, values_N)  # type: ignore[return-value]


def decode(
    values_N: Tensor, decoder_FD: Tensor, pattern: Pattern, *, tangent: bool = False
) -> Tensor:
    """[B, D]: each row's sum of its active latents' decoder rows, weighted by their values, with
    gradients to values and decoder.

    Args:
        tangent: leave out of the decoder's gradient what is parallel to the decoder's rows, which
            must be of unit norm: so that going back to unit norm afterwards undoes nothing of
            what the optimizer did (Bricken et al. 2023; Gao et al. 2024, appendix A).
    """
    return _Decode.apply(values_N, decoder_FD, pattern, tangent)  # type: ignore[return-value]


def decoded(codes: Codes, decoder_FD: Tensor) -> Tensor:
    """[B, D] from codes, without gradient and without bias."""
    pattern = Pattern.of(codes.latents_BK, codes.width)
    return _weighted_sums(pattern, codes.values_BK.reshape(-1), decoder_FD)


class _Encode(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        x_BD: Tensor,
        encoder_FD: Tensor,
        bias_F: Tensor,
        pattern: Pattern,
        values_N: Tensor | None,
    ) -> Tensor:
        ctx.save_for_backward(x_BD, encoder_FD)
        ctx.pattern = pattern
        if values_N is None:
            return dots(pattern, x_BD, encoder_FD) + bias_F[pattern.latents_N]
        return values_N.clone()

    @staticmethod
    def backward(ctx: Any, *grads: Any) -> Any:
        (grad_N,) = grads
        x_BD, encoder_FD = ctx.saved_tensors
        pattern: Pattern = ctx.pattern
        x_grad_BD = encoder_grad_FD = bias_grad_F = None
        if ctx.needs_input_grad[0]:
            x_grad_BD = _weighted_sums(pattern, grad_N, encoder_FD)
        if ctx.needs_input_grad[1]:
            encoder_grad_FD = _weighted_sums(pattern.transposed, grad_N[pattern.order_N], x_BD)
        if ctx.needs_input_grad[2]:
            bias_grad_F = _by_latent(pattern, grad_N)
        return x_grad_BD, encoder_grad_FD, bias_grad_F, None, None


class _Decode(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, values_N: Tensor, decoder_FD: Tensor, pattern: Pattern, tangent: bool
    ) -> Tensor:
        ctx.save_for_backward(values_N, decoder_FD)
        ctx.pattern, ctx.tangent = pattern, tangent
        return _weighted_sums(pattern, values_N, decoder_FD)

    @staticmethod
    def backward(ctx: Any, *grads: Any) -> Any:
        grad_BD = grads[0].contiguous()
        values_N, decoder_FD = ctx.saved_tensors
        pattern: Pattern = ctx.pattern
        values_grad_N = dots(pattern, grad_BD, decoder_FD)
        decoder_grad_FD = None
        if ctx.needs_input_grad[1]:
            ordered_N = values_N[pattern.order_N]
            decoder_grad_FD = _weighted_sums(pattern.transposed, ordered_N, grad_BD)
            if ctx.tangent:
                # A row's gradient is sum_b v_b g_b; its product with the row is sum_b v_b (g_b d),
                # and g_b d is the value's own gradient, which is there already.
                parallel_F = _by_latent(pattern, values_N * values_grad_N)
                decoder_grad_FD.addcmul_(parallel_F[:, None], decoder_FD, value=-1)
        return values_grad_N, decoder_grad_FD, None, None


def dots(pattern: Pattern, x_BD: Tensor, weights_FD: Tensor) -> Tensor:
    """[N]: at each entry, the product of its row of x and its latent's row of weights."""
    if x_BD.device.type != "cpu":
        return _dots_by_gathering(pattern, x_BD, weights_FD)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Sparse CSR tensor support is in beta")
        entries = torch.sparse_csr_tensor(
            pattern.offsets_R,
            pattern.latents_N,
            x_BD.new_zeros(len(pattern.latents_N)),
            (len(x_BD), len(weights_FD)),
            check_invariants=False,
        )
    with torch.no_grad():
        return torch.sparse.sampled_addmm(entries, x_BD, weights_FD.T, beta=0).values()


def _dots_by_gathering(pattern: Pattern, x_BD: Tensor, weights_FD: Tensor) -> Tensor:
    size = max(1, PLAIN_BYTES // (x_BD.shape[1] * x_BD.element_size()))
    parts = zip(pattern.rows_N.split(size), pattern.latents_N.split(size), strict=True)
    return torch.cat([(x_BD[rows] * weights_FD[latents]).sum(-1) for rows, latents in parts])


def _weighted_sums(pattern: Pattern, values_N: Tensor, weights_FD: Tensor) -> Tensor:
    """[B, D]: the sum of the weights' rows at each row's entries, each times its value."""
    if weights_FD.device.type not in ("cpu", "cuda"):
        return _weighted_sums_by_adding(pattern, values_N, weights_FD)
    return functional.embedding_bag(
        pattern.latents_N,
        weights_FD.detach(),
        offsets=pattern.offsets_R,
        per_sample_weights=values_N.detach(),
        mode="sum",
        include_last_offset=True,
    )


def _weighted_sums_by_adding(pattern: Pattern, values_N: Tensor, weights_FD: Tensor) -> Tensor:
    sums_BD = weights_FD.new_zeros(len(pattern.offsets_R) - 1, weights_FD.shape[1])
    return sums_BD.index_add(0, pattern.rows_N, values_N[:, None] * weights_FD[pattern.latents_N])


def _by_latent(pattern: Pattern, values_N: Tensor) -> Tensor:
    """[F]: the sum of each latent's entries."""
    return values_N.new_zeros(pattern.width).index_add(0, pattern.latents_N, values_N)
