"""Several processes draw the same batches of a capture, and keep where they come from."""

import pickle

import pytest
import torch

from toprope.data.seeding import named_rng
from toprope.errors import UserError
from toprope.techniques.interpretability.activations.batches import batches
from toprope.techniques.interpretability.activations.captured import Capture
from toprope.techniques.interpretability.dictionaries.dictionary import Origin
from toprope.techniques.interpretability.dictionaries.topk import TopKSettings
from toprope.techniques.interpretability.scale.source import CaptureBatches, work_on
from toprope.techniques.interpretability.training import TrainingSettings

from ..activations.conftest import numbered  # noqa: F401

SETTINGS = TopKSettings(width=8, d_model=2, active=1)
TRAINING = TrainingSettings(steps=2)


def test_a_process_draws_what_the_others_draw(numbered: Capture):  # noqa: F811
    work = work_on(CaptureBatches(numbered.folder, 3, 32, seed=7), SETTINGS, TRAINING, shards=2)
    there = pickle.loads(pickle.dumps(work))
    expected = batches(numbered, 3, 32, named_rng(7, "batches"))
    for found, true in zip(there.source(0), expected, strict=True):
        assert torch.equal(found, true)
    *_, last = batches(numbered, 3, 32, named_rng(7, "batches"), skip=3)
    rest = list(there.source(3))
    assert len(rest) == len(list(there.source(0))) - 3
    assert torch.equal(rest[-1], last)
    assert there.origin == Origin(model="none", layer=3, corpus="")
    assert torch.equal(there.mean_D, numbered.layer(3).mean_D)
    assert torch.equal(there.scale_D, numbered.layer(3).scale_D)


def test_a_layer_that_wasnt_captured(numbered: Capture):  # noqa: F811
    with pytest.raises(UserError, match="layer"):
        work_on(CaptureBatches(numbered.folder, 2, 32), SETTINGS, TRAINING, shards=2)
