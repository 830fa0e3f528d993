"""The training of an adapter: the items' order, AdamW, the learning rate's course, early stopping.

A run repeats exactly: order, first weights and dropout come from the seed in its settings, and
torch's global randomness is left as it was.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from toprope.errors import UserError
from toprope.models.adapters import Adapter, Lora, Training, seeded
from toprope.progress import Progress

if TYPE_CHECKING:
    from toprope.models.local import LocalModel


def train(
    adapter: Adapter,
    parameters: Sequence[nn.Parameter],
    lengths: Sequence[int],
    step: Callable[[list[int], float], float],
    validate: Callable[[], float] | None,
    progress: Progress | None,
) -> Training:
    """AdamW over the parameters; afterwards they are the best on validation, where there is one.

    Args:
        lengths: tokens of each item.
        step: adds the gradient of the given items' loss, at the given share of training, and
            returns the loss.
        validate: the loss on the validation items.

    Raises:
        UserError: the loss became infinite or no number.
    """
    lora, base = adapter.lora, adapter.base
    steps = list(plan(len(lengths), lora))
    due = {math.ceil(len(steps) * (k + 1) / lora.validations) for k in range(lora.validations)}
    # Not fused: what's kept of a prompt is forgotten by the weights' versions (`prefix_cache.py`).
    optimizer = torch.optim.AdamW(parameters, lora.learning_rate, weight_decay=lora.weight_decay)
    losses: list[float] = []
    validation: dict[int, float] = {}
    best: list[Tensor] | None = None
    kept = 0
    total = sum(lengths[i] for items in steps for i in items)
    shown = progress or Progress(quiet=True)
    with (
        seeded(lora.seed),
        _trainable(parameters),
        adapter.active(),
        shown.task(f"fine-tuning {base.name}", total) as task,
    ):
        for done, items in enumerate(steps):
            for group in optimizer.param_groups:
                group["lr"] = lora.learning_rate * rate(done, len(steps), lora)
            optimizer.zero_grad()
            with _dropping(adapter):
                losses.append(step(items, done / len(steps)))
            if not math.isfinite(losses[-1]):
                raise UserError(
                    f"fine-tuning '{base.name}' diverged at step {done + 1} (loss {losses[-1]}): "
                    f"lower learning_rate, which is {lora.learning_rate}"
                )
            nn.utils.clip_grad_norm_(parameters, lora.max_grad_norm)
            optimizer.step()
            tokens = sum(lengths[i] for i in items)
            base.tokens_read += tokens
            task.advance(tokens)

            if validate is None or done + 1 not in due:
                continue
            validation[done + 1] = validate()
            if validation[done + 1] == min(validation.values()):
                best = [weight.detach().clone() for weight in parameters]
                kept = done + 1
            elif sum(at > kept for at in validation) >= lora.patience:
                break
    if best is None:
        return Training(tuple(losses), {}, kept=len(losses))
    with torch.no_grad():
        for weight, good in zip(parameters, best, strict=True):
            weight.copy_(good)
    return Training(tuple(losses), validation, kept)


def check_trainable(base: LocalModel, items: int) -> None:
    """
    Raises:
        UserError: the model is an encoder, or there is nothing to train on.
    """
    if not base.is_causal:
        raise UserError(f"model '{base.name}' is an encoder: it can't be fine-tuned here")
    if not items:
        raise UserError(f"fine-tuning '{base.name}' needs at least one item to train on")


def plan(n: int, lora: Lora) -> Iterator[list[int]]:
    """The items of each step.

    Steps run over the ends of epochs, so that every batch is full: a partial one would have a
    noisier gradient and the same weight.
    """
    rng = torch.Generator().manual_seed(lora.seed)
    size = min(n, lora.batch_size)
    waiting: list[int] = []
    for _ in range(math.ceil(n * lora.epochs / size)):
        while len(waiting) < size:
            waiting += torch.randperm(n, generator=rng).tolist()
        yield waiting[:size]
        waiting = waiting[size:]


def rate(step: int, steps: int, lora: Lora) -> float:
    """The learning rate's share of its peak."""
    warm = math.ceil(lora.warmup * steps)
    if step < warm:
        return (step + 1) / warm
    gone = (step - warm) / (steps - warm)
    if lora.decay == "cosine":
        return (1 + math.cos(math.pi * gone)) / 2
    return 1 - gone if lora.decay == "linear" else 1.0


@contextmanager
def _trainable(parameters: Sequence[nn.Parameter]) -> Iterator[None]:
    for weight in parameters:
        weight.requires_grad_(True)
    try:
        yield
    finally:
        for weight in parameters:
            weight.requires_grad_(False)
            weight.grad = None


@contextmanager
def _dropping(adapter: Adapter) -> Iterator[None]:
    """Dropout in the adapter; the base stays in evaluation mode."""
    for layer in adapter.layers.values():
        layer.lora_dropout.train()
    try:
        yield
    finally:
        for layer in adapter.layers.values():
            layer.lora_dropout.eval()
