"""Splicing into a model: what is replaced, and what it does to the next tokens."""

import numpy as np
import pytest
import torch

from toprope.errors import UserError
from toprope.techniques.interpretability.quality.spliced import spliced, spliced_loss

TEXTS = (
    "The capital of France is Paris. Is this statement true? Answer: yes",
    "The city of Lagos is in Norway.",
    "Twelve plus thirty is forty-two, and nineteen minus seven is twelve.",
    "A weaker partner on the ground keeps a stronger climber safe on the rope.",
)


@pytest.fixture
def windows(tiny_model):
    return [tiny_model.tokens(text) for text in TEXTS]


@pytest.fixture
def whole(tiny_model, dictionary_of, windows):
    """A dictionary that gives everything back: each channel up and down."""
    eye = torch.eye(32)
    made = dictionary_of(torch.cat([eye, -eye]), 32)
    states = tiny_model.activations(TEXTS, [2], pool="none").layers[2]
    made.mean_D.copy_(torch.tensor(states.mean(0)))
    made.scale_D.copy_(torch.tensor(states.std(0)))
    return made


def logits(model, ids):
    with torch.no_grad():
        return model.module(input_ids=torch.tensor([ids]), use_cache=False).logits[0]


def test_only_the_first_position_is_left(tiny_model, windows):
    with spliced(tiny_model, 2, torch.zeros_like):
        seen = tiny_model.activations([TEXTS[0]], [2], pool="none").item(2, 0)
    plain = tiny_model.activations([TEXTS[0]], [2], pool="none").item(2, 0)
    assert np.array_equal(seen[0], plain[0])
    assert not seen[1:].any()


def test_activations_over_the_outlier_norm_stay(tiny_model):
    plain = tiny_model.activations([TEXTS[0]], [2], pool="none").item(2, 0)
    norms = np.linalg.norm(plain, axis=1)
    limit = float(np.median(norms))
    with spliced(tiny_model, 2, torch.zeros_like, outlier_norm=limit):
        seen = tiny_model.activations([TEXTS[0]], [2], pool="none").item(2, 0)
    assert np.array_equal(seen[1:].any(1), norms[1:] > limit)


def test_a_context_closes_after_itself_and_names_a_missing_layer(tiny_model, windows):
    before = logits(tiny_model, windows[0])
    with spliced(tiny_model, 3, torch.zeros_like):
        assert not torch.allclose(logits(tiny_model, windows[0]), before)
    assert torch.equal(logits(tiny_model, windows[0]), before)
    with pytest.raises(UserError, match="layers 1 to 4, not at 9"), spliced(tiny_model, 9, abs):
        pass


def test_a_perfect_dictionary_recovers_everything(tiny_model, windows, whole, rng):
    found = spliced_loss(tiny_model, 2, whole, windows, range(4), rng=rng)
    assert found.kl_spliced.value == pytest.approx(0, abs=1e-5)
    assert found.ce_spliced.value == pytest.approx(found.ce.value, abs=1e-4)
    for recovered in (found.ce_recovered_from_zero, found.kl_recovered_from_mean):
        assert recovered.value == pytest.approx(1, abs=1e-3)
    assert found.tokens == sum(len(window) - 2 for window in windows)


def test_a_dictionary_that_gives_the_mean_recovers_nothing(tiny_model, windows, whole, rng):
    with torch.no_grad():
        whole.encoder_FD.zero_()
    found = spliced_loss(tiny_model, 2, whole, windows, range(4), rng=rng)
    assert found.kl_recovered_from_mean.value == pytest.approx(0, abs=1e-5)
    assert found.ce_recovered_from_mean.value == pytest.approx(0, abs=1e-4)
    assert found.kl_spliced.value == pytest.approx(found.kl_mean.value)
    assert found.kl_zero.value != pytest.approx(found.kl_mean.value, rel=1e-3)


def test_the_numbers_are_those_of_passes_a_text_at_a_time(tiny_model, windows, whole, rng):
    found = spliced_loss(tiny_model, 2, whole, windows, range(4), rng=rng, budget=60)
    ce, ce_zero, kl_zero, n = 0.0, 0.0, 0.0, 0
    for ids in windows:
        plain = logits(tiny_model, ids).log_softmax(-1)
        with spliced(tiny_model, 2, torch.zeros_like):
            zero = logits(tiny_model, ids).log_softmax(-1)
        for t in range(1, len(ids) - 1):
            ce -= float(plain[t, ids[t + 1]])
            ce_zero -= float(zero[t, ids[t + 1]])
            kl_zero += float((plain[t].exp() * (plain[t] - zero[t])).sum())
            n += 1
    assert found.ce.value == pytest.approx(ce / n, abs=1e-4)
    assert found.ce_zero.value == pytest.approx(ce_zero / n, abs=1e-4)
    assert found.ce_zero.control == found.ce.value
    assert found.kl_zero.value == pytest.approx(kl_zero / n, abs=1e-4)


def test_an_encoder_has_no_next_tokens(tiny_encoder, whole, rng):
    with pytest.raises(UserError, match="encoder"):
        spliced_loss(tiny_encoder, 2, whole, [[1, 2, 3]], [0], rng=rng)
