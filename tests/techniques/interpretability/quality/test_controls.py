"""Controls: what is random stays so, and what is kept is kept."""

import torch

from toprope.techniques.interpretability.dictionaries.dictionary import make
from toprope.techniques.interpretability.quality.controls import frozen_decoder, shuffled

SETTINGS = {"kind": "topk", "width": 24, "d_model": 8, "active": 3, "seed": 0}


def test_a_frozen_decoder_is_not_trained(random_rows):
    made = frozen_decoder(SETTINGS)
    before = made.decoder_FD.detach().clone()
    assert not torch.allclose(before, make(SETTINGS).decoder_FD)  # nor is it the encoder's start
    assert torch.allclose(before.norm(dim=1), torch.ones(24))
    encoder = made.encoder_FD.detach().clone()
    adam = torch.optim.Adam(made.parameters(), lr=0.1)
    for seed in range(3):
        adam.zero_grad()
        made.loss(random_rows(64, 8, seed)).total.backward()
        adam.step()
    assert torch.equal(made.decoder_FD, before)
    assert not torch.allclose(made.encoder_FD, encoder)


def test_shuffling_keeps_each_channels_values_and_no_correlation(random_rows, rng):
    x = random_rows(2000, 3)
    x[:, 1] = x[:, 0]
    (mixed,) = shuffled([x], rng)
    assert torch.equal(mixed.sort(0).values, x.sort(0).values)
    assert abs(float(torch.corrcoef(mixed.T)[0, 1])) < 0.1
    assert float(torch.corrcoef(x.T)[0, 1]) > 0.99
