"""Passes with something added to the residual stream at a layer: what ablations, gradients and
integrated gradients are made of."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor

from toprope.errors import UserError
from toprope.models.local import LocalModel

Score = Callable[[Tensor], Tensor]
"""From logits [B, V] after the last token to what is to be explained, [B]."""


@contextmanager
def added(model: LocalModel, layer: int, push_BTD: Tensor) -> Iterator[None]:
    """While the context is open, `push_BTD` is added to the residual stream after `layer`.

    Raises:
        UserError: a layer the model doesn't have.
    """
    if not 1 <= layer <= model.n_layers:
        raise UserError(
            f"model '{model.name}' can be patched at layers 1 to {model.n_layers}, not at {layer}"
        )

    def add(_module: Any, _args: tuple, output: Any) -> Any:
        if isinstance(output, tuple):
            return (output[0] + push_BTD.to(output[0].dtype), *output[1:])
        return output + push_BTD.to(output.dtype)

    handle = model.blocks[layer - 1].register_forward_hook(add)
    try:
        yield
    finally:
        handle.remove()


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
