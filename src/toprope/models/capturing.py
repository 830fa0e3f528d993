"""Hooks on a transformers model's blocks that keep the states of layers as they pass."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from torch import Tensor, nn


class DeepEnough(Exception):  # noqa: N818 - not an error
    """Raised by the hook at the deepest layer: nothing above it is needed."""


@contextmanager
def captured(
    blocks: nn.ModuleList, layers: Sequence[int], *, stop: bool = False
) -> Iterator[dict[int, Tensor]]:
    """Layer -> the states [B, T, D] of the newest pass, while the context is open.

    Args:
        layers: 0 is what goes into the first block, i what comes out of block i.
        stop: ends a pass at the deepest of them, with `DeepEnough`.
    """
    states: dict[int, Tensor] = {}
    deepest = max(layers)

    def keep(layer: int, state: Tensor) -> None:
        if layer in layers:
            states[layer] = state
        if stop and layer == deepest:
            raise DeepEnough

    def after(layer: int) -> Callable[..., None]:
        return lambda _module, _args, output: keep(
            layer, output[0] if isinstance(output, tuple) else output
        )

    def before_first(_module: Any, args: tuple, kwargs: dict) -> None:
        keep(0, args[0] if args else kwargs["hidden_states"])

    handles = [blocks[0].register_forward_pre_hook(before_first, with_kwargs=True)]
    handles += [blocks[i - 1].register_forward_hook(after(i)) for i in layers if i > 0]
    try:
        yield states
    finally:
        for handle in handles:
            handle.remove()
