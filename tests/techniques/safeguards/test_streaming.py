"""The streaming head: its smoothing and loss by hand, and what it learns."""

import numpy as np
import pytest
import torch

from toprope.techniques.safeguards.streaming import (
    DECAY,
    WINDOW,
    StreamingHead,
    exchange_loss,
    fit,
    smoothed,
)
from toprope.techniques.safeguards.thresholds import threshold


def test_a_logit_is_the_mean_of_a_full_window():
    logits_BT = torch.arange(1.0, 7.0)[None]
    assert smoothed(logits_BT, window=3)[0].tolist() == pytest.approx([2, 3, 4, 5])


def test_padding_changes_nothing():
    rng = torch.Generator().manual_seed(0)
    logits_BT = torch.randn(2, 40, generator=rng)
    real_BT = torch.ones(2, 40, dtype=torch.bool)
    labels_B = torch.tensor([1.0, 0.0])
    whole = exchange_loss(logits_BT[:, :25], real_BT[:, :25], labels_B)
    real_BT[:, 25:] = False
    assert exchange_loss(logits_BT, real_BT, labels_B).tolist() == pytest.approx(whole.tolist())


def test_the_loss_is_the_papers():
    """Two windows, by hand: smoothed logits 2 and 1, weights e^2 and e^1."""
    found = exchange_loss(
        torch.tensor([[3.0, 1.0, 1.0]]),
        torch.ones(1, 3, dtype=torch.bool),
        torch.tensor([1.0]),
        window=2,
    )
    weights = np.exp([2, 1]) / np.exp([2, 1]).sum()
    expected = weights @ np.log1p(np.exp([-2, -1]))
    assert found.item() == pytest.approx(expected, rel=1e-6)


def test_at_inference_a_moving_average_takes_the_windows_place():
    head = StreamingHead(np.zeros(1), np.ones(1), np.ones(1), 0.0)
    logits_T1 = np.random.default_rng(0).normal(size=(WINDOW + 2, 1))
    found = head.scores(logits_T1)
    assert (found[: WINDOW - 1] == 0).all()
    weights_T = DECAY ** np.arange(len(logits_T1))[::-1]
    average = weights_T @ logits_T1[:, 0] / weights_T.sum()
    assert found[-1] == pytest.approx(1 / (1 + np.exp(-average)))
    monitor = head.monitor()
    assert [monitor.read(x) for x in logits_T1] == pytest.approx(found)
    assert monitor.highest == found.max()
    # The mean age of what is averaged is that of the window.
    assert pytest.approx((WINDOW - 1) / 2) == DECAY / (1 - DECAY)


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), -float("inf")])
@pytest.mark.parametrize("at", [0, WINDOW + 5])
def test_what_is_no_number_is_harm_from_there_on(bad, at):
    """So that a guard fails closed."""
    head = StreamingHead(np.zeros(1), np.ones(1), np.ones(1), 0.0)
    logits_T1 = np.full((2 * WINDOW, 1), -3.0)
    logits_T1[at] = bad
    found = head.scores(logits_T1)
    assert (found[at:] == 1).all()
    assert (found[:at] < 0.5).all()
    assert head.highest(logits_T1) == 1
    monitor = head.monitor()
    for x in logits_T1:
        monitor.read(x)
    assert (monitor.score, monitor.highest) == (1, 1)


def exchanges(rng: np.random.Generator, n: int, width: int = 12):
    """Harmful ones drift into a direction late in the answer; lengths differ."""
    labels_N = np.arange(n) % 2
    direction_F = np.zeros(width)
    direction_F[3] = 2.0
    features = []
    for label in labels_N:
        length = int(rng.integers(30, 60))
        x_TF = rng.normal(size=(length, width))
        if label:
            x_TF[length // 2 :] += direction_F
        features.append(x_TF.astype(np.float32))
    return features, labels_N.astype(float)


def test_it_finds_what_makes_a_part_of_an_answer_harmful():
    rng = np.random.default_rng(0)
    head = fit(*exchanges(rng, 120), rng=rng)
    others, harmful_N = exchanges(rng, 200)
    harmless_N = np.array([head.scores(x).max() for x in others])[harmful_N == 0]
    stop = threshold(harmless_N, 0.05)
    features, labels_N = exchanges(rng, 200)
    stopped_N = np.array([head.scores(x).max() >= stop for x in features])
    assert stopped_N[labels_N == 0].mean() < 0.12
    assert stopped_N[labels_N == 1].mean() > 0.9
    late = features[1]
    scores_T = head.scores(late)
    assert scores_T[: len(late) // 2 - 5].mean() < 0.5 < scores_T[-5:].mean()
    assert abs(head.weight_F).argmax() == 3


def test_soft_labels_make_soft_scores():
    rng = np.random.default_rng(0)
    features, labels_N = exchanges(rng, 120)
    head = fit(features, np.where(labels_N > 0.5, 0.7, 0.1), rng=rng)
    last_N = np.array([head.scores(x)[-1] for x in features])
    assert 0.5 < last_N[labels_N > 0.5].mean() < 0.85


def test_weights_count():
    rng = np.random.default_rng(0)
    features, labels_N = exchanges(rng, 60)
    light = fit(features, labels_N, rng=rng, weights_N=np.where(labels_N > 0.5, 0.05, 1.0))
    even = fit(features, labels_N, rng=rng)
    assert np.mean([light.scores(x).max() for x in features]) < np.mean(
        [even.scores(x).max() for x in features]
    )


def test_nothing_to_learn_from_is_refused():
    with pytest.raises(ValueError, match="16 positions or more"):
        fit([np.zeros((15, 3))], np.array([1.0]), rng=np.random.default_rng(0))
