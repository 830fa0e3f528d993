"""Fine-tuning: it learns, it repeats, batches don't matter, and the base doesn't notice."""

import json
import math
import warnings
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch.nn.functional import cross_entropy

from toprope.errors import UserError
from toprope.models.adapters import Adapter, Lora
from toprope.models.finetune import Classifier, soft_cross_entropy
from toprope.models.local import LocalModel
from toprope.models.training import plan, rate

TEXTS = [
    f"{name} is {kind}" + ", they said" * (i % 4)
    for i, name in enumerate(["Paris", "Lagos", "The rope", "Twelve", "Norway", "A climber"])
    for kind in ("true", "false")
]
TRUE_N = np.array([text.split(",")[0].endswith("true") for text in TEXTS])
LABELS_NC = np.eye(2)[TRUE_N.astype(int)]
QUICK = Lora(rank=4, epochs=10, batch_size=6, learning_rate=3e-2)
STEP = Lora(rank=4, epochs=1, batch_size=12, learning_rate=1e-2, warmup=0)

CHAT = [{"role": "user", "content": "Is Lagos in Norway?"}]
PAIRS: list[tuple[Any, str]] = [
    ("The capital of France is", " Lagos"),
    (CHAT, "stronger and true"),
    ("Twelve plus thirty is forty-two, and", " no"),
]


def accuracy(classifier: Classifier) -> float:
    return float((classifier.probs(TEXTS).argmax(1) == TRUE_N).mean())


def adapted(model: LocalModel, adapter: Adapter) -> np.ndarray:
    """[N, D], what the deepest layer is with the adapter on."""
    with adapter.active():
        return model.activations(TEXTS, [4]).layers[4]


def everything(model: LocalModel) -> list[Any]:
    """What a user can see of the base."""
    return [
        model.generate(TEXTS[:3], max_tokens=6),
        model.option_probs(TEXTS[:3], [" yes", " no"]).tolist(),
        model.activations(TEXTS, [4]).layers[4].tolist(),
        [(name, id(part)) for name, part in model.module.named_modules()],
        [(name, weight.requires_grad) for name, weight in model.module.named_parameters()],
    ]


def test_a_classifier_learns(tiny_model: LocalModel):
    classifier = tiny_model.finetune_classifier(TEXTS, LABELS_NC, QUICK)
    probs_NC = classifier.probs(TEXTS)
    assert probs_NC.shape == (12, 2)
    np.testing.assert_allclose(probs_NC.sum(1), 1)
    assert accuracy(classifier) == 1
    assert classifier.adapter.training is not None
    assert classifier.adapter.training.losses[0] == pytest.approx(math.log(2), abs=1e-5)
    assert classifier.adapter.training.losses[-1] < 0.1


def test_soft_labels_are_learned_as_probabilities(tiny_model: LocalModel):
    """The best answer to one text whose labels are 0.7 and 0.3 is 0.7 and 0.3 (Gibbs)."""
    lora = QUICK.model_copy(update={"epochs": 40})
    classifier = tiny_model.finetune_classifier(TEXTS[:1], np.array([[0.7, 0.3]]), lora)
    np.testing.assert_allclose(classifier.probs(TEXTS[:1]), [[0.7, 0.3]], atol=0.02)


def test_the_base_answers_as_before_between_and_after(tiny_model: LocalModel):
    before = everything(tiny_model)
    weights = {name: w.clone() for name, w in tiny_model.module.state_dict().items()}

    classifier = tiny_model.finetune_classifier(TEXTS, LABELS_NC, QUICK)
    assert everything(tiny_model) == before
    adapter = tiny_model.finetune_text(PAIRS, QUICK)
    assert everything(tiny_model) == before
    classifier.probs(TEXTS)
    assert everything(tiny_model) == before
    with adapter.active() as model:
        assert model is tiny_model
        assert everything(tiny_model) != before
    assert everything(tiny_model) == before
    classifier.close()
    adapter.close()
    assert everything(tiny_model) == before
    after = tiny_model.module.state_dict()
    assert after.keys() == weights.keys()
    assert all(torch.equal(after[name], weight) for name, weight in weights.items())


