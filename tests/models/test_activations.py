"""Captured states are those that transformers reports, whatever the batch, in memory or on disk."""

import errno
import os
from collections.abc import Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.numpy import load_file

from toprope.errors import UserError
from toprope.models import activations
from toprope.models.activations import Activations
from toprope.models.local import LocalModel
from toprope.progress import Progress

TEXTS = [
    "The capital of France is Paris.",
    "no",
    "A weaker partner on the ground keeps a stronger climber safe on the rope. " * 3,
    "Twelve plus thirty is forty-two",
    "The city of Lagos",
]
ANSWERS = [" yes", " no, the city of Lagos", " Paris"]


def reported(model: LocalModel, tokens: list[int]) -> list[np.ndarray]:
    """[T, D] for each layer that transformers reports; its last one is after the final norm."""
    with torch.no_grad():
        states = model.module(torch.tensor([tokens]), output_hidden_states=True).hidden_states
    return [state[0].numpy() for state in states]


def relative_error(found: np.ndarray, wanted: np.ndarray) -> float:
    return float(np.linalg.norm(found - wanted) / np.linalg.norm(wanted))


def test_every_layer_is_the_one_that_transformers_reports(tiny_model: LocalModel):
    layers = range(tiny_model.n_layers + 1)
    found = tiny_model.activations(TEXTS, layers, pool="none")
    for i, text in enumerate(TEXTS):
        *below, last = reported(tiny_model, tiny_model.tokens(text))
        for layer, wanted in enumerate(below):
            assert relative_error(found.item(layer, i), wanted) < 1e-5
        deepest = torch.tensor(found.item(tiny_model.n_layers, i))
        assert relative_error(tiny_model.module.model.norm(deepest).numpy(), last) < 1e-5


def test_an_encoders_layers_are_those_that_transformers_reports(tiny_encoder: LocalModel):
    found = tiny_encoder.activations(TEXTS, range(4), pool="none")
    for i, text in enumerate(TEXTS):
        for layer, wanted in enumerate(reported(tiny_encoder, tiny_encoder.tokens(text))):
            assert relative_error(found.item(layer, i), wanted) < 1e-5


def test_pooling_and_offsets(tiny_model: LocalModel):
    whole, last, mean = (
        tiny_model.activations(TEXTS, [2], pool=pool) for pool in ("none", "last", "mean")
    )
    lengths = [len(tiny_model.tokens(text)) for text in TEXTS]
    assert whole.offsets.tolist() == [0, *np.cumsum(lengths)]
    assert whole.layers[2].shape == (sum(lengths), tiny_model.d_model)
    assert last.offsets.tolist() == mean.offsets.tolist() == [0, 1, 2, 3, 4, 5]
    for i in range(len(TEXTS)):
        np.testing.assert_allclose(last.layers[2][i], whole.item(2, i)[-1], rtol=1e-4, atol=1e-5)
        wanted_D = whole.item(2, i).mean(0)
        np.testing.assert_allclose(mean.layers[2][i], wanted_D, rtol=1e-4, atol=1e-5)


def assert_independent_of_the_batch(model: LocalModel, layers: Sequence[int]) -> None:
    for pool in ("last", "mean", "none"):
        together = model.activations(TEXTS, layers, pool=pool, budget=10**6)
        for i, text in enumerate(TEXTS):
            alone = model.activations([text], layers, pool=pool)
            for layer in layers:
                assert relative_error(together.item(layer, i), alone.item(layer, 0)) < 1e-3


def test_an_item_does_not_depend_on_its_batch(tiny_model: LocalModel):
    assert_independent_of_the_batch(tiny_model, [0, 1, 4])


def test_an_item_of_an_encoder_does_not_depend_on_its_batch(tiny_encoder: LocalModel):
    assert_independent_of_the_batch(tiny_encoder, [0, 1, 3])


