"""Batches hold every item once, longest first, within the budget; padding is where it should be."""

import numpy as np
import pytest
import torch

from toprope.models.batching import batches, left_padded, right_padded

LENGTHS = np.random.default_rng(0).integers(0, 60, size=200).tolist()
CPU = torch.device("cpu")


@pytest.mark.parametrize("budget", [1, 59, 64, 1000, 10**6])
def test_every_item_is_in_one_batch(budget: int):
    indices = [i for batch in batches(LENGTHS, budget=budget) for i in batch]
    assert sorted(indices) == list(range(len(LENGTHS)))


@pytest.mark.parametrize("budget", [60, 64, 1000])
def test_no_batch_exceeds_its_budget_with_its_padding(budget: int):
    for batch in batches(LENGTHS, budget=budget):
        assert len(batch) * max(LENGTHS[i] for i in batch) <= budget


def test_a_batch_is_as_full_as_its_budget_allows():
    sizes = [len(batch) for batch in batches([10] * 25, budget=100)]
    assert sizes == [10, 10, 5]


def test_an_item_over_the_budget_goes_alone():
    assert list(batches([3, 99, 2], budget=10)) == [[1], [0, 2]]


def test_the_longest_come_first_and_equals_in_order():
    order = [i for batch in batches([2, 5, 2, 9, 5], budget=10) for i in batch]
    assert order == [3, 1, 4, 0, 2]


def test_no_items_make_no_batches():
    assert list(batches([], budget=10)) == []


def test_right_padding_is_behind_the_row():
    ids_BT = right_padded([[1, 2, 3], [4]], 0, CPU)
    assert ids_BT.tolist() == [[1, 2, 3], [4, 0, 0]]


def test_left_padding_is_before_the_row_masked_and_not_counted():
    ids_BT, mask_BT, positions_BT = left_padded([[1, 2, 3], [4]], 9, CPU)
    assert ids_BT.tolist() == [[1, 2, 3], [9, 9, 4]]
    assert mask_BT.tolist() == [[1, 1, 1], [0, 0, 1]]
    assert positions_BT.tolist() == [[0, 1, 2], [0, 0, 0]]
