"""Capture: the rows are the model's, none is lost or doubled, whatever happens on the way."""

import json
import os
import shutil
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from toprope.errors import UserError
from toprope.models.random import randomised
from toprope.progress import Progress, Task
from toprope.techniques.interpretability.activations import shards
from toprope.techniques.interpretability.activations.batches import batches
from toprope.techniques.interpretability.activations.capture import capture, check_insides
from toprope.techniques.interpretability.activations.captured import open_capture
from toprope.techniques.interpretability.activations.corpus import load_corpus

from .conftest import SETTINGS, Beginning, documents, write_corpus


def changed(**values):
    return type(SETTINGS).model_validate(SETTINGS.model_dump() | values)


def files(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def raw(found, layer: int, rows: range) -> np.ndarray:
    of_layer = found.layer(layer)
    x_BD = of_layer.read(rows.start, rows.stop)
    return (x_BD * of_layer.scale_D + of_layer.mean_D).numpy()


def of_texts(model, corpus, layer: int) -> dict[tuple[str, int], np.ndarray]:
    """(document, position) -> raw state, of whole documents of a window at most."""
    short = [d for d in corpus.documents if len(model.tokens(d.text)) <= SETTINGS.window]
    states = model.activations([d.text for d in short], [layer], pool="none")
    return {
        (one.id, position): row
        for i, one in enumerate(short)
        for position, row in enumerate(states.item(layer, i))
    }


@pytest.mark.parametrize("layer", [1, 3])
def test_rows_are_what_the_model_has_at_their_tokens(tiny_model, corpus, captured, layer):
    expected = of_texts(tiny_model, corpus, layer)
    states_ND = raw(captured, layer, range(captured.rows))
    token_N, document_N, position_N, _ = captured.tokens(0, captured.rows)
    seen = 0
    for row, document, position, token in zip(
        states_ND, document_N, position_N, token_N, strict=True
    ):
        key = (captured.windows.documents[document][0], position)
        if key in expected:
            seen += 1
            np.testing.assert_allclose(row, expected[key], rtol=0.01, atol=0.01)
            [text] = [one.text for one in corpus.documents if one.id == key[0]]
            assert tiny_model.tokens(text)[position] == token
    long_enough = {document for document, position in expected if position >= 3}
    assert seen == sum(p > 0 and d in long_enough for d, p in expected) > 100


def test_every_token_but_the_windows_first_is_a_row_once(captured):
    windows = captured.windows
    window_N, place_N = captured.places(0, captured.rows)
    expected = [(w, p) for w, n in enumerate(windows.lengths_W) for p in range(1, n)]
    assert list(zip(window_N, place_N, strict=True)) == expected
    assert len(captured.training) == (windows.lengths_W - 1)[: windows.training].sum()
    assert sum(shard.first for shard in captured.shards) == len(windows)
    assert sum(shard.rows + shard.first for shard in captured.shards) == len(windows.ids)
    assert len(captured.shards) > 3


def test_a_row_has_its_documents_group(tiny_model, tmp_path):
    path = write_corpus(tmp_path / "passages.jsonl.gz", documents(60))
    corpus = load_corpus(f"file:{path}?run=6")
    found = capture(tiny_model, corpus, SETTINGS, tmp_path / "capture")
    traced = found.tokens(0, found.rows)
    groups = {one.id: one.group for one in corpus.documents}
    of_rows = [groups[found.windows.documents[d][0]] for d in traced.document]
    pairs = set(zip(traced.group.tolist(), of_rows, strict=True))
    assert len(pairs) == len(set(of_rows)) == len(set(traced.group.tolist())) == 10


def test_a_capture_of_an_earlier_format_is_refused(tiny_model, corpus, captured, tmp_path):
    shutil.copytree(captured.folder, tmp_path / "old")
    path = tmp_path / "old" / "capture.json"
    about = json.loads(path.read_text())
    about["source"]["format"] = 1
    path.write_text(json.dumps(about))
    said = "of another version: capture into another folder"
    with pytest.raises(UserError, match=said):
        open_capture(path.parent)
    with pytest.raises(UserError, match=said):
        capture(tiny_model, corpus, SETTINGS, path.parent)


def test_rows_of_the_first_shard_are_standardised(captured):
    first = captured.shards[0].rows
    for layer in captured.layers:
        x_BD = captured.layer(layer).read(0, first)
        assert x_BD.dtype == torch.float32
        torch.testing.assert_close(x_BD.mean(0), torch.zeros(32), atol=2e-3, rtol=0)
        torch.testing.assert_close(x_BD.std(0, correction=0), torch.ones(32), atol=2e-3, rtol=0)


def test_int8_is_the_same_within_its_rounding(tiny_model, corpus, captured, tmp_path):
    found = capture(tiny_model, corpus, changed(store="int8"), tmp_path / "int8")
    for layer in captured.layers:
        precise, coarse = (c.layer(layer).read(0, c.rows) for c in (captured, found))
        step_N1 = precise.abs().amax(1, keepdim=True) / 127
        assert ((precise - coarse).abs() <= 0.6 * step_N1).all()


def test_by_a_common_scale_rows_keep_the_models_own_shape(captured):
    common = open_capture(captured.folder, "common")
    rows = range(captured.rows)
    for layer in captured.layers:
        raw_BD = raw(captured, layer, rows)
        assert raw(common, layer, rows) == pytest.approx(raw_BD, abs=1e-4)
        assert len(set(common.layer(layer).scale_D.tolist())) == 1
        x_BD = common.layer(layer).read(0, captured.rows)
        of_training_BD = x_BD[: len(captured.training)]
        assert of_training_BD.square().mean() == pytest.approx(1, rel=0.2)
        batch_BD = next(batches(common, layer, 8, np.random.default_rng(0)))
        assert all((row_D == x_BD).all(dim=1).any() for row_D in batch_BD)


def test_any_rows_in_any_order(captured):
    of_layer = captured.layer(3)
    rows_N = np.random.default_rng(0).permutation(captured.rows)[:300]
    whole = of_layer.read(0, captured.rows)
    assert torch.equal(of_layer.stored(rows_N).decoded(), whole[rows_N])
    assert torch.equal(of_layer.read(250, 700), whole[250:700])
    assert len(of_layer.read(5, 5)) == 0
    with pytest.raises(IndexError):
        of_layer.read(0, captured.rows + 1)
    traced = captured.tokens(0, captured.rows)
    some = captured.tokens(250, 700)
    assert all(np.array_equal(a[250:700], b) for a, b in zip(traced, some, strict=True))


def test_a_token_of_outlying_norm_is_dropped_at_every_layer(tiny_model, corpus, tmp_path):
    [token] = set(tiny_model.continuation(" Paris"))
    model = randomised(tiny_model, np.random.default_rng(0), embeddings=False)
    with torch.no_grad():
        model.module.get_input_embeddings().weight[token] *= 1000
    # Layer 0 alone would tell: the wide weights of the blocks drown it.
    found = capture(model, corpus, changed(layers=(0, 2), outlier=50.0), tmp_path / "it")
    windows = found.windows
    later = np.ones(len(windows.ids), dtype=bool)
    later[windows.offsets[:-1]] = False
    outliers = (windows.ids[later] == token).sum()
    assert sum(shard.outliers for shard in found.shards) == outliers > 5
    assert token not in found.tokens(0, found.rows).token
    assert found.rows + outliers + len(windows) == len(windows.ids)
    assert found.layer(0).rows == found.layer(2).rows
    assert found.layer(0).read(0, found.rows).abs().max() < 50


def test_a_random_model_goes_the_same_way(tiny_model, corpus, captured, tmp_path):
    model = randomised(tiny_model, np.random.default_rng(0))
    found = capture(model, corpus, SETTINGS, tmp_path / "random")
    assert found.rows == captured.rows
    assert found.about.source.identity != captured.about.source.identity
    ours, theirs = (c.layer(3).read(0, c.rows).flatten() for c in (found, captured))
    assert abs(np.corrcoef(ours, theirs)[0, 1]) < 0.2


class Deadly(Progress):
    """Kills its own process once so many tokens are read."""

    def __init__(self, after: int) -> None:
        super().__init__(quiet=True)
        self.left = after

    @contextmanager
    def task(self, description: str, total: float, *, unit: str = "") -> Iterator[Task]:
        self.reading = description.startswith("capturing")
        yield self

    def advance(self, amount: float = 1) -> None:
        self.left -= amount * self.reading
        if self.left < 0:
            os.kill(os.getpid(), signal.SIGKILL)


def test_killed_midway_it_goes_on_to_the_same_bytes(
    tiny_model, corpus, captured, tmp_path, counting_progress
):
    folder = tmp_path / "killed"
    if (child := os.fork()) == 0:
        signal.alarm(60)
        try:
            capture(tiny_model, corpus, SETTINGS, folder, progress=Deadly(after=700))
        finally:
            os._exit(1)
    assert os.WTERMSIG(os.waitpid(child, 0)[1]) == signal.SIGKILL
    with pytest.raises(UserError, match="isn't finished: capture again, and it goes on"):
        open_capture(folder)
    before = files(folder)
    done = [name for name in before if name.startswith("rows/")]
    assert 2 <= len(done) < len(captured.shards)

    found = capture(tiny_model, corpus, SETTINGS, folder, progress=counting_progress)
    assert counting_progress.done == counting_progress.total < len(captured.windows.ids)
    after, expected = files(folder), files(captured.folder)
    assert after.keys() == expected.keys()
    assert all(after[name] == expected[name] for name in expected if not name.endswith(".json"))
    assert all(after[name] == before[name] for name in done)
    assert found.shards == captured.shards
    assert found.about.moments == captured.about.moments


def test_a_finished_one_is_left_alone(tiny_model, corpus, tmp_path, counting_progress):
    capture(tiny_model, corpus, SETTINGS, tmp_path)
    before = files(tmp_path)
    read = tiny_model.tokens_read
    capture(tiny_model, corpus, SETTINGS, tmp_path, progress=counting_progress)
    assert files(tmp_path) == before
    assert tiny_model.tokens_read == read
    assert counting_progress.total == 0


def test_a_damaged_shard_is_named_and_can_be_made_anew(tiny_model, corpus, captured, tmp_path):
    found = capture(tiny_model, corpus, SETTINGS, tmp_path)
    path = tmp_path / "layer-3" / "00001.safetensors"
    content = path.read_bytes()
    path.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    rows = found.shards[0].rows
    of_layer = open_capture(tmp_path).layer(3)
    of_layer.read(0, rows)
    with pytest.raises(UserError, match=r"layer-3/00001.safetensors is damaged: remove it"):
        of_layer.read(0, rows + 1)
    path.write_bytes((tmp_path / "layer-3" / "00002.safetensors").read_bytes())
    with pytest.raises(UserError, match=r"00001.safetensors isn't of this capture, or not in its"):
        of_layer.read(rows, rows + 1)
    path.unlink()
    read = tiny_model.tokens_read
    capture(tiny_model, corpus, SETTINGS, tmp_path)
    assert path.read_bytes() == content
    assert tiny_model.tokens_read - read < 300


def test_damaged_windows_are_named_and_made_anew(tiny_model, corpus, captured, tmp_path):
    capture(tiny_model, corpus, SETTINGS, tmp_path)
    path = tmp_path / "windows.safetensors"
    content = path.read_bytes()
    path.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    with pytest.raises(UserError, match=r"windows.safetensors is damaged: remove it and capture"):
        open_capture(tmp_path).tokens(0, 1)
    capture(tiny_model, corpus, SETTINGS, tmp_path)
    assert path.read_bytes() == content


def test_tokens_before_the_text_are_no_part_of_the_document(tiny_model, corpus, tmp_path):
    model = replace(tiny_model, tokenizer=Beginning(tiny_model.tokenizer))
    found = capture(model, corpus, SETTINGS, tmp_path)
    assert found.windows.bos == 1
    texts = {one.id: tiny_model.tokens(one.text) for one in corpus.documents}
    for token, document, position, _ in zip(*found.tokens(0, found.rows), strict=True):
        assert texts[found.windows.documents[document][0]][position] == token
    assert 0 in found.tokens(0, found.rows).position


def test_a_full_disk_is_one_line_and_what_is_done_stays(
    tiny_model, corpus, captured, tmp_path, monkeypatch
):
    fsync, left = os.fsync, [10]

    def fills_up(file):
        left[0] -= 1
        if left[0] < 0:
            raise OSError(28, "No space left on device")
        fsync(file)

    monkeypatch.setattr("os.fsync", fills_up)
    with pytest.raises(UserError, match=f"the disk of {tmp_path} is full: make room") as error:
        capture(tiny_model, corpus, SETTINGS, tmp_path)
    assert "\n" not in str(error.value)
    monkeypatch.undo()
    read = tiny_model.tokens_read
    found = capture(tiny_model, corpus, SETTINGS, tmp_path)
    assert found.shards == captured.shards
    assert tiny_model.tokens_read - read < len(found.windows.ids) - 256


def test_too_little_room_is_told_before_anything_is_read(tiny_model, corpus, tmp_path, monkeypatch):
    usage = type("Usage", (), {"free": 1000})
    monkeypatch.setattr(shards, "bytes_a_row", lambda d_model, store: 1_000_000)
    read = tiny_model.tokens_read
    monkeypatch.setattr("shutil.disk_usage", lambda folder: usage)
    with pytest.raises(UserError, match=r"the capture takes [0-9.]+ GB and the disk of .* has 0.0"):
        capture(tiny_model, corpus, SETTINGS, tmp_path)
    assert tiny_model.tokens_read == read


def test_another_capture_is_not_overwritten(tiny_model, corpus, captured):
    before = files(captured.folder)
    with pytest.raises(UserError, match=r"another capture \(window was 16, now 8\): give another"):
        capture(tiny_model, corpus, changed(window=8), captured.folder)
    model = randomised(tiny_model, np.random.default_rng(0))
    with pytest.raises(UserError, match="the model's weights have changed"):
        capture(model, corpus, SETTINGS, captured.folder)
    assert files(captured.folder) == before


def test_layers_that_are_not_there(tiny_model, corpus, captured, tmp_path):
    for layer in (5, -1):
        with pytest.raises(UserError, match=f"has no layer {layer}: its layers are 0 to 4"):
            capture(tiny_model, corpus, changed(layers=(1, layer)), tmp_path)
    with pytest.raises(UserError, match="has no layer 2: it has 1, 3"):
        captured.layer(2)


def test_the_order_of_layers_makes_no_other_capture():
    assert changed(layers=(3, 1, 3)) == SETTINGS


def test_models_without_insides(tiny_encoder, corpus, tmp_path):
    with pytest.raises(UserError, match="'openai/gpt-4o' is a served model"):
        check_insides("openai/gpt-4o")
    check_insides("smollm2-135m")
    with pytest.raises(UserError, match="is an encoder"):
        capture(tiny_encoder, corpus, SETTINGS, tmp_path)


def test_no_capture(tmp_path):
    with pytest.raises(UserError, match="there is no capture in"):
        open_capture(tmp_path)
    (tmp_path / "capture.json").write_text("{}")
    with pytest.raises(UserError, match=r"capture.json is damaged, or of another version"):
        open_capture(tmp_path)
