"""A cache with room holds what transformers' own holds, and copies it seldom."""

from typing import Any

import pytest
import torch
from torch import Tensor
from transformers import DynamicCache, Gemma3ForCausalLM, Gemma3TextConfig
from transformers.cache_utils import DynamicLayer

from toprope.models import growing_cache as module_under_test
from toprope.models.growing_cache import GrowingLayer, growing_cache
from toprope.models.keys_values import as_argument
from toprope.models.local import LocalModel


def step(model: LocalModel, cache: Any, ids_BT: Tensor) -> Tensor:
    """The logits [B, V] behind what the cache and these hold."""
    before = cache.get_seq_length()
    positions = torch.arange(before, before + ids_BT.shape[1]).expand(ids_BT.shape)
    with torch.inference_mode():
        out = model.module(
            input_ids=ids_BT,
            attention_mask=torch.ones(len(ids_BT), before + ids_BT.shape[1], dtype=torch.long),
            position_ids=positions,
            use_cache=True,
            **as_argument(model.module, cache),
        )
    return out.logits[:, -1]


def test_what_it_shows_is_what_transformers_cache_has(
    tiny_model: LocalModel, monkeypatch: pytest.MonkeyPatch
):
    """Beyond its room, and where rows or positions were taken from it."""
    monkeypatch.setattr(module_under_test, "ROOM", 4)
    ours: Any = growing_cache(tiny_model.module)
    theirs: Any = DynamicCache(config=tiny_model.module.config)
    assert {type(layer) for layer in ours.layers} == {GrowingLayer}
    torch.manual_seed(0)
    pieces_BT = torch.randint(5, 100, (4, 5)), *torch.randint(5, 100, (9, 4, 1))
    keep = torch.tensor([3, 1])
    for i, ids_BT in enumerate(pieces_BT):
        if i == 4:
            ours.batch_select_indices(keep)
            theirs.batch_select_indices(keep)
        if i == 6:
            ours.crop(-2)
            theirs.crop(-2)
        rows_BT = ids_BT[keep] if i >= 4 else ids_BT
        ours_BV, theirs_BV = (step(tiny_model, cache, rows_BT) for cache in (ours, theirs))
        torch.testing.assert_close(ours_BV, theirs_BV)
        for our, their in zip(ours.layers, theirs.layers, strict=True):
            torch.testing.assert_close(our.keys, their.keys)
            torch.testing.assert_close(our.values, their.values)


def test_it_is_copied_once_in_a_room(tiny_model: LocalModel, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(module_under_test, "ROOM", 4)
    cache: Any = growing_cache(tiny_model.module)
    stores = []
    for _ in range(10):
        step(tiny_model, cache, torch.tensor([[7]]))
        stores.append(cache.layers[0].keys.untyped_storage().data_ptr())
    assert len(set(stores)) == 2


def test_layers_with_windows_stay_as_they_are():
    config = Gemma3TextConfig(
        vocab_size=64,
        hidden_size=16,
        intermediate_size=32,
        num_hidden_layers=2,
        num_attention_heads=2,
        num_key_value_heads=1,
        head_dim=8,
        sliding_window=4,
        layer_types=["sliding_attention", "full_attention"],
    )
    window, full = growing_cache(Gemma3ForCausalLM(config)).layers
    assert isinstance(full, GrowingLayer)
    assert isinstance(window, DynamicLayer)
    assert not isinstance(window, GrowingLayer)