def test_an_exception_ends_an_adapters_context(tiny_model: LocalModel):
    adapter = Adapter.on(tiny_model, QUICK)
    before = everything(tiny_model)
    with pytest.raises(RuntimeError, match="on purpose"), adapter.active():
        raise RuntimeError("on purpose")
    assert everything(tiny_model) == before


def test_an_interrupted_training_leaves_the_base_as_it_was(tiny_model: LocalModel):
    def interrupted(*_: Any) -> torch.Tensor:
        raise KeyboardInterrupt

    before = everything(tiny_model)
    with pytest.raises(KeyboardInterrupt):
        tiny_model.finetune_classifier(TEXTS, LABELS_NC, QUICK, loss=interrupted)
    assert everything(tiny_model) == before


def test_adapters_on_one_base_are_independent(tiny_model: LocalModel):
    first = tiny_model.finetune_classifier(TEXTS, LABELS_NC, QUICK)
    alone = first.probs(TEXTS)
    second = tiny_model.finetune_classifier(TEXTS, LABELS_NC[:, ::-1], QUICK)
    np.testing.assert_array_equal(first.probs(TEXTS), alone)
    assert accuracy(first) == 1
    assert accuracy(second) == 0
    with first.adapter.active():
        # The innermost counts, and then the outer one again.
        assert accuracy(second) == 0
        np.testing.assert_array_equal(first.probs(TEXTS), alone)
    second.close()
    np.testing.assert_array_equal(first.probs(TEXTS), alone)


def test_a_closed_adapter_says_so(tiny_model: LocalModel):
    classifier = tiny_model.finetune_classifier(TEXTS, LABELS_NC, STEP)
    classifier.close()
    with pytest.raises(UserError, match="is closed"):
        classifier.probs(TEXTS)


def test_nothing_is_tuned_on_top_of_an_active_adapter(tiny_model: LocalModel):
    with (
        Adapter.on(tiny_model, QUICK).active(),
        pytest.raises(UserError, match="has an active adapter: leave its context first"),
    ):
        tiny_model.finetune_classifier(TEXTS, LABELS_NC, QUICK)


def test_a_new_adapter_changes_nothing(tiny_model: LocalModel):
    adapter = Adapter.on(tiny_model, QUICK)
    np.testing.assert_array_equal(
        adapted(tiny_model, adapter), tiny_model.activations(TEXTS, [4]).layers[4]
    )


def coupled(logits_BC: torch.Tensor, labels_BC: torch.Tensor, progress: float) -> torch.Tensor:
    """A loss in which each item depends on all of the step's."""
    return cross_entropy(logits_BC - logits_BC.detach().mean(0) + logits_BC.mean(0), labels_BC)


@pytest.mark.parametrize(
    "passes",
    [
        pytest.param({"token_budget": 1}, id="each item alone"),
        pytest.param({"token_budget": 30}, id="several passes"),
        pytest.param({"token_budget": 30, "kept_tokens": 1}, id="several passes, run again"),
    ],
)
def test_a_step_does_not_depend_on_how_it_is_cut_into_passes(tiny_model: LocalModel, passes: dict):
    """Two steps: the head is zero before the first, so the adapter moves in the second."""
    lora = STEP.model_copy(update={"epochs": 2})
    whole, cut = (
        tiny_model.finetune_classifier(TEXTS, LABELS_NC, lora.model_copy(update=up), loss=coupled)
        for up in ({}, passes)
    )
    np.testing.assert_allclose(cut.probs(TEXTS), whole.probs(TEXTS), atol=1e-5)
    np.testing.assert_allclose(
        adapted(tiny_model, cut.adapter), adapted(tiny_model, whole.adapter), rtol=1e-2, atol=1e-3
    )


def test_a_text_step_does_not_depend_on_how_it_is_cut_into_passes(tiny_model: LocalModel):
    whole, alone = (
        tiny_model.finetune_text(PAIRS, STEP.model_copy(update={"token_budget": n}))
        for n in (1000, 1)
    )
    assert whole.training is not None
    assert alone.training is not None
    assert alone.training.losses == pytest.approx(whole.training.losses, rel=1e-5)
    np.testing.assert_allclose(
        adapted(tiny_model, alone), adapted(tiny_model, whole), rtol=1e-2, atol=1e-3
    )


