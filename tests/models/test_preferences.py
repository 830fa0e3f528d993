"""DPO: what it learns, on which tokens, by which loss, and what it leaves alone."""

import math
import pickle
import random
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch.nn.functional import logsigmoid
from transformers import (
    BloomConfig,
    BloomForCausalLM,
    FalconConfig,
    FalconForCausalLM,
    FalconH1Config,
    FalconH1ForCausalLM,
    GPT2Config,
    GPT2LMHeadModel,
    MambaConfig,
    MambaForCausalLM,
    MistralConfig,
    MistralForCausalLM,
)

from toprope.errors import UserError
from toprope.models.adapters import Adapter, Lora
from toprope.models.answered import Answered, reads_together, summed
from toprope.models.local import LocalModel, Message
from toprope.models.preferences import Dpo, Preference, finetune_preferences

from ..local_models import passes

NAMES = ("Paris", "Lagos", "Norway", "the rope", "twelve", "nineteen")


def asked(text: str) -> tuple[Message, ...]:
    return ({"role": "user", "content": text},)


PAIRS = [Preference(asked(f"Is {name} there?"), "yes, it is", "no, never") for name in NAMES]
SETTINGS = Dpo(lora=Lora(rank=4, epochs=4, batch_size=4, learning_rate=1e-2))


def margin(model: LocalModel, pair: Preference) -> float:
    """How much likelier the chosen answer is, in nats."""
    [[chosen, rejected]] = model.option_probs([pair.prompt], [pair.chosen, pair.rejected])
    return math.log(chosen) - math.log(rejected)


def changed(base: LocalModel, lora: Lora) -> Adapter:
    """An adapter that does something, untrained."""
    adapter = Adapter.on(base, lora)
    rng = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for weight in adapter.weights().values():
            weight.copy_(0.1 * torch.randn(weight.shape, generator=rng))
    return adapter


def completion_logprob(model: LocalModel, prompt: Any, answer: str) -> float:
    """The summed log-probability of an answer and the end token, by a plain pass."""
    start = len(model.tokens(prompt))
    ids = model.tokens(prompt) + model.continuation(answer) + [model.tokenizer.eos_token_id]
    logits_TV = model.module(input_ids=torch.tensor([ids])).logits[0].double()
    logs_TV = logits_TV.log_softmax(-1)
    return sum(logs_TV[t - 1, ids[t]].item() for t in range(start, len(ids)))


def test_the_chosen_answers_become_likelier_and_the_base_stays(tiny_model: LocalModel):
    before = [margin(tiny_model, pair) for pair in PAIRS]
    layers = [(name, id(part)) for name, part in tiny_model.module.named_modules()]
    forwards = tiny_model.module.forward
    adapter, trained = finetune_preferences(tiny_model, PAIRS, SETTINGS)
    assert [margin(tiny_model, pair) for pair in PAIRS] == before
    assert [(name, id(part)) for name, part in tiny_model.module.named_modules()] == layers
    assert tiny_model.module.forward == forwards
    assert not any(weight.requires_grad for weight in tiny_model.module.parameters())
    model = adapter.applied()
    assert all(margin(model, p) > b + 5 for p, b in zip(PAIRS, before, strict=True))
    assert len(trained.losses) == 6  # 6 pairs, four times over, by 4
    assert trained.losses[0] == pytest.approx(math.log(2))
    assert (trained.losses[-1] < 0.1, trained.agreed[-1]) == (True, 1.0)
    assert trained.margins[-1] > 2


