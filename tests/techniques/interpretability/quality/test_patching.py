"""Gradients and pushes on the residual stream, against finite differences and the model itself."""

import pytest
import torch

from toprope.errors import UserError
from toprope.techniques.interpretability.quality.patching import added, scores, slopes


def margin(logits_BV):
    return logits_BV[:, 5] - logits_BV[:, 9]


def test_slopes_are_finite_differences(tiny_model):
    ids = torch.tensor([tiny_model.tokens("The capital of France is")])
    at = 0.1 * torch.randn(1, ids.shape[1], 32, generator=torch.Generator().manual_seed(0))
    slope = slopes(tiny_model, 2, ids, at, margin)
    way = torch.randn(at.shape, generator=torch.Generator().manual_seed(1))
    up, down = (scores(tiny_model, 2, ids, at + e * way, margin) for e in (1e-2, -1e-2))
    assert float((slope * way).sum()) == pytest.approx(float(up - down) / 2e-2, rel=2e-2)


def test_what_is_added_is_what_steering_adds(tiny_model):
    ids = torch.tensor([tiny_model.tokens("The capital of France is")])
    direction = torch.linspace(-1, 1, 32)
    with torch.no_grad(), tiny_model.steer(3, direction):
        steered = margin(tiny_model.module(input_ids=ids).logits[:, -1])
    push = direction.expand(1, ids.shape[1], 32)
    assert float(scores(tiny_model, 3, ids, push, margin)) == pytest.approx(
        float(steered), abs=1e-4
    )
    with pytest.raises(UserError, match="layers 1 to 4, not at 0"), added(tiny_model, 0, push):
        pass