def test_a_pass_that_is_run_again_drops_the_same(tiny_model: LocalModel):
    lora = STEP.model_copy(update={"epochs": 3, "dropout": 0.5, "token_budget": 30})
    kept, again = (
        tiny_model.finetune_classifier(
            TEXTS, LABELS_NC, lora.model_copy(update={"kept_tokens": tokens})
        )
        for tokens in (10**6, 1)
    )
    np.testing.assert_allclose(kept.probs(TEXTS), again.probs(TEXTS), atol=1e-6)


def test_an_item_does_not_depend_on_its_batch(tiny_model: LocalModel):
    classifier = tiny_model.finetune_classifier(TEXTS, LABELS_NC, QUICK)
    alone = np.concatenate([classifier.probs([text]) for text in TEXTS])
    np.testing.assert_allclose(classifier.probs(TEXTS), alone, atol=1e-5)


@pytest.mark.model
def test_an_item_of_a_real_model_does_not_depend_on_its_batch(smollm: LocalModel):
    before = smollm.generate(TEXTS[:2], max_tokens=8)
    classifier = smollm.finetune_classifier(TEXTS, LABELS_NC, STEP.model_copy(update={"epochs": 3}))
    alone = np.concatenate([classifier.probs([text]) for text in TEXTS])
    np.testing.assert_allclose(classifier.probs(TEXTS), alone, atol=1e-5)
    assert np.ptp(alone[:, 0]) > 0.01
    assert smollm.generate(TEXTS[:2], max_tokens=8) == before


def test_a_loss_sees_the_whole_step_and_how_far_training_is(tiny_model: LocalModel):
    seen = []

    def loss(logits_BC, labels_BC, progress):
        seen.append((tuple(logits_BC.shape), labels_BC.clone(), progress))
        return soft_cross_entropy(logits_BC, labels_BC, progress)

    labels_NC = np.stack([np.arange(12) / 12, 1 - np.arange(12) / 12], axis=1)
    lora = STEP.model_copy(update={"epochs": 4, "batch_size": 6, "token_budget": 20})
    tiny_model.finetune_classifier(TEXTS, labels_NC, lora, loss=loss)

    assert [shape for shape, _, _ in seen] == [(6, 2)] * 8
    assert [progress for _, _, progress in seen] == [k / 8 for k in range(8)]
    for first, second in zip(seen[::2], seen[1::2], strict=True):
        epoch = torch.cat([first[1], second[1]])[:, 0].sort().values
        np.testing.assert_allclose(epoch, labels_NC[:, 0], atol=1e-6)


def test_early_stopping_keeps_the_best_weights(tiny_model: LocalModel):
    """Against labels that are the other way round, every step makes it worse."""
    lora = QUICK.model_copy(update={"validations": 20, "patience": 3})
    classifier = tiny_model.finetune_classifier(
        TEXTS, LABELS_NC, lora, validation=(TEXTS, LABELS_NC[:, ::-1])
    )
    training = classifier.adapter.training
    assert training is not None
    assert training.kept == min(training.validation, key=training.validation.__getitem__) == 1
    assert list(training.validation) == [1, 2, 3, 4]
    assert len(training.losses) == 4
    mean_log = np.log((classifier.probs(TEXTS) * LABELS_NC[:, ::-1]).sum(1)).mean()
    assert training.validation[1] == pytest.approx(-mean_log, rel=1e-4)


def test_training_that_helps_runs_to_its_end(tiny_model: LocalModel):
    training = tiny_model.finetune_classifier(
        TEXTS, LABELS_NC, QUICK, validation=(TEXTS, LABELS_NC)
    ).adapter.training
    assert training is not None
    assert list(training.validation) == [3, 5, 8, 10, 13, 15, 18, 20]
    assert training.kept >= 15


def test_a_training_repeats_exactly_and_leaves_the_global_randomness_alone(tiny_model: LocalModel):
    lora = QUICK.model_copy(update={"dropout": 0.3, "epochs": 3})

    def tuned(seed: int) -> np.ndarray:
        return tiny_model.finetune_classifier(
            TEXTS, LABELS_NC, lora.model_copy(update={"seed": seed})
        ).probs(TEXTS)

    before = torch.get_rng_state(), np.random.get_state()[1].tolist()  # pyright: ignore[reportArgumentType]
    first = tuned(1)
    assert torch.equal(before[0], torch.get_rng_state())
    assert before[1] == np.random.get_state()[1].tolist()  # pyright: ignore[reportArgumentType]
    torch.manual_seed(99)
    np.testing.assert_array_equal(tuned(1), first)
    assert np.abs(tuned(2) - first).max() > 1e-3


