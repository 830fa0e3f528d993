"""A hook on a transformers model's block that changes the residual stream as it passes: what
steering, ablations and spliced reconstructions are made of. `capturing` only reads it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from torch import Tensor

from toprope.errors import UserError

if TYPE_CHECKING:
    from toprope.models.local import LocalModel


@contextmanager
def changed(model: LocalModel, layer: int, change: Callable[[Tensor], Tensor]) -> Iterator[None]:
    """While the context is open, the residual stream [B, T, D] after `layer` is what `change` makes
    of it, in its own dtype and shape.

    Raises:
        UserError: a layer the model doesn't have; 0, the embedding, can't be changed.
    """
    if not 1 <= layer <= model.n_layers:
        raise UserError(
            f"model '{model.name}' can be changed at layers 1 to {model.n_layers}, not at {layer}"
        )

    def exchange(_module: Any, _args: tuple, output: Any) -> Any:
        if isinstance(output, tuple):
            return (change(output[0]), *output[1:])
        return change(output)

    handle = model.blocks[layer - 1].register_forward_hook(exchange)
    try:
        yield
    finally:
        handle.remove()