@pytest.mark.parametrize("imitation", [0.0, 0.5])
def test_the_loss_is_that_of_the_paper(tiny_model: LocalModel, imitation: float):
    lora = Lora(rank=4, epochs=1, batch_size=2)
    begin = changed(tiny_model, lora)
    beta, pairs = 0.3, PAIRS[:2]
    settings = Dpo(beta=beta, imitation=imitation, lora=lora)
    _, trained = finetune_preferences(tiny_model, pairs, settings, begin=begin)
    model = begin.applied()
    gains = []
    for pair in pairs:
        ratios = [
            completion_logprob(model, pair.prompt, answer)
            - completion_logprob(tiny_model, pair.prompt, answer)
            for answer in (pair.chosen, pair.rejected)
        ]
        gains.append(beta * (ratios[0] - ratios[1]))
    by_hand = -logsigmoid(torch.tensor(gains)).mean().item()
    assert abs(by_hand - math.log(2)) > 0.05
    logs = [completion_logprob(model, pair.prompt, pair.chosen) for pair in pairs]
    tokens = [len(tiny_model.continuation(pair.chosen)) + 1 for pair in pairs]
    surprise = -sum(log / n for log, n in zip(logs, tokens, strict=True)) / len(pairs)
    assert trained.losses[0] == pytest.approx(by_hand + imitation * surprise, rel=1e-3)
    assert trained.margins[0] == pytest.approx(float(np.mean(gains)), rel=1e-3)


@pytest.mark.parametrize("changes", [{"token_budget": 60}, {"token_budget": 1}, {"kept_tokens": 1}])
def test_training_does_not_depend_on_how_a_step_is_cut_into_passes(
    tiny_model: LocalModel, changes: dict[str, int]
):
    dropout = 0.1 if "kept_tokens" in changes else 0.0
    # Gradients are never cut, so that their size matters, and steps add up.
    lora = Lora(
        rank=4, epochs=3, batch_size=4, max_grad_norm=1e9, learning_rate=1e-3, dropout=dropout
    )
    (whole, told), (cut, told_too) = (
        finetune_preferences(tiny_model, PAIRS, Dpo(imitation=0.5, lora=one))
        for one in (lora, lora.model_copy(update=changes))
    )
    assert told_too.losses == pytest.approx(told.losses, rel=1e-4)
    assert told_too.margins == pytest.approx(told.margins, abs=1e-4)
    for name, weight in cut.weights().items():
        torch.testing.assert_close(weight, whole.weights()[name], atol=1e-4, rtol=0)


def test_long_passes_run_their_blocks_again_and_leave_them_as_they_were(tiny_model: LocalModel):
    block: Any = tiny_model.blocks[0]
    own, calls = block.forward, []

    def counted(*args: Any, **more: Any) -> Any:
        calls.append(torch.is_grad_enabled())
        return own(*args, **more)

    block.forward = counted
    try:
        runs = []
        for kept in (10_000, 1):
            calls.clear()
            lora = Lora(rank=2, epochs=1, batch_size=6, kept_tokens=kept)
            finetune_preferences(tiny_model, PAIRS, Dpo(lora=lora))
            runs.append(sum(calls))
            assert block.forward is counted
        assert runs == [1, 2]
    finally:
        del block.forward
    finetune_preferences(tiny_model, PAIRS, Dpo(lora=Lora(rank=2, epochs=1, kept_tokens=1)))
    assert not any("forward" in vars(block) for block in tiny_model.blocks)


def test_it_repeats_exactly_and_leaves_global_randomness_alone(tiny_model: LocalModel):
    def state() -> bytes:
        return pickle.dumps(
            [random.getstate(), np.random.get_state(), torch.get_rng_state().tolist()]
        )

    for draw in (random.random, np.random.random, lambda: torch.rand(1)):
        draw()  # so that it isn't as an earlier training left it
    before = state()
    first, second = (finetune_preferences(tiny_model, PAIRS, SETTINGS)[0] for _ in range(2))
    assert state() == before
    assert first.fingerprint == second.fingerprint
    other = SETTINGS.lora.model_copy(update={"seed": 1})
    third, _ = finetune_preferences(tiny_model, PAIRS, SETTINGS.model_copy(update={"lora": other}))
    assert third.fingerprint != first.fingerprint


