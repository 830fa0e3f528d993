"""A model's cache of keys and values: its name as an argument, which transformers 5.24 changed,
what it keeps and how much that is, and how it is filled."""

import inspect
from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import pad

KeysValues = tuple[Tensor, Tensor]
"""Of a layer, each [B, H, T, D]."""

AT_ONCE = 8192
"""Tokens that are read in one pass, padding included: what is computed on the way takes far more
memory than what is kept."""


def as_argument(module: Any, keys_values: Any) -> dict[str, Any]:
    """`module(..., **as_argument(module, keys_values))`."""
    takes = inspect.signature(module.forward).parameters
    return {"cache" if "cache" in takes else "past_key_values": keys_values}


def keeps_every_position(cache: Any, length: int) -> bool:
    """Whether of so many positions each stays as it is: none leaves a sliding window, and none is
    only part of a state that is carried on."""
    # Beside attention, too; and where a layer has none, or another's.
    if any(
        hasattr(one, "recurrent_states") or not hasattr(one, "is_sliding") for one in cache.layers
    ):
        return False
    windows = [layer.sliding_window for layer in cache.layers if layer.is_sliding]
    return all(length <= window for window in windows)


def bytes_per_token(module: Any) -> int:
    """Of keys and values, where every layer keeps every position. A model whose configuration
    doesn't tell its heads in one number is taken to share none."""
    config = module.config.get_text_config()
    heads = getattr(config, "num_attention_heads", None)
    shared = getattr(config, "num_key_value_heads", None) or heads
    width = config.hidden_size
    if isinstance(heads, int) and isinstance(shared, int):
        width = shared * (getattr(config, "head_dim", None) or width // heads)
    return 2 * config.num_hidden_layers * width * module.dtype.itemsize


def read_ahead(
    module: Any, cache: Any, ids_BT: Tensor, mask_BPT: Tensor, positions_BT: Tensor, *, last: int
) -> tuple[Tensor, Tensor]:
    """Reads into the cache what is too much for one pass.

    Args:
        mask_BPT: of what is in the cache, and of the tokens.
        last: how many of each row's last tokens the one pass has to read.

    Returns:
        Token ids and positions that are left to read, at least `last`; all of them, where the
        cache doesn't keep every position as it is.
    """
    most = max(last, AT_ONCE // len(ids_BT))
    if ids_BT.shape[1] > most and not keeps_every_position(cache, mask_BPT.shape[1]):
        return ids_BT, positions_BT
    while (left := ids_BT.shape[1]) > most:
        n = min(most, left - last)
        module(
            input_ids=ids_BT[:, :n],
            attention_mask=mask_BPT[:, : mask_BPT.shape[1] - left + n],
            position_ids=positions_BT[:, :n],
            use_cache=True,
            logits_to_keep=1,
            **as_argument(module, cache),
        )
        ids_BT, positions_BT = ids_BT[:, n:], positions_BT[:, n:]
    return ids_BT, positions_BT


def add_rows(cache: Any, loaded: Iterable[KeysValues]) -> None:
    """Puts rows behind those in the cache, which may be empty; the shorter are padded on the left.

    The cache is one that keeps every position.

    Args:
        loaded: of each layer.
    """
    for n, (layer, added) in enumerate(zip(cache.layers, loaded, strict=True)):
        if not layer.is_initialized:
            cache.update(*added, n)
            continue
        length = max(layer.keys.shape[2], added[0].shape[2])
        both = zip((layer.keys, layer.values), added, strict=True)
        layer.keys, layer.values = (
            torch.cat([pad_left(one, length, dim=2), pad_left(other, length, dim=2)])
            for one, other in both
        )


def pad_left(x: Tensor, length: int, *, dim: int) -> Tensor:
    """With zeros, to this length."""
    missing = length - x.shape[dim]
    return pad(x, (0, 0) * (x.ndim - 1 - dim) + (missing, 0)) if missing else x
