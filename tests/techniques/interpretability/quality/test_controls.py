"""The frozen-decoder control: its directions stay, and nothing else holds it back."""

import pytest
import torch

from toprope.errors import UserError
from toprope.techniques.interpretability.dictionaries.dictionary import make
from toprope.techniques.interpretability.quality.controls import frozen_decoder
from toprope.techniques.interpretability.training import TrainingSettings, train

SETTINGS = {"kind": "topk", "width": 24, "d_model": 8, "active": 3, "seed": 0}


@pytest.mark.parametrize("kind", ["topk", "batch_topk", "matryoshka", "jumprelu"])
def test_a_frozen_decoder_is_not_trained(random_rows, kind):
    made = frozen_decoder({**SETTINGS, "kind": kind})
    before = made.decoder_FD.detach().clone()
    encoder = made.encoder_FD.detach().clone()
    train({"control": made}, [random_rows(64, 8, seed) for seed in range(3)], fast(3))
    assert torch.allclose(made.decoder_FD, before, atol=1e-6)
    assert not torch.allclose(made.encoder_FD, encoder, atol=1e-3)


def fast(steps):
    return TrainingSettings(steps=steps, learning_rate=0.02)


def test_it_begins_as_the_dictionary_that_it_is_held_against(random_rows):
    """An encoder unlike the decoder would need training to come to where others begin."""
    frozen, trained = frozen_decoder(SETTINGS), make(SETTINGS)
    for one in (frozen, trained):
        one.start(random_rows(64, 8))
    for name, weights in trained.state_dict().items():
        assert torch.equal(frozen.state_dict()[name], weights), name
    assert torch.equal(frozen.encoder_FD, frozen.decoder_FD)


def test_a_decoder_made_of_data_cannot_be_frozen():
    with pytest.raises(UserError, match="archetypal"):
        frozen_decoder({**SETTINGS, "kind": "archetypal", "centroids": 8})
