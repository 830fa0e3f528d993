"""Shuffled batches of a capture's rows to train on, through a ring buffer of bounded memory.

The buffer is filled with rows as they are stored, from the shards in random order. Each batch is
drawn from it at random, and the rows that follow take its places. So a row comes once an epoch, and
with as many others as the buffer holds; the larger the memory, the nearer to a full shuffle. Rows
that make no whole batch at the end of an epoch are left to the next: a smaller batch would weigh
them more.

The draws don't depend on the data: to go on after n batches, give a generator in the same state as
at first, and `skip=n`, which reads nothing of what is skipped.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import count

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from toprope.errors import UserError
from toprope.techniques.interpretability.activations.captured import Capture, LayerRows
from toprope.techniques.interpretability.activations.shards import Rows, bytes_a_row

MEMORY_BYTES = 1 << 30


def batches(
    capture: Capture,
    layer: int,
    size: int,
    rng: np.random.Generator,
    *,
    skip: int = 0,
    epochs: int | None = 1,
    memory: int = MEMORY_BYTES,
) -> Iterator[Tensor]:
    """Batches of one layer's rows, standardised float32 [B, D], B always `size`.

    Args:
        skip: batches that were had before.
        epochs: how often each row comes; None: without end.
        memory: bytes of the buffer.

    Raises:
        UserError: the layer wasn't captured; a batch is more than the capture or the memory holds;
            a shard is damaged.
    """
    for (x_BD,) in aligned_batches(
        capture, [layer], size, rng, skip=skip, epochs=epochs, memory=memory
    ):
        yield x_BD


def aligned_batches(
    capture: Capture,
    layers: Sequence[int],
    size: int,
    rng: np.random.Generator,
    *,
    skip: int = 0,
    epochs: int | None = 1,
    memory: int = MEMORY_BYTES,
) -> Iterator[tuple[Tensor, ...]]:
    """As `batches`, the same rows of several layers together, in the order of `layers`."""
    sources = [capture.layer(layer) for layer in layers]
    capacity = _capacity(capture, sources, size, memory)
    step = 0
    for _ in count() if epochs is None else range(epochs):
        stream = _Stream(capture, rng)
        ring = _Ring(sources, stream.take(capacity))
        while len(ring) >= size:
            places_B = rng.choice(len(ring), size, replace=False, shuffle=False)
            if step >= skip:
                yield ring.read(places_B)
            ring.replace(places_B, stream.take(size))
            step += 1


def _capacity(capture: Capture, sources: Sequence[LayerRows], size: int, memory: int) -> int:
    """How many rows the buffer holds, numbers included."""
    rows = len(capture.training)
    if size > rows:
        raise UserError(
            f"the capture in {capture.folder} has {rows:,} rows to train on, and a batch has "
            f"{size:,}: capture more tokens, or take smaller batches"
        )
    row = sum(bytes_a_row(one.d_model, one.store) for one in sources) + np.dtype(np.int64).itemsize
    if memory // row < size:
        raise UserError(
            f"{memory:,} bytes of memory hold {memory // row:,} rows, and a batch has {size:,}: "
            "give more, best for twenty batches or more"
        )
    return min(rows, memory // row)


class _Stream:
    """The numbers of the rows to train on, once each: the shards in random order."""

    def __init__(self, capture: Capture, rng: np.random.Generator) -> None:
        starts = capture.starts.tolist()
        train = [
            (start, start + shard.rows)
            for start, shard in zip(starts, capture.shards, strict=True)
            if shard.training
        ]
        self._ranges = [train[i] for i in rng.permutation(len(train))]
        self._ranges.reverse()  # the next is at the end

    def take(self, most: int) -> NDArray[np.int64]:
        """The next ones; fewer at the end."""
        found = [np.empty(0, dtype=np.int64)]
        while most and self._ranges:
            start, stop = self._ranges.pop()
            end = min(stop, start + most)
            found.append(np.arange(start, end))
            most -= end - start
            if end < stop:
                self._ranges.append((end, stop))
        return np.concatenate(found)


class _Ring:
    """Rows in the buffer, by number, and of each layer as stored once one of them is read."""

    def __init__(self, sources: Sequence[LayerRows], rows_N: NDArray[np.int64]) -> None:
        self._sources, self._rows_N = sources, rows_N
        self._held: list[Rows] | None = None

    def __len__(self) -> int:
        return len(self._rows_N)

    def read(self, places_B: NDArray[np.int64]) -> tuple[Tensor, ...]:
        if self._held is None:
            self._held = [source.stored(self._rows_N) for source in self._sources]
        return tuple(
            source.decoded(held[torch.from_numpy(places_B)])
            for source, held in zip(self._sources, self._held, strict=True)
        )

    def replace(self, places_B: NDArray[np.int64], rows_N: NDArray[np.int64]) -> None:
        """New rows in the places of those that were read; where there are fewer, the buffer
        shrinks."""
        filled, empty = places_B[: len(rows_N)], places_B[len(rows_N) :]
        self._rows_N[filled] = rows_N
        for source, held in zip(self._sources, self._held or (), strict=False):
            held.put(torch.from_numpy(filled), source.stored(rows_N))
        if not len(empty):
            return
        # The last rows move into the holes before them.
        left = len(self) - len(empty)
        holes = empty[empty < left]
        last = np.setdiff1d(np.arange(left, len(self)), empty)
        self._rows_N[holes] = self._rows_N[last]
        for held in self._held or ():
            held.put(torch.from_numpy(holes), held[torch.from_numpy(last)])
        self._rows_N = self._rows_N[:left]
        if self._held:
            self._held = [held[:left] for held in self._held]
