"""Models with random weights: the same architecture, nothing of what was learned but its size."""

import numpy as np
import pytest
import torch

from toprope.models.random import randomised


def weights(model):
    return dict(model.module.named_parameters())


def rng(seed=0):
    return np.random.default_rng(seed)


@pytest.mark.parametrize("how", ["drawn", "permuted"])
def test_every_tensor_is_another_of_the_same_size(tiny_model, how):
    before = {name: weight.clone() for name, weight in weights(tiny_model).items()}
    found = randomised(tiny_model, rng(), how=how)
    assert found.fingerprint != tiny_model.fingerprint
    assert found.n_layers == tiny_model.n_layers
    for name, weight in weights(found).items():
        known = before[name]
        assert torch.equal(weights(tiny_model)[name], known)
        assert weight.shape == known.shape
        assert not weight.requires_grad
        if known.std() == 0:
            torch.testing.assert_close(weight, known)  # the norms' gains, all 1 in this model
            continue
        correlation = np.corrcoef(weight.flatten(), known.flatten())[0, 1]
        assert abs(correlation) < 5 / known.numel() ** 0.5
        if how == "permuted":
            assert torch.equal(weight.flatten().sort()[0], known.flatten().sort()[0])
        else:
            assert weight.std() == pytest.approx(known.std().item(), rel=0.1)
            assert weight.mean().item() == pytest.approx(
                known.mean().item(), abs=5 * known.std().item() / known.numel() ** 0.5
            )


def test_drawn_weights_are_normal(tiny_model):
    from scipy.stats import kstest

    weight = weights(randomised(tiny_model, rng()))["model.layers.0.mlp.up_proj.weight"]
    scaled = (weight - weight.mean()) / weight.std()
    assert kstest(scaled.flatten().numpy(), "norm").pvalue > 1e-3


def test_embeddings_can_stay(tiny_model):
    found = weights(randomised(tiny_model, rng(), embeddings=False))
    known = weights(tiny_model)
    kept = [
        name for name in known if known[name].std() > 0 and torch.equal(known[name], found[name])
    ]
    assert kept == ["model.embed_tokens.weight"]


def test_the_seed_makes_the_model(tiny_model):
    first, same, other = (randomised(tiny_model, rng(seed)) for seed in (0, 0, 1))
    assert first.fingerprint == same.fingerprint != other.fingerprint
    assert all(torch.equal(weights(first)[name], w) for name, w in weights(same).items())
    hows = {randomised(tiny_model, rng(), how=how).fingerprint for how in ("drawn", "permuted")}
    assert len(hows) == 2


def test_it_runs_and_says_something_else(tiny_model):
    texts = ["The capital of France is Paris."]
    found = randomised(tiny_model, rng())
    ours, theirs = (model.activations(texts, [4]).layers[4] for model in (found, tiny_model))
    assert np.isfinite(ours).all()
    assert abs(np.corrcoef(ours, theirs)[0, 1]) < 0.8


def test_tied_weights_stay_tied(smollm_like):
    found = randomised(smollm_like, rng()).module
    assert found.get_output_embeddings().weight is found.get_input_embeddings().weight


@pytest.fixture
def smollm_like(tiny_model):
    from dataclasses import replace

    from transformers import LlamaConfig, LlamaForCausalLM

    config = LlamaConfig(
        vocab_size=50,
        hidden_size=8,
        intermediate_size=8,
        num_hidden_layers=1,
        num_attention_heads=1,
        tie_word_embeddings=True,
    )
    return replace(tiny_model, module=LlamaForCausalLM(config).requires_grad_(False).eval())
