"""A cache of keys and values with room for more.

transformers' own copies all that it has for each new token, which takes a third of a large
batch's step. (This module imports transformers: import it where a model is.)
"""

from typing import Any

import torch
from torch import Tensor
from transformers import DynamicCache
from transformers.cache_utils import DynamicLayer

ROOM = 64
"""Positions for which room is made at a time."""


class GrowingLayer(DynamicLayer):
    """A `DynamicLayer` that is copied once in `ROOM` tokens; without gradients.

    What it shows is the beginning of its store. Where something else was put in its place (fewer
    rows, fewer positions), a new store is made of that.
    """

    _store: tuple[Tensor, Tensor] | None = None
    _shown: Tensor | None = None

    def update(
        self, key_states: Tensor, value_states: Tensor, *args: Any, **kwargs: Any
    ) -> tuple[Tensor, Tensor]:
        before = self.get_seq_length()
        end = before + key_states.shape[-2]
        store = self._store
        if store is None or self.keys is not self._shown or end > store[0].shape[-2]:
            whole = super().update(key_states, value_states, *args, **kwargs)
            self._store = store = _with_room(whole[0]), _with_room(whole[1])
        else:
            for stored, new in zip(store, (key_states, value_states), strict=True):
                stored[..., before:end, :] = new
        keys, values = store
        self.keys, self.values = keys[..., :end, :], values[..., :end, :]
        self._shown = self.keys
        return self.keys, self.values


def growing_cache(module: Any) -> DynamicCache:
    """An empty one for this model. Layers that don't keep every position are transformers' own."""
    cache = DynamicCache(config=module.config)
    cache.layers = [
        GrowingLayer() if type(layer) is DynamicLayer else layer for layer in cache.layers
    ]
    return cache


def _with_room(x: Tensor) -> Tensor:
    *outer, length, width = x.shape
    store = torch.empty((*outer, length + ROOM, width), dtype=x.dtype, device=x.device)
    store[..., :length, :] = x
    return store
