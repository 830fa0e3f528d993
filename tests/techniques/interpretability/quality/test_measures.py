"""Intervals over documents, reconstruction and density, against what numpy says."""

import numpy as np
import pytest
import torch

from toprope.errors import UserError
from toprope.statistics import bootstrap_clustered
from toprope.techniques.interpretability.quality.density import density, of_counts
from toprope.techniques.interpretability.quality.measure import Measure, Sums, of_sums
from toprope.techniques.interpretability.quality.reconstruction import reconstruction


def test_an_interval_over_documents_is_that_of_a_clustered_bootstrap(rng):
    documents = np.repeat(np.arange(30), rng.integers(3, 30, 30))
    values = rng.normal(size=len(documents)) + rng.normal(size=30)[documents]
    sums = Sums()
    columns = torch.tensor(np.stack([values, np.ones_like(values)], axis=1))
    for rows in (slice(0, 100), slice(100, None)):  # a document goes on in the next batch
        sums.add(documents[rows], columns[rows])
    measure = of_sums(sums.of_documents(), lambda s: s[:, 0] / s[:, 1], rng=rng, resamples=10_000)
    other = bootstrap_clustered(values, documents, rng=rng)
    assert measure.value == pytest.approx(other.value)
    assert (measure.low, measure.high) == pytest.approx((other.low, other.high), abs=0.02)
    assert measure.n == 30


def test_an_interval_needs_two_documents_and_something_to_measure(rng):
    sums = Sums()
    sums.add(np.zeros(5, dtype=np.int64), torch.ones(5, 2))
    with pytest.raises(UserError, match="two of them"):
        sums.of_documents()
    with pytest.raises(UserError, match="ratio over nothing"):
        of_sums(np.zeros((3, 2)), lambda s: s[:, 0] / s[:, 1], rng=rng)


def test_a_measure_takes_a_control_that_was_measured_elsewhere():
    assert Measure(0.1, 0.0, 0.2, 9).beside(Measure(0.5, 0.4, 0.6, 9)).control == 0.5


def test_reconstruction_is_what_numpy_computes(rng, dictionary_of, random_rows):
    dictionary = dictionary_of(random_rows(24, 8), 3)
    dictionary.scale_D.copy_(torch.linspace(0.5, 4, 8))
    dictionary.mean_D.fill_(7.0)
    with torch.no_grad():
        dictionary.decoder_bias_D.copy_(torch.linspace(-1, 1, 8))
    x = random_rows(300, 8, seed=1) + 0.5
    documents = np.arange(300) // 20
    batches = [(x[i : i + 70], documents[i : i + 70]) for i in range(0, 300, 70)]
    found = reconstruction(dictionary, batches, rng=rng)

    back = dictionary.reconstruct(x).double()
    error, there = (x - back).numpy(), x.double().numpy()
    scale = dictionary.scale_D.numpy()
    fvu = (error**2).sum() / ((there - there.mean(0)) ** 2).sum()
    raw = ((error * scale) ** 2).sum() / (((there - there.mean(0)) * scale) ** 2).sum()
    cosine = torch.cosine_similarity(x.double(), back, dim=1).mean()
    assert found.fvu.value == pytest.approx(fvu)
    assert found.raw_fvu.value == pytest.approx(raw)
    assert found.explained_variance.value == pytest.approx(1 - fvu)
    assert found.raw_explained_variance.value == pytest.approx(1 - raw)
    assert found.explained_variance.low == pytest.approx(1 - found.fvu.high)
    assert found.cosine.value == pytest.approx(float(cosine))
    active = (dictionary.encode(x).values_BK > 0).sum(1).float().mean()
    assert found.l0.value == pytest.approx(float(active))
    assert found.fvu.low < fvu < found.fvu.high
    assert (found.rows, found.documents) == (300, 15)


def test_predicting_the_mean_explains_nothing(rng, dictionary_of, random_rows):
    dictionary = dictionary_of(random_rows(8, 4), 1)
    x = random_rows(200, 4)
    with torch.no_grad():
        dictionary.encoder_FD.zero_()
        dictionary.decoder_bias_D.copy_(x.mean(0))
    found = reconstruction(dictionary, [(x, np.arange(200) // 10)], rng=rng)
    assert found.fvu.value == pytest.approx(1.0, abs=1e-6)
    assert found.l0.value == 0


def test_density_counts_active_rows(dictionary_of):
    dictionary = dictionary_of(torch.eye(4), 4)
    x = torch.zeros(100, 4)
    x[:, 0] = 1.0
    x[:10, 1] = 2.0
    x[:3, 2] = -1.0
    found = density(dictionary, [(x[:60], np.zeros(60, int)), (x[60:], np.zeros(40, int))])
    assert found.active_F.tolist() == [100, 10, 0, 0]
    assert found.tokens == 100
    assert found.dead.value == 0.5
    assert found.dense.value == 0.25  # a tenth isn't over a tenth
    assert found.rates_F.tolist() == [1.0, 0.1, 0, 0]
    assert found.counts_B.sum() == 2


def test_a_latent_that_was_never_active_may_be_so_once_in_a_third_of_the_tokens():
    found = of_counts(np.array([0, 5]), 1_000_000)
    assert found.dead_rate_at_most == pytest.approx(3e-6, rel=2e-3)  # the rule of three
    # Exactly: at that rate, 5% of samples have none.
    assert (1 - found.dead_rate_at_most) ** 1_000_000 == pytest.approx(0.05, rel=1e-6)
    with pytest.raises(UserError, match="no tokens"):
        of_counts(np.zeros(3, dtype=np.int64), 0)
