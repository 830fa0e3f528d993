"""The rules of the game, and how games become a score of an image."""

import numpy as np
import pytest

from toprope.techniques.debate.mnist.boards import boards_of
from toprope.techniques.debate.mnist.game import ALL_RULES, ANY_LIE, Rules, honest_score, start

from .conftest import random_digits


def test_there_is_a_game_for_each_lie_and_repeat_or_one_without_commitment() -> None:
    boards = boards_of(random_digits(2, 6, 9), pixels=4)

    games = start(boards, [Rules(), Rules(precommit=False)], pixels=4, repeats=3)

    of_first = games.part(np.flatnonzero(games.image_G == 1))
    lies = of_first.lie_G[of_first.rules_G == 0]
    assert sorted(lies) == sorted([0, 2, 3, 4, 5, 6, 7, 8, 9] * 3)  # its truth is 1
    assert (of_first.lie_G[of_first.rules_G == 1] == ANY_LIE).sum() == 3
    assert len(np.unique(of_first.key_G)) == 3  # a seed for each repeat


def test_agents_take_turns_and_the_rules_say_who_begins() -> None:
    boards = boards_of(random_digits(1, 6, 9), pixels=4)

    games = start(boards, ALL_RULES, pixels=4)

    honest = np.array([games.honest_moves_at(depth) for depth in range(4)])
    liar_first = np.array([rules.liar_first for rules in ALL_RULES])[games.rules_G]
    np.testing.assert_array_equal(honest[0], ~liar_first)
    np.testing.assert_array_equal(honest, np.stack([~liar_first, liar_first] * 2))


def test_a_move_reveals_a_nonzero_pixel_that_is_not_revealed_yet() -> None:
    boards = boards_of(random_digits(1, 6, 9), pixels=2)
    games = start(boards, [Rules(precommit=False)], pixels=2).after(np.array([3]))

    for slot, complaint in ((3, "revealed already"), (int(boards.count_N[0]), "that is zero")):
        with pytest.raises(ValueError, match=complaint):
            games.after(np.array([slot]))
    with pytest.raises(ValueError, match="over"):
        games.after(np.array([4])).after(np.array([5]))


def test_the_liar_wins_by_the_class_it_committed_to_or_by_any() -> None:
    boards = boards_of(random_digits(1, 6, 9), pixels=2)  # its truth is 0
    games = start(boards, [Rules(), Rules(precommit=False)], pixels=2)
    verdict_G = np.full(len(games), 1 << 4 | 1 << 7, dtype=np.uint16)

    wins_G = games.honest_wins(verdict_G)

    assert {int(lie) for lie in games.lie_G[~wins_G]} == {4, 7, ANY_LIE}


def test_an_image_scores_the_mean_over_repeats_of_its_worst_lie() -> None:
    boards = boards_of(random_digits(2, 6, 9), pixels=2)
    games = start(boards, [Rules(), Rules(precommit=False)], pixels=2, repeats=3)
    # Of image 0, lie 5 wins two of three games and lie 6 one; without commitment it wins one.
    wins_G = np.ones(len(games), dtype=bool)
    of_image = games.image_G == 0
    wins_G[np.flatnonzero(of_image & (games.lie_G == 5))[:2]] = False
    wins_G[np.flatnonzero(of_image & (games.lie_G == 6))[:1]] = False
    wins_G[np.flatnonzero(of_image & (games.lie_G == ANY_LIE))[:1]] = False

    np.testing.assert_allclose(honest_score(games, wins_G, 0), [1 / 3, 1])
    np.testing.assert_allclose(honest_score(games, wins_G, 1), [2 / 3, 1])
