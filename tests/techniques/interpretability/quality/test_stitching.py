"""Stitching: the change of error is that of inserting the latent; novel latents are what is
missing."""

import numpy as np
import pytest
import torch

from toprope.errors import UserError
from toprope.techniques.interpretability.quality.stitching import stitching


def test_novel_latents_are_those_that_the_smaller_dictionary_lacks(dictionary_of, sparse_rows, rng):
    features = torch.linalg.qr(torch.randn(16, 16, generator=torch.Generator().manual_seed(0)))[0]
    large, small = dictionary_of(features, 4), dictionary_of(features[:10], 4)
    x, documents = sparse_rows(features, 600, 4), np.arange(600) // 10
    found = stitching(
        small, large, lambda: [(x[:350], documents[:350]), (x[350:], documents[350:])], rng=rng
    )
    assert found.novel_F.tolist() == [False] * 10 + [True] * 6
    assert found.nearest_F[:10] == pytest.approx(np.ones(10), abs=1e-5)
    assert found.novel.value == pytest.approx(6 / 16)
    assert found.novel.control is not None
    assert found.novel.control < 0.2  # a direction that isn't the latent's own doesn't help
    assert found.novel_if_near is not None
    assert found.novel_if_near.value == 0
    assert found.novel_if_far is not None
    assert found.novel_if_far.value == 1
    # With all six, the smaller one has everything.
    assert found.small.value > 0.2
    assert found.stitched.value == pytest.approx(found.large.value, abs=1e-4)
    assert found.large.value == pytest.approx(0, abs=1e-4)


def test_the_change_is_that_of_inserting_each_latent(dictionary_of, random_rows, rng):
    small, large = dictionary_of(random_rows(6, 8), 2), dictionary_of(random_rows(20, 8, 1), 3)
    with torch.no_grad():
        small.decoder_bias_D.fill_(0.3)
        large.decoder_bias_D.fill_(-0.2)
    x, documents = random_rows(300, 8, 2), np.arange(300) // 5
    found = stitching(small, large, lambda: [(x, documents)], rng=rng)
    here = x[torch.from_numpy(documents % 2 == 0)]
    back, codes = small.reconstruct(here), large.encode(here).dense()
    plain = (here - back).square().mean()
    for latent in range(20):
        with_it = back + codes[:, latent, None] * large.decoder_FD[latent]
        change = float(((here - with_it).square().mean() - plain).detach())
        assert found.change_F[latent] == pytest.approx(change, abs=1e-6)
    there = x[torch.from_numpy(documents % 2 == 1)]
    novel = large.encode(there).dense() * torch.from_numpy(found.novel_F)
    stitched = small.reconstruct(there) + novel @ large.decoder_FD.detach()
    variance = (there - there.mean(0)).square().sum()
    for measure, back in (
        (found.small, small.reconstruct(there)),
        (found.large, large.reconstruct(there)),
        (found.stitched, stitched),
    ):
        fvu = float((there - back).square().sum() / variance)
        assert measure.value == pytest.approx(fvu, rel=1e-4)


def test_dictionaries_of_other_captures_are_refused(dictionary_of, random_rows, rng):
    small, large = dictionary_of(random_rows(6, 8), 2), dictionary_of(random_rows(20, 8), 2)
    large.scale_D.fill_(2.0)
    with pytest.raises(UserError, match="standardised differently"):
        stitching(small, large, list, rng=rng)
