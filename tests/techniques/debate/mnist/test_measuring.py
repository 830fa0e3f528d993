"""The judge's accuracy by protocol, with its control, and what is kept of a game."""

import numpy as np
import pytest

from toprope.techniques.debate.mnist.boards import boards_of
from toprope.techniques.debate.mnist.data import Digits
from toprope.techniques.debate.mnist.game import ALL_RULES, Rules
from toprope.techniques.debate.mnist.judge import Judge, JudgeSettings
from toprope.techniques.debate.mnist.measuring import gain_of, interval_of, measure
from toprope.techniques.debate.mnist.playing import at_random, play, searching, worst_lie
from toprope.techniques.debate.mnist.records import record
from toprope.techniques.debate.mnist.scoring import Scorer
from toprope.techniques.debate.mnist.search import SearchSettings
from toprope.techniques.debate.mnist.training import train_judge

MLP = JudgeSettings(
    kind="mlp", side=12, pixels=4, widths=(0, 32, 16), steps=250, learning_rate=3e-3
)


def test_each_protocol_has_its_accuracy_and_gain_over_random_pixels(banded: Digits) -> None:
    train, test = banded.part(np.arange(200)), banded.part(np.arange(200, 230))
    judges = [train_judge(train, MLP.model_copy(update={"seed": seed})) for seed in (0, 1)]

    found = measure(
        boards_of(test, pixels=4),
        judges,
        searching(SearchSettings(rollouts=150)),
        repeats=1,
        rng=np.random.default_rng(0),
    )

    assert [one.rules for one in found.by_rules] == list(ALL_RULES)
    assert found.random_SN.shape == (2, 30)
    for one in found.by_rules:
        assert one.accuracy.value == pytest.approx(one.score_SN.mean())
        assert one.accuracy.low <= one.accuracy.value <= one.accuracy.high
        assert one.gain.value == pytest.approx(one.score_SN.mean() - found.random_SN.mean())
    # The last word decides: an honest agent that has it does better than one that hasn't.
    by_rules = {one.rules: one.accuracy.value for one in found.by_rules}
    assert by_rules[Rules(liar_first=True)] > by_rules[Rules()]
    # And a liar that commits does no better than one that needn't.
    assert by_rules[Rules(liar_first=True)] >= by_rules[Rules(precommit=False, liar_first=True)]


def test_intervals_of_one_judge_are_over_images_and_of_several_over_both() -> None:
    score_SN = np.random.default_rng(0).integers(0, 2, (3, 40)).astype(float)
    rng = np.random.default_rng(1)

    assert (interval_of(score_SN[:1], rng=rng).n, interval_of(score_SN, rng=rng).n) == (40, 3)
    assert interval_of(np.ones((3, 40)), rng=rng).low < 1
    gain = gain_of(score_SN, score_SN[::-1], rng=rng)
    assert gain.value == pytest.approx(0)
    assert gain.low < 0 < gain.high


def test_a_record_tells_the_game_and_ends_with_the_judges_own_belief() -> None:
    rng = np.random.default_rng(0)
    images = rng.integers(1, 255, (2, 12, 12)).astype(np.uint8)
    digits = Digits(images, np.array([3, 8]), "made", "")
    judge = Judge(MLP)
    played = play(boards_of(digits, pixels=4), judge, at_random, ALL_RULES)
    number = worst_lie(played, 1, Rules(liar_first=True))

    kept = record(played, number, judge)

    assert np.array_equal(kept.image, images[1])
    assert (kept.truth, kept.rules) == (8, "precommitted liar first")
    assert [one.honest for one in kept.reveals] == [False, True, False, True]
    slots_1K = played.games.revealed_GD[[number]]
    assert [12 * one.row + one.column for one in kept.reveals] == slots_1K[0].tolist()
    logits_C = Scorer(judge, played.games.boards).logits(np.array([1]), slots_1K)[0]
    probabilities_C = np.exp(logits_C) / np.exp(logits_C).sum()
    np.testing.assert_allclose(kept.reveals[-1].beliefs, probabilities_C, atol=1e-6)
    assert kept.lie is not None
    assert kept.honest_won == (logits_C[kept.lie] <= logits_C[8])