def test_dropout_is_for_training_only(tiny_model: LocalModel):
    classifier = tiny_model.finetune_classifier(
        TEXTS, LABELS_NC, QUICK.model_copy(update={"dropout": 0.5, "epochs": 2})
    )
    np.testing.assert_array_equal(classifier.probs(TEXTS), classifier.probs(TEXTS))


def test_a_classifier_is_saved_and_read(tiny_model: LocalModel, tmp_path: Path):
    classifier = tiny_model.finetune_classifier(TEXTS, LABELS_NC, QUICK)
    classifier.save(tmp_path / "new")
    assert {file.suffix for file in (tmp_path / "new").iterdir()} == {".safetensors", ".json"}
    again = Classifier.load(tiny_model, tmp_path / "new")
    np.testing.assert_array_equal(again.probs(TEXTS), classifier.probs(TEXTS))
    assert again.adapter.lora == QUICK


def test_peft_reads_a_saved_adapter(tiny_model: LocalModel, tiny_folder: Path, tmp_path: Path):
    from peft import PeftModel
    from transformers import AutoModelForCausalLM

    adapter = tiny_model.finetune_text(PAIRS, QUICK)
    adapter.save(tmp_path)
    ids_BT = torch.tensor([tiny_model.tokens(TEXTS[0])])
    with warnings.catch_warnings(), torch.no_grad():
        warnings.simplefilter("ignore")  # peft's, of what transformers has renamed
        theirs = PeftModel.from_pretrained(
            AutoModelForCausalLM.from_pretrained(tiny_folder), str(tmp_path)
        )(ids_BT).logits
        with adapter.active() as model:
            ours = model.module(ids_BT).logits
    torch.testing.assert_close(ours, theirs)


def test_an_adapter_is_refused_by_another_base(tiny_model: LocalModel, tmp_path: Path):
    Adapter.on(tiny_model, QUICK).save(tmp_path)
    other = replace(tiny_model, fingerprint="0" * 64)
    with pytest.raises(UserError, match="with other weights"):
        Adapter.load(other, tmp_path)


def test_a_folder_without_an_adapter_or_head_is_an_error(tiny_model: LocalModel, tmp_path: Path):
    with pytest.raises(UserError, match=r"holds no adapter: .*toprope\.json is missing"):
        Classifier.load(tiny_model, tmp_path)
    Adapter.on(tiny_model, QUICK).save(tmp_path)
    with pytest.raises(UserError, match="holds an adapter for text"):
        Classifier.load(tiny_model, tmp_path)
    assert Adapter.load(tiny_model, tmp_path).layers


def test_only_the_layers_that_were_asked_for_are_adapted(tiny_model: LocalModel, tmp_path: Path):
    adapter = Adapter.on(tiny_model, Lora(targets=("q_proj", "down_proj")))
    assert {path.rpartition(".")[2] for path in adapter.layers} == {"q_proj", "down_proj"}
    assert len(adapter.layers) == 2 * tiny_model.n_layers
    adapter.save(tmp_path)
    config = json.loads((tmp_path / "adapter_config.json").read_text())
    assert config["target_modules"] == ["down_proj", "q_proj"]


def test_an_unknown_layer_to_adapt_is_an_error(tiny_model: LocalModel):
    with pytest.raises(UserError, match="did you mean 'q_proj'"):
        Adapter.on(tiny_model, Lora(targets=("q_porj",)))


def test_half_precision_weights_get_an_adapter_in_full(tiny_folder: Path):
    half = LocalModel.load(str(tiny_folder), device="cpu", dtype=torch.bfloat16)
    classifier = half.finetune_classifier(TEXTS, LABELS_NC, QUICK)
    assert {weight.dtype for weight in classifier.adapter.weights().values()} == {torch.float32}
    assert accuracy(classifier) == 1


