"""Probabilities of given continuations, held against plain forward passes of transformers."""

from dataclasses import replace
from typing import Any, Literal

import numpy as np
import pytest
import torch
from transformers import FalconH1Config, FalconH1ForCausalLM, MambaConfig, MambaForCausalLM

from toprope.errors import UserError
from toprope.models.local import LocalModel
from toprope.models.options import option_scores

from ..local_models import passes

PROMPTS = [
    "The capital of France is Paris. Is this statement true? Answer:",
    "Answer:",
    [{"role": "user", "content": "Is Lagos in Norway?"}],
    "Twelve plus thirty is forty-two, and nineteen minus seven is twelve. Answer:",
]
SHORT = [" yes", " no"]
LONG = [" yes", " Norway is stronger", " no, the city"]


def expected(model: LocalModel, prompt, options: list[str], length: str) -> np.ndarray:
    """[O], from one unpadded pass of prompt and option each."""
    head = model.tokens(prompt)
    scores = []
    for option in options:
        tail = model.tokenizer(option, add_special_tokens=False).input_ids
        with torch.no_grad():
            logits_TV = model.module(torch.tensor([head + tail])).logits[0].double()
        logprobs_TV = torch.log_softmax(logits_TV, -1)
        each = [float(logprobs_TV[len(head) + k - 1, token]) for k, token in enumerate(tail)]
        scores.append(sum(each) if length == "sum" else sum(each) / len(each))
    weights = np.exp(np.array(scores) - max(scores))
    return weights / weights.sum()


@pytest.mark.parametrize("length", ["sum", "mean"])
@pytest.mark.parametrize("options", [SHORT, LONG])
def test_probabilities_are_those_of_the_continuations(
    tiny_model: LocalModel, options: list[str], length: Literal["sum", "mean"]
):
    probs_NO = tiny_model.option_probs(PROMPTS, options, length=length)
    assert probs_NO.shape == (len(PROMPTS), len(options))
    for row, prompt in zip(probs_NO, PROMPTS, strict=True):
        np.testing.assert_allclose(row, expected(tiny_model, prompt, options, length), atol=1e-5)


def test_short_options_are_one_token_and_long_ones_are_not(tiny_model: LocalModel):
    """Both ways of scoring are under test above."""
    assert {len(tiny_model.continuation(option)) for option in SHORT} == {1}
    assert len({len(tiny_model.continuation(option)) for option in LONG}) == 3


def test_no_prompts_have_no_probabilities(tiny_model: LocalModel):
    assert tiny_model.option_probs([], LONG).shape == (0, len(LONG))


def test_each_prompt_may_have_options_of_its_own(tiny_model: LocalModel):
    options = [LONG[:2], LONG[1:], SHORT, LONG[::2]]
    probs_NO = tiny_model.option_probs(PROMPTS, options, length="mean")
    for row, prompt, some in zip(probs_NO, PROMPTS, options, strict=True):
        np.testing.assert_allclose(row, expected(tiny_model, prompt, some, "mean"), atol=1e-5)


@pytest.mark.parametrize(("sentences", "passages"), [(12, 1), (80, 2)])
def test_what_prompts_share_is_read_once(
    tiny_model: LocalModel, sentences: int, passages: int, monkeypatch
):
    """A passage for its questions, where a batch has room for both, and for all answers always."""
    monkeypatch.setattr("toprope.models.options.TOKEN_BUDGET", 500)
    passage = "The town had wells. " * sentences
    prompts = [passage + "How many?", passage + "Since when?"]
    with passes(tiny_model.module) as read:
        found = tiny_model.option_probs(prompts, LONG)
    assert sum(n * t for n, t in read) < (passages + 0.5) * len(tiny_model.tokens(prompts[0]))
    for row, prompt in zip(found, prompts, strict=True):
        np.testing.assert_allclose(row, expected(tiny_model, prompt, LONG, "sum"), atol=1e-5)


@pytest.mark.parametrize("options", [SHORT, LONG])
def test_a_prompt_does_not_depend_on_its_batch(tiny_model: LocalModel, options: list[str]):
    together = tiny_model.option_probs(PROMPTS, options)
    alone = [tiny_model.option_probs([prompt], options)[0] for prompt in PROMPTS]
    np.testing.assert_allclose(together, alone, atol=1e-5)


