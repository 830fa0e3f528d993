"""The plan's arithmetic against modules that are there, torch's own counting, and sums by hand."""

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from toprope.errors import UserError
from toprope.techniques.interpretability.dictionaries.topk import TopK, TopKSettings
from toprope.techniques.interpretability.scale.plan import (
    H100S,
    Hardware,
    Job,
    TokenRule,
    bytes_per_device,
    least_devices,
    operations_per_token,
    plan,
    sent_per_step,
)
from toprope.techniques.interpretability.scale.slope import slope
from toprope.techniques.interpretability.scale.table import table
from toprope.techniques.interpretability.training import TrainingSettings, train

F, D, K, B = 96, 24, 5, 32
SMALL = Job(width=F, d_model=D, active=K, batch=B, tokens=1e6)
TWO = Hardware(
    name="two", devices=2, memory=1e6, flops=1e9, bandwidth=1e8, link=1e7, utilisation=0.5
)
WIDE = Job(width=10_000_000, d_model=4096)


def test_bytes_of_weights_gradients_and_moments_are_those_of_the_module(monkeypatch):
    dictionary = TopK(TopKSettings(width=F, d_model=D, active=K))
    made = []
    adam = torch.optim.Adam
    monkeypatch.setattr(torch.optim, "Adam", lambda *a, **k: made.append(adam(*a, **k)) or made[0])
    train({"d": dictionary}, [torch.randn(B, D)], TrainingSettings(steps=1))
    held = bytes_per_device(SMALL, 1)
    assert held.weights == sum(p.nbytes for p in dictionary.parameters()) == held.gradients
    states = [s for state in made[0].state.values() for s in state.values() if s.ndim]
    assert held.moments == sum(s.nbytes for s in states)


def test_dense_operations_are_those_that_torch_counts():
    dictionary = TopK(TopKSettings(width=F, d_model=D, active=K))
    with FlopCounterMode(display=False) as counted:
        dictionary.loss(torch.randn(B, D)).total.backward()
    assert operations_per_token(SMALL)[0] * B == counted.get_total_flops()


def test_a_step_by_hand():
    # 5 values of 32 tokens to one other device, and half of 2 x 32 rows of 24 floats.
    assert sent_per_step(SMALL, 2) == 32 * 5 * 4 + 32 * 24 * 4
    assert sent_per_step(SMALL, 1) == 0
    found = plan(SMALL, TWO)
    # 2 x 96 x 24 dense, 8 x 5 x 24 sparse, over two devices of half a gigaflop.
    assert found.operating_seconds == pytest.approx(32 * (4608 + 960) / 2 / 0.5e9)
    assert found.sending_seconds == pytest.approx((640 + 3072) / 1e7)
    # 48 latents a device. The encoder once; 32 x 48 scores twice; 48 x 49 + 24 weights, ten times;
    # the decoder twice; four rows for each of 80 codes.
    traffic = 4 * (48 * 24 + 2 * 32 * 48 + 10 * (48 * 49 + 24) + 2 * 48 * 24 + 4 * 80 * 24)
    assert found.traffic_seconds == pytest.approx(traffic / 1e8)
    step = found.operating_seconds + found.traffic_seconds + found.sending_seconds
    assert found.seconds == pytest.approx(1e6 / 32 * step)
    assert plan(SMALL, TWO, measured=500).seconds == 2000


def test_auxk_chooses_and_sums_once_more():
    with_auxk = SMALL.model_copy(update={"auxiliary": K})
    assert sent_per_step(with_auxk, 4) == 2 * sent_per_step(SMALL, 4)
    assert operations_per_token(with_auxk)[1] == 2 * operations_per_token(SMALL)[1]


def test_ten_million_latents_on_h100s():
    found = plan(WIDE, H100S)
    # 10 million x (2 x 4096 + 1) float32: 327.7 GB of weights, four times that with the rest.
    assert found.held.weights * 8 == pytest.approx(327.72e9, rel=1e-3)
    assert (found.held.total - found.held.activations) * 8 == pytest.approx(1310.9e9, rel=1e-3)
    assert not found.fits
    assert found.least_devices is not None
    enough = H100S.model_copy(update={"devices": found.least_devices})
    assert plan(WIDE, enough).fits
    fewer = H100S.model_copy(update={"devices": found.least_devices - 1})
    assert not plan(WIDE, fewer).fits
    assert found.tokens == pytest.approx(40e9 * (10 / 16) ** 0.65)
    assert found.captured == found.tokens * 4098
    assert "| fits | no |" in table([found])
    assert "| latents | 10,000,000 |" in table([found])


def test_fewest_devices_is_the_first_that_fits():
    job = Job(width=4000, d_model=64, active=4, batch=256)
    for memory in (6e5, 1e6, 3e6, 1e8):
        first = next(
            (n for n in range(1, 1001) if bytes_per_device(job, n).total <= 0.9 * memory), None
        )
        assert least_devices(job, memory) == first
    assert least_devices(job, 1e3) is None


def test_tokens_by_the_rule():
    rule = TokenRule()
    assert rule.tokens(16_000_000) == 40e9
    assert rule.tokens(8_000_000) / rule.tokens(4_000_000) == pytest.approx(2**0.65)


def test_a_shard_needs_latents_to_choose_from():
    with pytest.raises(UserError, match="fewer than the 5 active ones"):
        plan(SMALL, TWO.model_copy(update={"devices": 20}))


def test_a_slope_is_that_of_the_line():
    found = slope([1000, 2000, 8000], [1500.0, 2500.0, 8500.0])
    assert (found.fixed, found.per_latent) == pytest.approx((500, 1))
    assert found.worst == pytest.approx(0, abs=1e-9)
    assert found.at(16_000) == pytest.approx(16_500)
    # Least squares of (a + b x) / y = 1, by the normal equations.
    x_N, y_N = torch.tensor([1.0, 2, 3]).double(), torch.tensor([1.0, 3, 3]).double()
    rows_N2 = torch.stack([1 / y_N, x_N / y_N], dim=1)
    a, b = torch.linalg.solve(rows_N2.T @ rows_N2, rows_N2.sum(0))
    bent = slope([1, 2, 3], [1.0, 3.0, 3.0])
    assert (bent.fixed, bent.per_latent) == pytest.approx((float(a), float(b)))
    assert bent.worst == pytest.approx(float(((a + b * x_N) / y_N - 1).abs().max()))


@pytest.mark.parametrize(("widths", "costs"), [([5, 5], [1.0, 1.0]), ([1, 2], [0.0, 1.0])])
def test_no_slope(widths: list[int], costs: list[float]):
    with pytest.raises(UserError):
        slope(widths, costs)
