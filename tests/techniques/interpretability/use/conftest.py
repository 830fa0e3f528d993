"""A dictionary of the tiny model's second layer: random directions, standardised."""

import numpy as np
import pytest
import torch

from toprope.techniques.interpretability.dictionaries.dictionary import Dictionary, make

TEXTS = (
    "The capital of France is Paris. Is this statement true? Answer: yes",
    "The city of Lagos is in Norway. Is this statement true? Answer: no",
    "Twelve plus thirty is forty-two, and nineteen minus seven is twelve.",
    "A weaker partner on the ground keeps a stronger climber safe on the rope.",
)


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(0)


@pytest.fixture
def texts() -> tuple[str, ...]:
    return TEXTS


@pytest.fixture
def dictionary(tiny_model) -> Dictionary:
    made = make({"kind": "topk", "width": 80, "d_model": 32, "active": 6, "seed": 3})
    states = tiny_model.activations(list(TEXTS), [2], pool="none").layers[2]
    made.mean_D.copy_(torch.tensor(states.mean(0)))
    made.scale_D.copy_(torch.tensor(states.std(0)))
    with torch.no_grad():
        made.decoder_bias_D.copy_(torch.linspace(-0.2, 0.2, 32))
    return made
