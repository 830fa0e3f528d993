"""Intervals over judges and images, and what is kept of a game."""

import numpy as np
import pytest

from toprope.techniques.debate.mnist.answers import answers_of, put_together
from toprope.techniques.debate.mnist.arms import Arm, arms, headline
from toprope.techniques.debate.mnist.boards import boards_of
from toprope.techniques.debate.mnist.data import Digits
from toprope.techniques.debate.mnist.game import ALL_RULES, Rules
from toprope.techniques.debate.mnist.judge import Judge, JudgeSettings
from toprope.techniques.debate.mnist.measuring import gain_of, interval_of, unit_of
from toprope.techniques.debate.mnist.playing import at_random, play, worst_lie
from toprope.techniques.debate.mnist.records import record
from toprope.techniques.debate.mnist.scoring import Scorer

from .conftest import random_digits

MLP = JudgeSettings(kind="mlp", side=12, pixels=4, widths=(0, 32, 16))


def test_intervals_of_one_judge_are_over_images_and_of_several_over_both() -> None:
    score_SN = np.random.default_rng(0).integers(0, 2, (3, 40)).astype(float)
    rng = np.random.default_rng(1)

    found = [interval_of(score_SN[:1], rng=rng), interval_of(score_SN, rng=rng)]
    assert [(one.n, unit_of(one)) for one in found] == [(40, "images"), (3, "judges")]
    alike = interval_of(np.ones((3, 40)), rng=rng)
    assert alike.low < 1
    assert unit_of(alike) == "images"
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


def test_games_are_put_together_from_what_is_kept_of_them() -> None:
    boards = boards_of(random_digits(5, 12, 20), pixels=4)
    played = play(boards, Judge(MLP), at_random, ALL_RULES, repeats=2, seed=3)

    answers = answers_of(played, seconds=8.0)
    whole = put_together(answers, boards, ALL_RULES, pixels=4, repeats=2, seed=3)

    for rules in ALL_RULES:
        np.testing.assert_array_equal(whole.by_image(rules), played.by_image(rules))
    for n in range(5):
        ours, theirs = whole.games.image_G == n, played.games.image_G == n
        for name in ("lie_G", "rules_G", "liar_first_G", "key_G", "revealed_GD"):
            np.testing.assert_array_equal(
                getattr(whole.games, name)[ours], getattr(played.games, name)[theirs]
            )
        np.testing.assert_array_equal(whole.verdict_G[ours], played.verdict_G[theirs])
    assert sum(one["seconds"] for of_image in answers for one in of_image) == pytest.approx(8)
    with pytest.raises(ValueError, match="broadcast"):
        put_together(answers[::-1], boards, ALL_RULES, pixels=4, repeats=1, seed=3)


def test_an_arm_is_found_again_by_its_name() -> None:
    every = arms([4, 10], ALL_RULES, agents=True)

    assert len({arm.name for arm in every}) == len(every) == 2 * (1 + 3 * 4)
    assert [Arm.named(arm.name) for arm in every] == every
    assert Arm.named("4_pixels_random") == Arm(4, None, "random")
    for other in ("headline", "four_pixels_random", "4_pixels", "4_pixels_free_liar_third"):
        assert Arm.named(other) is None
    assert headline(every).name == "10_pixels_precommitted_liar_first"
    free = arms([4], [Rules(precommit=False)], agents=True)
    assert headline(free).name == "4_pixels_free_liar_second"