def test_a_second_training_goes_on_from_the_first(tiny_model: LocalModel):
    first, _ = finetune_preferences(tiny_model, PAIRS, SETTINGS)
    before = first.fingerprint
    second, trained = finetune_preferences(tiny_model, PAIRS, SETTINGS, begin=first)
    assert first.fingerprint == before
    assert trained.margins[0] > 2  # relative to the model as it came
    assert margin(second.applied(), PAIRS[0]) > margin(first.applied(), PAIRS[0])


def test_half_precision_weights_are_trained_in_full(tiny_folder: Path):
    half = LocalModel.load(str(tiny_folder), device="cpu", dtype=torch.bfloat16)
    adapter, trained = finetune_preferences(half, PAIRS, SETTINGS)
    assert all(weight.dtype == torch.float32 for weight in adapter.weights().values())
    assert half.module.dtype == torch.bfloat16
    assert trained.losses[-1] < 0.2


def test_nothing_is_written_or_shown(
    tiny_model: LocalModel,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture,
    recwarn: pytest.WarningsRecorder,
):
    monkeypatch.setenv("TMPDIR", str(tmp_path / "tmp"))
    monkeypatch.setattr("tempfile.tempdir", None)
    (tmp_path / "tmp").mkdir()
    monkeypatch.chdir(tmp_path)
    finetune_preferences(tiny_model, PAIRS, SETTINGS)
    assert [path.name for path in tmp_path.rglob("*")] == ["tmp"]
    assert capfd.readouterr() == ("", "")
    assert not recwarn.list


def test_progress_and_cost_are_told_and_a_prompt_is_read_once(
    tiny_model: LocalModel, counting_progress
):
    before = tiny_model.tokens_read
    alone = SETTINGS.lora.model_copy(update={"token_budget": 1})  # no padding
    with passes(tiny_model.module) as read:
        _, trained = finetune_preferences(
            tiny_model, PAIRS, Dpo(lora=alone), progress=counting_progress
        )
    prompts = [len(tiny_model.tokens(pair.prompt)) for pair in PAIRS]
    answers = [
        [len(tiny_model.continuation(one)) + 1 for one in (pair.chosen, pair.rejected)]
        for pair in PAIRS
    ]
    once = sum(prompts) + sum(map(sum, answers))
    longest = max(range(len(PAIRS)), key=lambda i: prompts[i] + sum(answers[i]))
    # By the reference, in four epochs, and once as it's tried whether both go in one row.
    tried = 3 * prompts[longest] + 2 * sum(answers[longest])
    assert trained.tokens == tiny_model.tokens_read - before == 5 * once + tried
    padding = 2 * max(answers[longest]) - sum(answers[longest])
    assert sum(n * t for n, t in read) == 5 * once + tried + padding
    assert counting_progress.done == counting_progress.total == 4 * once


SHAPE: dict[str, Any] = {
    "vocab_size": 64,
    "hidden_size": 16,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "pad_token_id": 0,
}
SMALL_MISTRAL: dict[str, Any] = {**SHAPE, "intermediate_size": 32, "num_key_value_heads": 1}
STATE: dict[str, Any] = {"vocab_size": 64, "hidden_size": 16, "num_hidden_layers": 2}
KINDS: dict[str, tuple[Any, Any, bool]] = {
    "gpt2": (GPT2LMHeadModel, GPT2Config(**SHAPE, n_positions=23), True),
    "gpt2, whose context is too short for both": (
        GPT2LMHeadModel,
        GPT2Config(**SHAPE, n_positions=22),
        False,
    ),
    "mistral": (MistralForCausalLM, MistralConfig(**SMALL_MISTRAL, sliding_window=64), True),
    "mistral, short window": (
        MistralForCausalLM,
        MistralConfig(**SMALL_MISTRAL, sliding_window=12),
        False,
    ),
    "bloom, which takes no positions": (BloomForCausalLM, BloomConfig(**SHAPE), False),
    "falcon, which takes no such mask": (
        FalconForCausalLM,
        FalconConfig(**SHAPE, alibi=True),
        False,
    ),
    "mamba, which carries a state": (MambaForCausalLM, MambaConfig(**STATE, state_size=4), False),
    "falcon-h1, which carries one beside its attention": (
        FalconH1ForCausalLM,
        FalconH1Config(
            **SMALL_MISTRAL, mamba_d_ssm=16, mamba_n_heads=2, mamba_d_head=8, mamba_d_state=4
        ),
        False,
    ),
}