@pytest.mark.model
def test_an_item_of_a_real_model_does_not_depend_on_its_batch(smollm: LocalModel):
    assert_independent_of_the_batch(smollm, [15, 30])


def assert_as_if_read_on(model: LocalModel, layer: int) -> None:
    """Each row is that of a plain pass over the text and the answer."""
    found = model.activations(TEXTS, [layer], continuations=ANSWERS, budget=10**6)
    assert found.offsets.tolist() == [0, 4, 8, 12, 16, 20]
    for i, text in enumerate(TEXTS):
        for s, answer in enumerate(["", *ANSWERS]):
            tail = model.continuation(answer) if answer else []
            wanted_TD = reported(model, model.tokens(text) + tail)[layer]
            assert relative_error(found.item(layer, i)[s], wanted_TD[-1]) < 1e-3


def test_a_continuation_is_read_as_if_the_text_went_on(tiny_model: LocalModel):
    for layer in (0, 1, 3):
        assert_as_if_read_on(tiny_model, layer)


@pytest.mark.model
def test_a_continuation_of_a_real_model_is_read_as_if_the_text_went_on(smollm: LocalModel):
    assert_as_if_read_on(smollm, 15)


def assert_scored_as_options(model: LocalModel) -> None:
    """`option_probs` has them in another way: each option behind its prompt, as one text."""
    for answers in (ANSWERS, [" yes", " no"]):
        found = model.activations(TEXTS, [1], continuations=answers, score=True, budget=10**6)
        weights_NS = np.exp(found.scores - found.scores.max(1, keepdims=True))
        probs_NS = weights_NS / weights_NS.sum(1, keepdims=True)
        np.testing.assert_allclose(probs_NS, model.option_probs(TEXTS, answers), atol=1e-4)


def test_continuations_are_scored_as_options_are(tiny_model: LocalModel):
    assert_scored_as_options(tiny_model)


@pytest.mark.model
def test_continuations_of_a_real_model_are_scored_as_options_are(smollm: LocalModel):
    assert_scored_as_options(smollm)


def test_scoring_leaves_the_states_as_they_are(tiny_model: LocalModel, tmp_path: Path):
    path = tmp_path / "states.safetensors"
    plain = tiny_model.activations(TEXTS, [1, 3], continuations=ANSWERS)
    scored = tiny_model.activations(TEXTS, [1, 3], continuations=ANSWERS, score=True, path=path)
    assert plain.scores.shape == (len(TEXTS), 0)
    assert scored.scores.shape == (len(TEXTS), len(ANSWERS))
    np.testing.assert_array_equal(load_file(path)["scores"], scored.scores)
    for layer in (1, 3):
        np.testing.assert_allclose(scored.layers[layer], plain.layers[layer], atol=1e-5)


@contextmanager
def calls(model: LocalModel):
    """How often each block, and the output layer at the end, was called."""
    parts = [*model.blocks, model.module.lm_head]
    counts = [0] * len(parts)

    def count(k: int):
        def hook(*_: object) -> None:
            counts[k] += 1

        return hook

    handles = [part.register_forward_pre_hook(count(k)) for k, part in enumerate(parts)]
    try:
        yield counts
    finally:
        for handle in handles:
            handle.remove()


def test_the_pass_stops_at_the_deepest_layer(tiny_model: LocalModel):
    with calls(tiny_model) as counts:
        tiny_model.activations(TEXTS, [2, 1], budget=10**6)
    assert counts == [1, 1, 0, 0, 0]


def test_continuations_stop_at_the_deepest_layer(tiny_model: LocalModel):
    with calls(tiny_model) as counts:
        tiny_model.activations(TEXTS, [1], continuations=ANSWERS, budget=10**6)
    assert counts == [1 + len(ANSWERS), 0, 0, 0, 0]


