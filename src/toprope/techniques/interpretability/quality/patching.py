"""Passes with something added to the residual stream at a layer: what ablations, gradients and
integrated gradients are made of."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager

import torch
from torch import Tensor

from toprope.models.hooks import changed
from toprope.models.local import LocalModel

Score = Callable[[Tensor], Tensor]
"""From logits [B, V] after the last token to what is to be explained, [B]."""


def added(model: LocalModel, layer: int, push_BTD: Tensor) -> AbstractContextManager[None]:
    """While the context is open, `push_BTD` is added to the residual stream after `layer`.

    Raises:
        UserError: a layer the model doesn't have.
    """
    return changed(model, layer, lambda state_BTD: state_BTD + push_BTD.to(state_BTD.dtype))


def last_logits(model: LocalModel, ids_BT: Tensor) -> Tensor:
    """[B, V], float32: after the last token of rows of one length."""
    model.tokens_read += ids_BT.numel()
    return model.module(input_ids=ids_BT, use_cache=False, logits_to_keep=1).logits[:, -1].float()


def slopes(model: LocalModel, layer: int, ids_BT: Tensor, push_BTD: Tensor, score: Score) -> Tensor:
    """[B, T, D]: the gradient of each row's score to the residual stream after `layer`, where
    `push_BTD` has been added to it."""
    with torch.enable_grad():
        push_BTD = push_BTD.detach().clone().requires_grad_()
        with model.turn, added(model, layer, push_BTD):
            total = score(last_logits(model, ids_BT)).sum()
        return torch.autograd.grad(total, push_BTD)[0]


@torch.no_grad()
def scores(model: LocalModel, layer: int, ids_BT: Tensor, push_BTD: Tensor, score: Score) -> Tensor:
    """[B]: the score with `push_BTD` added after `layer`."""
    with model.turn, added(model, layer, push_BTD):
        return score(last_logits(model, ids_BT))