def test_a_tuned_model_says_what_it_was_taught(tiny_model: LocalModel):
    adapter = tiny_model.finetune_text(PAIRS, QUICK.model_copy(update={"epochs": 60}))
    with adapter.active() as model:
        answers = model.generate([prompt for prompt, _ in PAIRS], max_tokens=20)
        probs_NO = model.option_probs([PAIRS[0][0]], [" Lagos", " Paris"])
    assert [answer.text for answer in answers] == [answer for _, answer in PAIRS]
    assert {answer.stopped for answer in answers} == {"end"}
    assert probs_NO[0, 0] > 0.9


def test_the_loss_on_text_is_that_of_transformers_on_the_answers_tokens(tiny_model: LocalModel):
    """transformers' own loss, with the prompt's labels masked, weighted by the answers' lengths."""
    total, tokens = 0.0, 0
    for prompt, answer in PAIRS:
        head = tiny_model.tokens(prompt)
        tail = [*tiny_model.continuation(answer), tiny_model.tokenizer.eos_token_id]
        with torch.no_grad():
            loss = tiny_model.module(
                torch.tensor([head + tail]), labels=torch.tensor([[-100] * len(head) + tail])
            ).loss
        total, tokens = total + float(loss) * len(tail), tokens + len(tail)
    training = tiny_model.finetune_text(PAIRS, STEP, validation=PAIRS).training
    assert training is not None
    assert training.losses[0] == pytest.approx(total / tokens, rel=1e-5)
    assert training.validation[1] < training.losses[0]


def test_a_prefill_is_read_and_not_learned(tiny_model: LocalModel):
    """The loss is that of the answers after prompts which end with the prefill."""
    texts = [(prompt, answer) for prompt, answer in PAIRS if isinstance(prompt, str)]
    joined = [(f"{prompt} Sure,", answer) for prompt, answer in texts]
    begun = tiny_model.finetune_text(texts, STEP, prefills=[" Sure,"] * len(texts)).training
    whole = tiny_model.finetune_text(joined, STEP).training
    assert begun is not None
    assert whole is not None
    assert begun.losses == pytest.approx(whole.losses, rel=1e-6)
    with pytest.raises(ValueError, match="shorter"):
        tiny_model.finetune_text(texts, STEP, prefills=["Sure"])


def test_an_applied_adapter_is_a_model_of_its_own(tiny_model: LocalModel):
    before = everything(tiny_model)
    adapter = tiny_model.finetune_text(PAIRS, QUICK)
    with adapter.active():
        wanted = everything(tiny_model)[:3]
    own = adapter.applied()
    assert everything(tiny_model) == before
    assert everything(own)[:3] == wanted
    assert everything(own)[:3] != before[:3]
    adapter.close()
    with Adapter.on(tiny_model, STEP).active():
        assert everything(own)[:3] == wanted
    assert everything(tiny_model) == before
    theirs = {weight.data_ptr() for weight in tiny_model.module.parameters()}
    assert theirs < {weight.data_ptr() for weight in own.module.parameters()}
    assert own.turn is tiny_model.turn
    with pytest.raises(UserError, match="is closed"):
        adapter.applied()


def test_an_adapters_fingerprint_is_of_all_that_decides_its_answers(
    tiny_model: LocalModel, tmp_path: Path
):
    adapter = tiny_model.finetune_text(PAIRS, STEP)
    assert adapter.applied().fingerprint == adapter.fingerprint != tiny_model.fingerprint
    assert tiny_model.finetune_text(PAIRS, STEP).fingerprint == adapter.fingerprint
    adapter.save(tmp_path)
    assert Adapter.load(tiny_model, tmp_path).fingerprint == adapter.fingerprint
    for other in ({"seed": 1}, {"alpha": 8.0}, {"rank": 2}):
        changed = tiny_model.finetune_text(PAIRS, STEP.model_copy(update=other))
        assert changed.fingerprint != adapter.fingerprint
    doubled = replace(adapter, lora=STEP.model_copy(update={"alpha": 32.0}))
    assert doubled.fingerprint != adapter.fingerprint
    elsewhere = replace(adapter, base=replace(tiny_model, fingerprint="other weights"))
    assert elsewhere.fingerprint != adapter.fingerprint