def test_options_of_one_token_are_scored_by_the_texts_own_pass(tiny_model: LocalModel):
    options = [tiny_model.tokenizer.decode([token]) for token in tiny_model.continuation(" yes")]
    assert all(len(tiny_model.continuation(option)) == 1 for option in options)
    with calls(tiny_model) as counts:
        tiny_model.activations(TEXTS, [1], continuations=options, score=True, budget=10**6)
    assert counts == [1 + len(options), 1, 1, 1, 1]


def test_all_layers_take_one_pass_and_no_output_layer(tiny_model: LocalModel):
    with calls(tiny_model) as counts:
        tiny_model.activations(TEXTS, range(5), budget=10**6)
    assert counts == [1, 1, 1, 1, 0]


def test_nothing_stays_hooked(tiny_model: LocalModel):
    def hooks() -> list[int]:
        parts = tiny_model.module.modules()
        return [len(part._forward_hooks) + len(part._forward_pre_hooks) for part in parts]

    before = hooks()
    tiny_model.activations(TEXTS, [0, 2], continuations=ANSWERS)
    assert hooks() == before
    assert tiny_model.generate(["no"], max_tokens=2)


def assert_same(found: Activations, wanted: Activations) -> None:
    assert found.offsets.tolist() == wanted.offsets.tolist()
    assert found.layers.keys() == wanted.layers.keys()
    for layer, rows in wanted.layers.items():
        np.testing.assert_array_equal(found.layers[layer], rows)


@pytest.mark.parametrize("pool", ["last", "mean", "none"])
def test_a_file_holds_what_memory_would(tiny_model: LocalModel, tmp_path: Path, pool):
    path = tmp_path / "new" / "states.safetensors"
    streamed = tiny_model.activations(TEXTS, [1, 3], pool=pool, path=path)
    wanted = tiny_model.activations(TEXTS, [1, 3], pool=pool)
    assert_same(streamed, wanted)
    assert_same(activations.load(path), wanted)
    assert os.listdir(path.parent) == [path.name]


def test_the_safetensors_library_reads_the_file(tiny_model: LocalModel, tmp_path: Path):
    path = tmp_path / "states.safetensors"
    found = tiny_model.activations(TEXTS, [1, 3], continuations=ANSWERS, path=path)
    tensors = load_file(path)
    assert set(tensors) == {"offsets", "layer.1", "layer.3"}
    np.testing.assert_array_equal(tensors["offsets"], found.offsets)
    np.testing.assert_array_equal(tensors["layer.3"], found.layers[3])


def test_the_views_of_a_file_are_read_only(tiny_model: LocalModel, tmp_path: Path):
    found = tiny_model.activations(TEXTS, [1], path=tmp_path / "states.safetensors")
    with pytest.raises(ValueError, match="read-only"):
        found.layers[1][0] = 0


def test_what_is_too_large_for_memory_goes_to_a_file_without_a_name(
    tiny_model: LocalModel, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
):
    wanted = tiny_model.activations(TEXTS, [1, 3], pool="none")
    monkeypatch.setattr(activations, "MEMORY_BYTES", 1000)
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    found = tiny_model.activations(TEXTS, [1, 3], pool="none")
    assert all(isinstance(rows, np.memmap) for rows in found.layers.values())
    assert_same(found, wanted)
    assert os.listdir(tmp_path) == []


class Interrupted(Progress):
    """Looks at the folder after each batch, and is interrupted after the second."""

    def __init__(self, folder: Path) -> None:
        super().__init__(quiet=True)
        self.folder = folder
        self.seen: list[list[str]] = []

    @contextmanager
    def task(self, description: str, total: float, *, unit: str = ""):
        yield self

    def advance(self, amount: float = 1) -> None:
        self.seen.append(os.listdir(self.folder))
        if len(self.seen) == 2:
            raise KeyboardInterrupt


