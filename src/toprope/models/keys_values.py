"""A model's cache of keys and values: its name as an argument, which transformers 5.24 changed, and
what it keeps."""

import inspect
from typing import Any


def as_argument(module: Any, keys_values: Any) -> dict[str, Any]:
    """`module(..., **as_argument(module, keys_values))`."""
    takes = inspect.signature(module.forward).parameters
    return {"cache" if "cache" in takes else "past_key_values": keys_values}


def keeps_every_position(cache: Any, length: int) -> bool:
    """Whether of so many positions each stays as it is: none leaves a sliding window, and none is
    only part of a state that is carried on."""
    if any(hasattr(layer, "recurrent_states") for layer in cache.layers):  # beside attention, too
        return False
    windows = [layer.sliding_window for layer in cache.layers if layer.is_sliding]
    return all(length <= window for window in windows)
