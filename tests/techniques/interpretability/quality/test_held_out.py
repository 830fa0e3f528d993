"""A capture's held-out part, as the measures take it."""

import gzip
import json

import numpy as np
import pytest
import torch

from toprope.techniques.interpretability.activations.capture import capture
from toprope.techniques.interpretability.activations.corpus import load_corpus
from toprope.techniques.interpretability.activations.settings import CaptureSettings
from toprope.techniques.interpretability.dictionaries.dictionary import make
from toprope.techniques.interpretability.quality.held_out import outlier_norm, rows, windows
from toprope.techniques.interpretability.quality.reconstruction import reconstruction
from toprope.techniques.interpretability.quality.spliced import spliced_loss


@pytest.fixture
def captured(tiny_model, tmp_path):
    rng = np.random.default_rng(0)
    words = ["rope", "climb", "partner", "city", "Paris", "Lagos", "twelve", "seven", "true"]
    path = tmp_path / "texts.jsonl.gz"
    with gzip.open(path, "wt") as file:
        for i in range(60):
            text = f"{i} " + " ".join(rng.choice(words, rng.integers(8, 30)))
            file.write(json.dumps({"text": text}) + "\n")
    settings = CaptureSettings(
        layers=(2,), window=24, shortest=4, held_out=0.3, store="float16", shard=256, outlier=3.0
    )
    return capture(tiny_model, load_corpus(f"file:{path}"), settings, tmp_path / "capture")


def test_held_out_rows_come_with_their_groups(captured):
    batches = list(rows(captured, 2, size=100))
    x = torch.cat([batch for batch, _ in batches])
    groups = np.concatenate([of for _, of in batches])
    side = captured.held_out
    assert torch.equal(x, captured.layer(2).read(side.start, side.stop))
    assert np.array_equal(groups, captured.tokens(side.start, side.stop).group)
    training = captured.tokens(0, side.start).group
    assert not set(groups.tolist()) & set(training.tolist())
    assert sum(len(batch) for batch, _ in rows(captured, 2, most=150, size=100)) == 150


def test_a_dictionary_is_measured_on_a_capture(captured, tiny_model, rng):
    dictionary = make({"kind": "topk", "width": 64, "d_model": 32, "active": 8})
    layer = captured.layer(2)
    dictionary.mean_D.copy_(layer.mean_D)
    dictionary.scale_D.copy_(layer.scale_D)
    found = reconstruction(dictionary, rows(captured, 2), rng=rng)
    assert found.rows == len(captured.held_out)
    assert 0 < found.fvu.value < 2
    texts, groups = windows(captured)
    assert len(texts) == len(captured.windows) - captured.windows.training
    loss = spliced_loss(
        tiny_model, 2, dictionary, texts, groups, outlier_norm=outlier_norm(captured, 2), rng=rng
    )
    assert loss.tokens == sum(len(text) - 2 for text in texts if len(text) > 2)
    assert loss.ce.n == found.documents


def test_windows_are_drawn_evenly_over_documents(captured):
    texts, groups = windows(captured)
    different = list(dict.fromkeys(groups))
    times = [groups.count(one) for one in different]
    assert max(times) > 1  # the first windows alone would be of fewer documents
    some, of = windows(captured, most=len(different))
    assert of == different
    assert some == [texts[groups.index(one)] for one in different]
    _, of = windows(captured, most=len(different) + 1)
    again = next(one for one, n in zip(different, times, strict=True) if n > 1)
    assert of.count(again) == 2
    assert windows(captured, most=10**6) == (texts, groups)


def test_activations_that_a_capture_drops_are_those_over_its_limit(captured, tiny_model):
    """The limit is a number of times the median norm of the capture's first shard."""
    limit = outlier_norm(captured, 2)
    raw = captured.layer(2)
    kept = raw.read(0, captured.rows) * raw.scale_D + raw.mean_D
    assert kept.norm(dim=1).max() <= limit * 1.001
    assert limit == pytest.approx(3 * float(kept.norm(dim=1).median()), rel=0.2)