def test_a_capture_that_is_broken_off_leaves_no_file(tiny_model: LocalModel, tmp_path: Path):
    """While it runs there is a file under another name only: all that a kill would leave."""
    path, progress = tmp_path / "states.safetensors", Interrupted(tmp_path)
    with pytest.raises(KeyboardInterrupt):
        tiny_model.activations(TEXTS, [1], path=path, budget=1, progress=progress)
    assert [path.name in names for names in progress.seen] == [False, False]
    assert [len(names) for names in progress.seen] == [1, 1]
    assert os.listdir(tmp_path) == []


def test_a_capture_that_is_broken_off_keeps_the_file_of_an_earlier_one(
    tiny_model: LocalModel, tmp_path: Path
):
    path = tmp_path / "states.safetensors"
    tiny_model.activations(TEXTS, [1], path=path)
    before = path.read_bytes()
    with pytest.raises(KeyboardInterrupt):
        tiny_model.activations(TEXTS, [2], path=path, budget=1, progress=Interrupted(tmp_path))
    assert path.read_bytes() == before


def test_a_full_disk_is_noticed_before_anything_is_read(
    tiny_model: LocalModel, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
):
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "posix_fallocate", full)
    with calls(tiny_model) as counts, pytest.raises(OSError, match="No space left"):
        tiny_model.activations(TEXTS, [1], path=tmp_path / "states.safetensors")
    assert counts == [0, 0, 0, 0, 0]
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize("layer", [-1, 5])
def test_an_unknown_layer_is_an_error(tiny_model: LocalModel, layer: int):
    with pytest.raises(UserError, match=f"has no layer {layer}: its layers are 0 to 4"):
        tiny_model.activations(TEXTS, [1, layer])


def test_continuations_are_for_the_last_token_of_a_causal_model(
    tiny_model: LocalModel, tiny_encoder: LocalModel
):
    with pytest.raises(UserError, match="pool='last'"):
        tiny_model.activations(TEXTS, [1], pool="mean", continuations=ANSWERS)
    with pytest.raises(UserError, match=r"is an encoder.*take a causal model"):
        tiny_encoder.activations(TEXTS, [1], continuations=ANSWERS)


def test_chat_messages_are_read_through_the_template(tiny_model: LocalModel):
    chat = [{"role": "user", "content": "Is Lagos in Norway?"}]
    found = tiny_model.activations([chat], [3])
    wanted = tiny_model.tokenizer(tiny_model.render(chat), add_special_tokens=False).input_ids
    assert relative_error(found.layers[3][0], reported(tiny_model, wanted)[3][-1]) < 1e-5


def test_progress_and_cost_count_the_tokens(tiny_model: LocalModel, counting_progress):
    model = replace(tiny_model)
    model.activations(TEXTS, [1], budget=32, progress=counting_progress)
    tokens = sum(len(model.tokens(text)) for text in TEXTS)
    assert counting_progress.done == counting_progress.total == model.tokens_read == tokens


def test_a_text_that_is_too_long_is_told_or_cut(tiny_model: LocalModel):
    long = "word " * 600
    with pytest.raises(UserError, match=f"reads {tiny_model.context} tokens at most"):
        tiny_model.activations([long], [2])
    read = tiny_model.activations([long, "no"], [2], pool="none", most_tokens=100)
    assert read.item(2, 0).shape[0] == 100
    whole = tiny_model.activations([long[:300]], [2], pool="none").item(2, 0)
    assert relative_error(read.item(2, 0)[:50], whole[:50]) < 1e-5


def test_what_has_been_answered_is_read_with_its_prompt(tiny_model: LocalModel):
    chat = [{"role": "user", "content": "A weaker partner"}]
    found = tiny_model.activations([chat, chat], [2], pool="none", prefills=["", "keeps a"])  # type: ignore[list-item]
    alone, answered = (found.item(2, i) for i in (0, 1))
    assert len(answered) == len(tiny_model.tokens(chat, prefill="keeps a"))  # type: ignore[arg-type]
    assert relative_error(answered[: len(alone)], alone) < 1e-5
