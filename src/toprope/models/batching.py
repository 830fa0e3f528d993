"""Batches: which items go through a model together, and how they are padded."""

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor


def batches(lengths: Sequence[int], *, budget: int) -> Iterator[list[int]]:
    """Indices of the items, batch by batch, longest first, so that a batch that doesn't fit fails
    at once.

    Sorting by length keeps padding small.

    Args:
        lengths: tokens of each item.
        budget: the most tokens in a batch, padding included; an item over it goes alone.
    """
    order = sorted(range(len(lengths)), key=lambda i: -lengths[i])
    start = 0
    while start < len(order):
        longest = max(1, lengths[order[start]])
        stop = start + max(1, budget // longest)
        yield order[start:stop]
        start = stop


def right_padded(rows: Sequence[Sequence[int]], pad: int, device: torch.device) -> Tensor:
    """Token ids [B, T], padded at the end."""
    ids_BT = torch.full((len(rows), max(map(len, rows))), pad, dtype=torch.long)
    for i, row in enumerate(rows):
        ids_BT[i, : len(row)] = torch.tensor(row)
    return ids_BT.to(device)


def left_padded(
    rows: Sequence[Sequence[int]], pad: int, device: torch.device
) -> tuple[Tensor, Tensor, Tensor]:
    """Token ids, attention mask and positions, each [B, T], padded at the start, so that every row
    ends together."""
    ids_BT = torch.full((len(rows), max(map(len, rows))), pad, dtype=torch.long)
    mask_BT = torch.zeros_like(ids_BT)
    for i, row in enumerate(rows):
        at = ids_BT.shape[1] - len(row)
        ids_BT[i, at:] = torch.tensor(row, dtype=torch.long)
        mask_BT[i, at:] = 1
    positions_BT = (mask_BT.cumsum(1) - 1).clamp(min=0)
    return ids_BT.to(device), mask_BT.to(device), positions_BT.to(device)