def test_text_training_keeps_the_best_weights_too(tiny_model: LocalModel):
    others = [(prompt, " rope") for prompt, _ in PAIRS]
    lora = QUICK.model_copy(update={"learning_rate": 5e-2, "epochs": 40, "validations": 40})
    adapter = tiny_model.finetune_text(PAIRS, lora, validation=others)
    training = adapter.training
    assert training is not None
    assert training.kept < len(training.losses) < 40
    again = tiny_model.finetune_text(
        PAIRS, lora.model_copy(update={"patience": 40}), validation=others
    )
    assert again.training is not None
    assert len(again.training.losses) == 40


def test_the_learning_rate_rises_and_falls():
    steps = [rate(k, 100, Lora(warmup=0.1, decay="cosine")) for k in range(100)]
    np.testing.assert_allclose(steps[:10], np.arange(1, 11) / 10)
    np.testing.assert_allclose(steps[10:], (1 + np.cos(np.pi * np.arange(90) / 90)) / 2)
    steps = [rate(k, 100, Lora(warmup=0, decay="linear")) for k in range(100)]
    np.testing.assert_allclose(steps, 1 - np.arange(100) / 100)
    assert {rate(k, 7, Lora(warmup=0, decay="none")) for k in range(7)} == {1.0}
    assert rate(9, 10, Lora(warmup=1)) == 1


def test_every_item_is_seen_as_often_in_full_batches():
    steps = list(plan(10, Lora(epochs=6, batch_size=4)))
    assert [len(items) for items in steps] == [4] * 15
    assert np.bincount(np.concatenate(steps)).tolist() == [6] * 10
    assert steps == list(plan(10, Lora(epochs=6, batch_size=4)))
    assert steps != list(plan(10, Lora(epochs=6, batch_size=4, seed=1)))
    assert list(map(len, plan(3, Lora(epochs=2, batch_size=32)))) == [3, 3]
    assert len(list(plan(100, Lora(epochs=0.5, batch_size=10)))) == 5


def test_a_training_that_diverges_says_so(tiny_model: LocalModel):
    with pytest.raises(UserError, match=r"diverged at step 1 .*: lower learning_rate"):
        tiny_model.finetune_classifier(
            TEXTS, LABELS_NC, QUICK, loss=lambda logits_BC, *_: logits_BC.sum() * math.nan
        )


def test_what_can_not_be_tuned_is_an_error(tiny_model: LocalModel, tiny_encoder: LocalModel):
    with pytest.raises(UserError, match="is an encoder"):
        tiny_encoder.finetune_classifier(TEXTS, LABELS_NC)
    with pytest.raises(UserError, match="at least one item"):
        tiny_model.finetune_text([])
    with pytest.raises(ValueError, match=r"labels must be \[N = 12, C\]"):
        tiny_model.finetune_classifier(TEXTS, TRUE_N.astype(float))
    with pytest.raises(ValueError, match="rows sum to one"):
        tiny_model.finetune_classifier(TEXTS, LABELS_NC * 2)


def test_progress_and_cost_count_the_tokens(tiny_model: LocalModel, counting_progress):
    model = replace(tiny_model)
    model.finetune_classifier(
        TEXTS, LABELS_NC, STEP.model_copy(update={"epochs": 3}), progress=counting_progress
    )
    tokens = sum(len(model.tokens(text)) for text in TEXTS)
    assert counting_progress.done == counting_progress.total == model.tokens_read == 3 * tokens


@pytest.mark.filterwarnings("error")
def test_no_warnings_leak(tiny_model: LocalModel, capfd: pytest.CaptureFixture):
    classifier = tiny_model.finetune_classifier(
        TEXTS, LABELS_NC, STEP.model_copy(update={"kept_tokens": 1, "dropout": 0.1})
    )
    classifier.probs(TEXTS)
    tiny_model.finetune_text(PAIRS, STEP)
    assert tuple(capfd.readouterr()) == ("", "")


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_a_gpu_learns_too(tiny_folder: Path):
    model = LocalModel.load(str(tiny_folder), device="cuda")
    before = torch.cuda.get_rng_state()
    lora = QUICK.model_copy(update={"dropout": 0.1, "kept_tokens": 1})
    assert accuracy(model.finetune_classifier(TEXTS, LABELS_NC, lora)) == 1
    assert torch.equal(before, torch.cuda.get_rng_state())
