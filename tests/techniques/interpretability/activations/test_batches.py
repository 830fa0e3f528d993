"""Batches: every row to train on once an epoch, shuffled, within the memory given."""

from itertools import islice

import numpy as np
import pytest
import torch

from toprope.errors import UserError
from toprope.techniques.interpretability.activations.batches import aligned_batches, batches
from toprope.techniques.interpretability.activations.captured import LayerRows

SIZE = 32
ROW = 2 * 2 + 8
"""Bytes of two channels in float16, and of the row's number."""


def rng(seed=0):
    return np.random.default_rng(seed)


def numbers(found) -> list[int]:
    """Which row of the capture each row of the batches is."""
    return [int(number) for x_BD in found for number in x_BD[:, 0]]


@pytest.mark.parametrize("memory", [ROW * SIZE, ROW * 150, 1 << 30])
def test_every_row_to_train_on_comes_once(numbered, memory):
    found = list(batches(numbered, 1, SIZE, rng(), memory=memory))
    assert all(x_BD.shape == (SIZE, 2) and x_BD.dtype == torch.float32 for x_BD in found)
    seen = numbers(found)
    n_train = len(numbered.training)
    assert len(found) == n_train // SIZE
    assert len(set(seen)) == len(seen)
    assert set(seen) <= set(numbered.training)
    assert seen != sorted(seen)


def test_epochs_differ_and_each_has_every_row(numbered):
    per_epoch = len(numbered.training) // SIZE
    found = list(batches(numbered, 1, SIZE, rng(), epochs=3))
    assert len(found) == 3 * per_epoch
    epochs = [numbers(found[i : i + per_epoch]) for i in range(0, len(found), per_epoch)]
    assert all(len(set(epoch)) == per_epoch * SIZE for epoch in epochs)
    assert epochs[0] != epochs[1] != epochs[2]
    endless = islice(batches(numbered, 1, SIZE, rng(), epochs=None), 3 * per_epoch + 1)
    assert all(torch.equal(a, b) for a, b in zip(found, endless, strict=False))


@pytest.mark.parametrize("memory", [ROW * 150, 1 << 30])
@pytest.mark.parametrize("done", [1, 9, 40])
def test_skipping_goes_on_where_it_was(numbered, memory, done):
    def found(skip, epochs=2):
        return list(batches(numbered, 1, SIZE, rng(), skip=skip, epochs=epochs, memory=memory))

    whole = found(0)
    assert len(whole) > 40 > len(whole) // 2 > 9  # one of them is in the second epoch
    rest = found(done)
    assert len(rest) == len(whole) - done
    assert all(torch.equal(a, b) for a, b in zip(rest, whole[done:], strict=True))


def test_seeds_make_the_order(numbered):
    first, same, other = (numbers(batches(numbered, 1, SIZE, rng(seed))) for seed in (0, 0, 1))
    assert first == same != other


def test_layers_are_aligned(numbered):
    for at_1, at_3 in aligned_batches(numbered, [1, 3], SIZE, rng(), memory=2 * ROW * SIZE):
        assert numbers([at_1]) == numbers([at_3])
        assert (at_1[:, 1] == 0).all()
        assert (at_3[:, 1] == 1).all()


def test_no_more_rows_are_read_than_the_memory_holds(numbered, monkeypatch):
    read = [0]
    stored = LayerRows.stored

    def counted(self, rows_N):
        read[0] += len(rows_N)
        return stored(self, rows_N)

    monkeypatch.setattr(LayerRows, "stored", counted)
    for step, _ in enumerate(batches(numbered, 1, SIZE, rng(), memory=ROW * 100)):
        assert read[0] <= 100 + step * SIZE
    assert read[0] == len(numbered.training)


def test_skipping_reads_nothing_of_what_is_skipped(numbered, monkeypatch):
    read = []
    stored = LayerRows.stored
    monkeypatch.setattr(
        LayerRows, "stored", lambda self, rows_N: read.append(len(rows_N)) or stored(self, rows_N)
    )
    next(batches(numbered, 1, SIZE, rng(), skip=9, memory=ROW * 100))
    assert read == [100]


def test_a_larger_buffer_mixes_farther(numbered):
    def spread(memory):
        """Shards in a batch, on average."""
        found = batches(numbered, 1, SIZE, rng(), memory=memory)
        shard = [
            len(set(np.searchsorted(numbered.starts, numbers([x_BD]), side="right")))
            for x_BD in found
        ]
        return np.mean(shard)

    assert spread(ROW * SIZE) < 2 < spread(1 << 30)


def test_too_little_of_anything_is_one_line(numbered):
    with pytest.raises(UserError, match="rows to train on, and a batch has 5,000"):
        next(batches(numbered, 1, 5000, rng()))
    with pytest.raises(UserError, match="200 bytes of memory hold 16 rows, and a batch has 32"):
        next(batches(numbered, 1, SIZE, rng(), memory=200))
    with pytest.raises(UserError, match="has no layer 2"):
        next(batches(numbered, 2, SIZE, rng()))
