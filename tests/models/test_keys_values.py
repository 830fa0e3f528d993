"""A cache goes in under the name that the installed transformers has for it, is filled in passes
that aren't too large, and takes as much memory as is reckoned."""

import warnings
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from transformers import (
    LlamaConfig,
    LlamaForCausalLM,
    MambaConfig,
    MistralConfig,
    MistralForCausalLM,
)

from toprope.models import generation, keys_values
from toprope.models.generation import Request, StateWatch
from toprope.models.growing_cache import growing_cache
from toprope.models.keys_values import as_argument, bytes_per_token
from toprope.models.local import LocalModel

from ..local_models import passes

pytestmark = pytest.mark.usefixtures("nothing_kept")

PROMPTS = ["The city of Lagos is a " * 9, "No.", "Is it in Nigeria, or in Norway? " * 6]


def test_the_name_is_the_models_own():
    def new(input_ids, cache=None, **others): ...

    def old(input_ids, past_key_values=None, **others): ...

    assert as_argument(SimpleNamespace(forward=new), 1) == {"cache": 1}
    assert as_argument(SimpleNamespace(forward=old), 1) == {"past_key_values": 1}


def test_nothing_that_users_would_be_warned_of_is_used(tiny_model: LocalModel):
    with warnings.catch_warnings():
        warnings.simplefilter("error", FutureWarning)
        tiny_model.generate(["The city of Lagos"], max_tokens=3)
        tiny_model.activations(["Lagos is in"], [1], continuations=[" Nigeria"], score=True)


@pytest.mark.parametrize("prompts", [PROMPTS, [PROMPTS[0] + end for end in ("Yes", "No", "So")]])
def test_long_prompts_are_read_in_passes_of_no_more_tokens_than_that(
    tiny_model: LocalModel, monkeypatch: pytest.MonkeyPatch, prompts: list[str]
):
    """Also where what they begin with alike is read first."""
    at_once = [answer.tokens for answer in tiny_model.generate(prompts, max_tokens=8)]
    monkeypatch.setattr(keys_values, "AT_ONCE", 40)
    with passes(tiny_model.module) as seen:
        in_pieces = [answer.tokens for answer in tiny_model.generate(prompts, max_tokens=8)]
    assert in_pieces == at_once
    assert max(rows * positions for rows, positions in seen) <= 40
    assert sum(positions > 1 for _, positions in seen) > 2


def test_the_last_pass_has_the_states_that_are_watched(
    tiny_model: LocalModel, monkeypatch: pytest.MonkeyPatch
):
    def states() -> np.ndarray:
        mine: list[np.ndarray] = []

        def read(x_TF: np.ndarray) -> bool:
            mine.append(x_TF)
            return False

        tokens = tiny_model.tokens(PROMPTS[0])
        watch = StateWatch((1, 2), 15, read)
        tiny_model.complete([Request(tokens, max_tokens=3, watch=watch)])
        return np.concatenate(mine)

    at_once = states()
    monkeypatch.setattr(keys_values, "AT_ONCE", 8)
    np.testing.assert_allclose(states(), at_once, rtol=1e-3, atol=1e-3)


def test_what_a_window_would_lose_is_read_in_one(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(keys_values, "AT_ONCE", 8)
    config = MistralConfig(
        vocab_size=64,
        hidden_size=16,
        intermediate_size=32,
        num_hidden_layers=1,
        num_attention_heads=2,
        num_key_value_heads=2,
        sliding_window=12,
    )
    module = MistralForCausalLM(config).eval()
    ids_BT = torch.arange(1, 31)[None]
    mask_BT = torch.ones_like(ids_BT)

    def left(window: int) -> int:
        config.sliding_window = window
        cache = growing_cache(module)
        with torch.inference_mode():
            rest_BT, _ = keys_values.read_ahead(module, cache, ids_BT, mask_BT, ids_BT - 1, last=1)
        return rest_BT.shape[1]

    assert left(12) == 30
    assert left(64) <= 8


def test_a_layer_without_a_cache_of_its_own_keeps_nothing():
    """As those that share another's keys: transformers gives them a stand-in."""
    assert not keys_values.keeps_every_position(SimpleNamespace(layers=[object()]), 8)


def test_a_token_takes_as_much_memory_as_is_reckoned():
    config = LlamaConfig(
        vocab_size=64,
        hidden_size=32,
        intermediate_size=32,
        num_hidden_layers=3,
        num_attention_heads=4,
        num_key_value_heads=2,
    )
    module: Any = LlamaForCausalLM(config)
    module = module.to(torch.bfloat16).eval()
    cache: Any = growing_cache(module)
    with torch.inference_mode():
        module(input_ids=torch.ones(1, 5, dtype=torch.long), **as_argument(module, cache))
    kept = sum(x.numel() * x.itemsize for layer in cache.layers for x in (layer.keys, layer.values))
    assert bytes_per_token(module) == kept / 5


def test_a_model_without_heads_is_reckoned_by_its_width():
    config = MambaConfig(hidden_size=16, num_hidden_layers=3)
    module = SimpleNamespace(config=config, dtype=torch.float32)
    assert bytes_per_token(module) == 2 * 3 * 16 * 4


def test_a_batch_is_bounded_by_memory_within_limits(monkeypatch: pytest.MonkeyPatch):
    def budget(gigabytes_per_million: float) -> int:
        monkeypatch.setattr(generation, "bytes_per_token", lambda _: gigabytes_per_million * 1000)
        return int(generation.token_budget(None))

    assert budget(1) == 32_768
    assert budget(150) == 14_316
    assert budget(10_000) == 8192
