"""The name by which a model takes its cache of keys and values: transformers 5.24 changed it."""

import inspect
from typing import Any


def as_argument(module: Any, keys_values: Any) -> dict[str, Any]:
    """`module(..., **as_argument(module, keys_values))`."""
    takes = inspect.signature(module.forward).parameters
    return {"cache" if "cache" in takes else "past_key_values": keys_values}
