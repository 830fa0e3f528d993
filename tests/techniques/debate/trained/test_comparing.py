"""The head on differences: what it learns, and what of it is decided by questions left out."""

import numpy as np
import pytest

from toprope.models.heads import STRENGTHS, Axes, softmax
from toprope.techniques.debate.trained import comparing

from .lessons import states


def accuracy_and_log_score(found, x_ND, places, right):
    shares = [softmax(found.head.logits(x_ND[place]).T)[0] for place in places]
    hits = np.mean([share.argmax() == one for share, one in zip(shares, right, strict=True)])
    return hits, np.mean([np.log(share[one]) for share, one in zip(shares, right, strict=True)])


@pytest.mark.parametrize("options", [2, 4])
def test_a_signal_that_hearings_hide_is_found_and_the_probabilities_are_as_sure_as_it_lets_them(
    options: int,
):
    rng = np.random.default_rng(3)
    right = rng.integers(options, size=400).tolist()
    x_ND, places = states(right, options, width=20, signal=2.0)
    noise_ND, _ = states(right, options, width=20, signal=0.0, seed=1)
    units = [f"q{h // 2}" for h in range(200)]
    found = comparing.fit({1: noise_ND, 2: x_ND}, places[:200], right[:200], units)
    assert found.layer == 2
    hits, log_score = accuracy_and_log_score(found, x_ND, places[200:], right[200:])
    # The best that can be known: the densities' ratio, exp(signal * x) along the direction.
    known = [softmax(2.0 * x_ND[place][:, :1].T)[0] for place in places[200:]]
    best_hits = np.mean([p.argmax() == one for p, one in zip(known, right[200:], strict=True)])
    best_score = np.mean([np.log(p[one]) for p, one in zip(known, right[200:], strict=True)])
    assert hits > best_hits - 0.06
    assert log_score > best_score - 0.08


def test_where_there_is_nothing_to_learn_the_probabilities_stay_near_even():
    right = np.random.default_rng(3).integers(2, size=400).tolist()
    x_ND, places = states(right, 2, width=60, signal=0.0)
    found = comparing.fit({1: x_ND}, places[:60], right[:60], [f"q{h}" for h in range(60)])
    _, log_score = accuracy_and_log_score(found, x_ND, places[60:], right[60:])
    assert log_score > np.log(0.5) - 0.1


def test_what_is_left_out_is_what_a_regression_without_it_gives():
    right = np.random.default_rng(5).integers(3, size=12).tolist()
    x_ND, places = states(right, 3, width=7, signal=1.0)
    found = comparing.differences(x_ND, places, right, [f"q{h // 3}" for h in range(12)])
    axes = Axes.of(np.concatenate([found.x_MD, -found.x_MD]))
    z_MR = axes.z_NR[: len(found.x_MD)]
    weight_PR = z_MR.mean(0) / (axes.variance_R + STRENGTHS[:, None])
    scores_PM = comparing._left_out(z_MR, axes.variance_R, weight_PR, found.blocks)
    assert [len(block) for block in found.blocks] == [6, 6, 6, 6]
    for block in found.blocks:
        rest = np.setdiff1d(np.arange(len(z_MR)), block)
        z = z_MR[rest]
        for strength, scores_M in zip(STRENGTHS, scores_PM, strict=True):
            gram = z.T @ z + strength * len(z_MR) * np.eye(z.shape[1])
            weight = np.linalg.solve(gram, z.sum(0))
            np.testing.assert_allclose(scores_M[block], z_MR[block] @ weight, atol=1e-8)


def test_options_in_another_order_have_the_same_scores():
    right = [0, 2, 1, 1, 0, 2] * 4
    x_ND, places = states(right, 3, width=5, signal=1.5)
    units = [f"q{h}" for h in range(24)]
    found = comparing.fit({1: x_ND}, places, right, units)
    turned = comparing.fit(
        {1: x_ND},
        [place[[2, 0, 1]] for place in places],
        [[1, 2, 0][one] for one in right],
        units,
    )
    np.testing.assert_allclose(turned.head.weight_DC, found.head.weight_DC, atol=1e-8)
