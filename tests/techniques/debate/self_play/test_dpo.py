"""DPO by TRL: what it learns, on which tokens, by which loss, and what it leaves alone."""

import importlib.util
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

from toprope.errors import UserError
from toprope.models.adapters import Adapter, Lora
from toprope.models.local import LocalModel, Message
from toprope.techniques.debate.self_play.dpo import (
    DpoSettings,
    Preference,
    check_installed,
    train,
)

NAMES = ("Paris", "Lagos", "Norway", "the rope", "twelve", "nineteen")


def asked(text: str) -> tuple[Message, ...]:
    return ({"role": "user", "content": text},)


PAIRS = [Preference(asked(f"Is {name} there?"), "yes, it is", "no, never") for name in NAMES]
SETTINGS = DpoSettings(lora=Lora(rank=4, epochs=4, batch_size=4, learning_rate=1e-2))


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
    """The summed log-probability of an answer as the chat template has it, by a plain pass."""
    messages = [*prompt, {"role": "assistant", "content": answer}]
    text = model.tokenizer.apply_chat_template(messages, tokenize=False)
    ids = model.tokenizer(text, add_special_tokens=False).input_ids
    start = len(model.tokens(prompt))
    assert ids[:start] == model.tokens(prompt)
    logits_TV = model.module(input_ids=torch.tensor([ids])).logits[0].double()
    logs_TV = logits_TV.log_softmax(-1)
    return sum(logs_TV[t - 1, ids[t]].item() for t in range(start, len(ids)))


def test_the_chosen_answers_become_likelier_and_the_base_stays(tiny_model: LocalModel):
    before = [margin(tiny_model, pair) for pair in PAIRS]
    layers = [(name, id(part)) for name, part in tiny_model.module.named_modules()]
    forwards = tiny_model.module.forward
    adapter, trained = train(tiny_model, PAIRS, SETTINGS)
    assert [margin(tiny_model, pair) for pair in PAIRS] == before
    assert [(name, id(part)) for name, part in tiny_model.module.named_modules()] == layers
    assert tiny_model.module.forward == forwards
    assert not any(weight.requires_grad for weight in tiny_model.module.parameters())
    model = adapter.applied()
    assert all(margin(model, p) > b + 5 for p, b in zip(PAIRS, before, strict=True))
    assert len(trained.losses) == 8  # 6 pairs by 4, four times over
    assert trained.losses[0] == pytest.approx(math.log(2))
    assert (trained.losses[-1] < 0.1, trained.agreed[-1]) == (True, 1.0)
    assert trained.margins[-1] > 2


@pytest.mark.parametrize("imitation", [0.0, 0.5])
def test_the_loss_is_that_of_the_paper(tiny_model: LocalModel, imitation: float):
    lora = Lora(rank=4, epochs=1, batch_size=2)
    begin = changed(tiny_model, lora)
    beta, pairs = 0.3, PAIRS[:2]
    settings = DpoSettings(beta=beta, imitation=imitation, lora=lora)
    _, trained = train(tiny_model, pairs, settings, begin=begin)
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
    n = sum(len(tiny_model.continuation(pair.chosen + "<|im_end|>\n")) for pair in pairs)
    assert trained.losses[0] == pytest.approx(by_hand - imitation * sum(logs) / n, rel=1e-3)
    assert trained.margins[0] == pytest.approx(float(np.mean(gains)), rel=1e-3)


def test_a_step_does_not_depend_on_how_it_is_cut_into_passes(tiny_model: LocalModel):
    lora = Lora(rank=4, epochs=1, batch_size=4, learning_rate=1e-3)
    outcomes = [
        train(tiny_model, PAIRS[:4], DpoSettings(lora=lora.model_copy(update=changes)))
        for changes in ({}, {"token_budget": 1}, {"kept_tokens": 1})
    ]
    (adapter, _), *others = outcomes
    for other, _ in others:
        for name, weight in other.weights().items():
            torch.testing.assert_close(weight, adapter.weights()[name], atol=2e-5, rtol=0)


def test_it_repeats_exactly_and_leaves_global_randomness_alone(tiny_model: LocalModel):
    def state() -> bytes:
        return pickle.dumps(
            [random.getstate(), np.random.get_state(), torch.get_rng_state().tolist()]
        )

    for draw in (random.random, np.random.random, lambda: torch.rand(1)):
        draw()  # so that it isn't as an earlier training left it
    before = state()
    first, second = (train(tiny_model, PAIRS, SETTINGS)[0] for _ in range(2))
    assert state() == before
    assert first.fingerprint == second.fingerprint
    other = SETTINGS.lora.model_copy(update={"seed": 1})
    third, _ = train(tiny_model, PAIRS, SETTINGS.model_copy(update={"lora": other}))
    assert third.fingerprint != first.fingerprint


