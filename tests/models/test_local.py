"""A loaded model: what it says of itself, how it reads prompts, and steering."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import torch

from toprope.errors import UserError
from toprope.models import weights
from toprope.models.local import LocalModel

TEXTS = ["The capital of France is Paris.", "no", "Twelve plus thirty is forty-two"]
CHAT = [{"role": "user", "content": "Is Lagos in Norway?"}]


def test_a_model_says_what_it_is(tiny_model: LocalModel, tiny_folder: Path):
    assert tiny_model.name == str(tiny_folder)
    assert (tiny_model.n_layers, tiny_model.d_model) == (4, 32)
    assert tiny_model.is_causal
    assert tiny_model.fingerprint == weights.digest(tiny_folder)
    assert list(tiny_model.blocks) == list(tiny_model.module.model.layers)


def test_an_encoder_is_not_causal(tiny_encoder: LocalModel):
    assert not tiny_encoder.is_causal
    assert list(tiny_encoder.blocks) == list(tiny_encoder.module.encoder.layer)


def test_a_model_is_loaded_for_use_not_for_training(tiny_model: LocalModel):
    assert not tiny_model.module.training
    assert not any(weight.requires_grad for weight in tiny_model.module.parameters())


def test_weights_are_float32_on_a_cpu_unless_asked(tiny_model: LocalModel, tiny_folder: Path):
    assert tiny_model.module.dtype == torch.float32
    half = LocalModel.load(str(tiny_folder), device="cpu", dtype=torch.bfloat16)
    assert half.module.dtype == torch.bfloat16
    assert half.activations(TEXTS, [2]).layers[2].dtype == np.float32


def test_a_tokenizer_without_padding_gets_some(tiny_model: LocalModel):
    assert tiny_model.tokenizer.pad_token_id == tiny_model.tokenizer.eos_token_id


def test_loading_says_nothing_by_itself(tiny_folder: Path, capfd: pytest.CaptureFixture):
    from transformers.utils import logging

    LocalModel.load(str(tiny_folder), device="cpu")
    captured = capfd.readouterr()
    assert (captured.out, captured.err) == ("", "")
    assert logging.is_progress_bar_enabled()


def test_an_unknown_model_is_an_error():
    with pytest.raises(UserError, match="did you mean 'smollm2-135m'"):
        LocalModel.load("smollm-135m")


def test_text_is_read_as_it_is_and_messages_through_the_template(tiny_model: LocalModel):
    assert tiny_model.render("Hello", prefill=" there") == "Hello there"
    assert tiny_model.render(CHAT, prefill="No") == (
        "<|im_start|>user\nIs Lagos in Norway?<|im_end|>\n<|im_start|>assistant\nNo"
    )


def test_special_tokens_in_a_template_are_tokens(tiny_model: LocalModel):
    start, end = tiny_model.tokenizer.convert_tokens_to_ids(["<|im_start|>", "<|im_end|>"])
    tokens = tiny_model.tokens(CHAT)
    assert [token for token in tokens if token in (start, end)] == [start, end, start]


def test_an_empty_prompt_or_continuation_is_an_error(tiny_model: LocalModel):
    with pytest.raises(UserError, match="empty prompt"):
        tiny_model.tokens("")
    with pytest.raises(UserError, match="has no tokens"):
        tiny_model.continuation("")


def whole(model: LocalModel) -> dict[int, np.ndarray]:
    return model.activations(TEXTS, range(model.n_layers + 1), pool="none").layers


@pytest.mark.parametrize("layer", [1, 3])
def test_steering_adds_the_direction_at_its_layer(tiny_model: LocalModel, layer: int):
    direction_D = np.random.default_rng(0).normal(size=32)
    before = whole(tiny_model)
    with tiny_model.steer(layer, direction_D):
        steered = whole(tiny_model)
    for below in range(layer):
        np.testing.assert_array_equal(steered[below], before[below])
    moved_TD = steered[layer] - before[layer]
    np.testing.assert_allclose(moved_TD, np.tile(direction_D, (len(moved_TD), 1)), atol=1e-5)
    assert np.abs(steered[4] - before[4]).max() > 0.1


def test_steering_reaches_answers_and_ends_with_its_context(tiny_model: LocalModel):
    before = tiny_model.generate(TEXTS, max_tokens=8)
    with tiny_model.steer(2, 30 * torch.randn(32, generator=torch.Generator().manual_seed(0))):
        assert tiny_model.generate(TEXTS, max_tokens=8) != before
    assert tiny_model.generate(TEXTS, max_tokens=8) == before


def test_steering_ends_with_an_exception(tiny_model: LocalModel):
    before = whole(tiny_model)
    with pytest.raises(RuntimeError, match="on purpose"), tiny_model.steer(2, np.ones(32)):
        raise RuntimeError("on purpose")
    for layer, rows in whole(tiny_model).items():
        np.testing.assert_array_equal(rows, before[layer])


def test_directions_add_up(tiny_model: LocalModel):
    first_D, second_D = np.eye(32)[:2]
    with tiny_model.steer(2, first_D), tiny_model.steer(2, second_D):
        both = tiny_model.activations(TEXTS, [3]).layers[3]
    with tiny_model.steer(2, first_D + second_D):
        once = tiny_model.activations(TEXTS, [3]).layers[3]
    np.testing.assert_allclose(both, once, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("layer", [0, 5])
def test_a_layer_that_can_not_be_steered_is_an_error(tiny_model: LocalModel, layer: int):
    with (
        pytest.raises(UserError, match=f"at layers 1 to 4, not at {layer}"),
        tiny_model.steer(layer, np.ones(32)),
    ):
        pass


def test_a_direction_of_another_width_is_an_error(tiny_model: LocalModel):
    with (
        pytest.raises(UserError, match=r"by 32 numbers, not by \(31,\)"),
        tiny_model.steer(1, np.ones(31)),
    ):
        pass


def test_threads_that_ask_at_once_take_turns(tiny_model: LocalModel):
    """A capture's hooks stop the pass early: another thread's answer must not be cut by them."""
    texts = [f"walker {i} is in Lagos" for i in range(40)]
    wanted = [answer.tokens for answer in tiny_model.generate(texts, max_tokens=8)]
    states = tiny_model.activations(texts, [1]).layers[1]

    def answers() -> list[list[int]]:
        return [answer.tokens for answer in tiny_model.generate(texts, max_tokens=8)]

    def read() -> np.ndarray:
        return tiny_model.activations(texts, [1], budget=64).layers[1]

    with ThreadPoolExecutor(4) as pool:
        found = [(pool.submit(answers), pool.submit(read)) for _ in range(10)]
        for said, seen in found:
            assert said.result() == wanted
            np.testing.assert_allclose(seen.result(), states, atol=1e-4)