@pytest.mark.model
@pytest.mark.parametrize("options", [SHORT, LONG])
def test_a_prompt_of_a_real_model_does_not_depend_on_its_batch(
    smollm: LocalModel, options: list[str]
):
    together = smollm.option_probs(PROMPTS, options)
    alone = [smollm.option_probs([prompt], options)[0] for prompt in PROMPTS]
    np.testing.assert_allclose(together, alone, atol=1e-5)
    np.testing.assert_allclose(together[0], expected(smollm, PROMPTS[0], options, "sum"), atol=1e-5)


@pytest.mark.parametrize("options", [SHORT, LONG])
def test_rows_sum_to_one(tiny_model: LocalModel, options: list[str]):
    np.testing.assert_allclose(tiny_model.option_probs(PROMPTS, options).sum(1), 1)


def test_progress_counts_the_prompts(tiny_model: LocalModel, counting_progress):
    for options in (SHORT, LONG):
        tiny_model.option_probs(PROMPTS, options, progress=counting_progress)
        assert counting_progress.done == pytest.approx(counting_progress.total) == len(PROMPTS)


def test_what_is_read_is_counted(tiny_model: LocalModel):
    model = replace(tiny_model)
    model.option_probs(PROMPTS, SHORT)
    read = sum(len(model.tokens(prompt)) for prompt in PROMPTS)
    assert model.tokens_read == read
    model.option_probs(PROMPTS[:1], [" yes", " no, the city"])
    behind = len(model.continuation(" no, the city")) - 1
    assert model.tokens_read == read + len(model.tokens(PROMPTS[0])) + behind


def test_an_option_without_tokens_is_an_error(tiny_model: LocalModel):
    with pytest.raises(UserError, match="'' has no tokens"):
        tiny_model.option_probs(PROMPTS, [" yes", ""])


def test_an_encoder_has_no_next_words(tiny_encoder: LocalModel):
    with pytest.raises(UserError, match="is an encoder"):
        tiny_encoder.option_probs(PROMPTS[:1], SHORT)


def test_the_vocabularys_head_reads_states_in_one_piece(tiny_model: LocalModel):
    """Of a slice, torch would copy the head's weight for each item where it is in bfloat16."""
    pieces: list[bool] = []
    head = tiny_model.module.get_output_embeddings()
    handle = head.register_forward_pre_hook(
        lambda _module, args: pieces.append(args[0].is_contiguous())
    )
    try:
        tiny_model.option_probs(PROMPTS, SHORT)
        tiny_model.generate(PROMPTS, max_tokens=2)
    finally:
        handle.remove()
    assert len(pieces) > 1
    assert all(pieces)


STATE: dict[str, Any] = {"vocab_size": 50, "hidden_size": 16, "num_hidden_layers": 2}
BESIDE: dict[str, Any] = {
    "mamba_d_ssm": 16,
    "mamba_n_heads": 2,
    "mamba_d_head": 8,
    "num_attention_heads": 2,
    "num_key_value_heads": 1,
}


@pytest.mark.parametrize(
    ("make", "config"),
    [
        (MambaForCausalLM, MambaConfig(**STATE, state_size=4)),
        (FalconH1ForCausalLM, FalconH1Config(**STATE, **BESIDE)),
    ],
    ids=["a state", "a state beside attention"],
)
def test_a_model_that_carries_a_state_reads_every_row_whole(make: Any, config: Any):
    """Its state can't be shared between rows of unequal beginnings."""
    torch.manual_seed(0)
    module = make(config).eval()
    prompts, options = [[5, 6, 7, 8, 9, 10], [5, 6, 7, 8, 9, 11]], [[12], [13, 14]]
    found = option_scores(module, 0, prompts, [options] * 2, length="sum", advance=lambda _: None)
    for prompt, row_O in zip(prompts, found, strict=True):
        for option, score in zip(options, row_O, strict=True):
            with torch.no_grad():
                logits_TV = module(torch.tensor([prompt + option])).logits[0].log_softmax(-1)
            each = [float(logits_TV[len(prompt) + k - 1, one]) for k, one in enumerate(option)]
            assert score == pytest.approx(sum(each), abs=1e-4)