def test_a_second_training_goes_on_from_the_first(tiny_model: LocalModel):
    first, _ = train(tiny_model, PAIRS, SETTINGS)
    before = first.fingerprint
    second, trained = train(tiny_model, PAIRS, SETTINGS, begin=first)
    assert first.fingerprint == before
    assert trained.margins[0] > 2  # relative to the model as it came
    assert margin(second.applied(), PAIRS[0]) > margin(first.applied(), PAIRS[0])


def test_half_precision_weights_are_trained_in_full(tiny_folder: Path):
    half = LocalModel.load(str(tiny_folder), device="cpu", dtype=torch.bfloat16)
    adapter, trained = train(half, PAIRS, SETTINGS)
    assert all(weight.dtype == torch.float32 for weight in adapter.weights().values())
    assert half.module.dtype == torch.bfloat16
    assert trained.losses[-1] < 0.2


def test_nothing_is_written_sent_or_shown(
    tiny_model: LocalModel,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture,
    recwarn: pytest.WarningsRecorder,
):
    import trl.trainer.base_trainer

    sent: list[Any] = []
    telling = trl.trainer.base_trainer, "send_telemetry", lambda **told: sent.append(told)
    monkeypatch.setattr(*telling, raising=False)  # older ones have none
    monkeypatch.delenv("CI", raising=False)
    monkeypatch.setenv("TMPDIR", str(tmp_path / "tmp"))
    monkeypatch.setattr("tempfile.tempdir", None)
    (tmp_path / "tmp").mkdir()
    monkeypatch.chdir(tmp_path)
    train(tiny_model, PAIRS, SETTINGS)
    assert not sent
    assert [path.name for path in tmp_path.rglob("*")] == ["tmp"]
    assert capfd.readouterr() == ("", "")
    assert not recwarn.list


def test_progress_and_cost_are_told(tiny_model: LocalModel, counting_progress):
    before = tiny_model.tokens_read
    train(tiny_model, PAIRS, SETTINGS, progress=counting_progress)
    assert (counting_progress.done, counting_progress.total) == (8, 8)
    read = sum(
        len(tiny_model.tokens(pair.prompt)) + len(tiny_model.continuation(answer))
        for pair in PAIRS
        for answer in (pair.chosen, pair.rejected)
    )
    assert tiny_model.tokens_read - before == 4 * 2 * read


def test_a_template_that_hides_the_prompt_from_training_is_an_error(tiny_model: LocalModel):
    import copy

    tokenizer = copy.deepcopy(tiny_model.tokenizer)
    tokenizer.chat_template = tokenizer.chat_template.replace(
        "<|im_start|>assistant\n{% endif %}", "<|im_start|>assistant\nnow: {% endif %}"
    )
    other = replace(tiny_model, tokenizer=tokenizer)
    with pytest.raises(UserError, match="shows a prompt otherwise"):
        train(other, PAIRS, SETTINGS)


def test_what_can_not_be_trained_is_an_error(
    tiny_model: LocalModel, base_model: LocalModel, monkeypatch: pytest.MonkeyPatch
):
    with pytest.raises(UserError, match="at least one pair"):
        train(tiny_model, [], SETTINGS)
    with pytest.raises(UserError, match="no chat template"):
        train(base_model, PAIRS, SETTINGS)
    wild = SETTINGS.lora.model_copy(update={"learning_rate": 1e30, "max_grad_norm": 1e30})
    with pytest.raises(UserError, match=r"diverged at step .* lower learning_rate"):
        train(tiny_model, PAIRS, SETTINGS.model_copy(update={"lora": wild}))
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(UserError, match=r"pip install 'toprope\[self-play\]'"):
        check_installed()


@pytest.mark.model
def test_a_real_model_prefers_what_was_chosen(smollm: LocalModel):
    pairs = [
        Preference(asked(f"Say something about {name}."), f"{name} it is.", "I can't help.")
        for name in ("Paris", "rope", "glass", "Norway", "tea", "iron")
    ]
    before = [margin(smollm, pair) for pair in pairs]
    settings = DpoSettings(lora=Lora(rank=8, epochs=2, batch_size=3, learning_rate=2e-4))
    adapter, trained = train(smollm, pairs, settings)
    model = adapter.applied()
    assert all(margin(model, p) > b + 1 for p, b in zip(pairs, before, strict=True))
    assert trained.losses[-1] < trained.losses[0]
    assert margin(smollm, pairs[0]) == pytest.approx(before[0])