@pytest.mark.parametrize("kind", KINDS)
def test_two_answers_are_read_in_one_row_as_each_by_itself(tiny_model: LocalModel, kind: str):
    make, config, together = KINDS[kind]
    torch.manual_seed(0)
    module = make(config).eval()
    with torch.no_grad():
        for weight in module.parameters():
            weight.mul_(4)  # so that the words matter
    base = replace(tiny_model, module=module)
    rows = [
        Answered(list(range(1, 7)), [[20, 21, 22], [23, 24]]),  # padded by more than it has
        Answered(list(range(2, 20)), [[30], [31, 32, 33, 34]]),
    ]
    by_hand = []
    for row in rows:
        for answer in row.answers:
            with torch.no_grad():
                logits_TV = module(torch.tensor([row.prompt + answer])).logits[0]
            logs_TV = logits_TV.float().log_softmax(-1)
            start = len(row.prompt)
            each = [logs_TV[start + t - 1, one] for t, one in enumerate(answer)]
            by_hand.append(torch.stack(each).sum())
    assert reads_together(base, rows) == together
    read = rows if together else [one for row in rows for one in row.split()]
    with torch.no_grad():
        torch.testing.assert_close(summed(base, read), torch.stack(by_hand), atol=2e-3, rtol=1e-4)


def test_what_can_not_be_trained_is_an_error(
    tiny_model: LocalModel, base_model: LocalModel, tiny_encoder: LocalModel
):
    with pytest.raises(UserError, match="at least one item"):
        finetune_preferences(tiny_model, [], SETTINGS)
    with pytest.raises(UserError, match="is an encoder"):
        finetune_preferences(tiny_encoder, PAIRS, SETTINGS)
    with pytest.raises(UserError, match="no chat template"):
        finetune_preferences(base_model, PAIRS, SETTINGS)
    long = Preference(asked("rope " * 9999), "yes", "no")
    with pytest.raises(UserError, match="tokens at most, and a text has"):
        finetune_preferences(tiny_model, [long], SETTINGS)
    closed = Adapter.on(tiny_model, SETTINGS.lora)
    closed.close()
    others = [
        Adapter.on(tiny_model, SETTINGS.lora.model_copy(update=changes))
        for changes in ({"rank": 1}, {"alpha": 3}, {"targets": ("q_proj",)})
    ]
    for begin in (closed, *others):
        with pytest.raises(UserError, match="can't go on from"):
            finetune_preferences(tiny_model, PAIRS, SETTINGS, begin=begin)
    wild = SETTINGS.lora.model_copy(update={"learning_rate": 1e30, "max_grad_norm": 1e30})
    with pytest.raises(UserError, match=r"diverged at step .* lower learning_rate"):
        finetune_preferences(tiny_model, PAIRS, SETTINGS.model_copy(update={"lora": wild}))


@pytest.mark.model
def test_a_real_model_prefers_what_was_chosen(smollm: LocalModel):
    pairs = [
        Preference(asked(f"Say something about {name}."), f"{name} it is.", "I can't help.")
        for name in ("Paris", "rope", "glass", "Norway", "tea", "iron")
    ]
    before = [margin(smollm, pair) for pair in pairs]
    settings = Dpo(lora=Lora(rank=8, epochs=2, batch_size=3, learning_rate=2e-4))
    adapter, trained = finetune_preferences(smollm, pairs, settings)
    model = adapter.applied()
    assert all(margin(model, p) > b + 1 for p, b in zip(pairs, before, strict=True))
    assert trained.losses[-1] < trained.losses[0]
    assert margin(smollm, pairs[0]) == pytest.approx(before[0])
