"""The search: move for move that of the plain search, and the best play where that is known."""

from functools import cache

import numpy as np
import pytest
from numpy.typing import NDArray

from toprope.techniques.debate.mnist.boards import Boards, boards_of
from toprope.techniques.debate.mnist.game import ALL_RULES, Games, Rules, start
from toprope.techniques.debate.mnist.judge import Judge, JudgeSettings
from toprope.techniques.debate.mnist.ordering import completed, first_actions, orders
from toprope.techniques.debate.mnist.playing import at_random, play, searching
from toprope.techniques.debate.mnist.scoring import Scorer, Verdicts
from toprope.techniques.debate.mnist.search import SearchSettings, search
from toprope.techniques.debate.mnist.search_plain import search_one

from .conftest import random_digits


def hashed(image_L: NDArray[np.int64], slots_LK: NDArray[np.int64]) -> NDArray[np.uint16]:
    """Verdicts without sense, which depend on the set of pixels only."""
    hash_L = image_L.astype(np.uint64) * np.uint64(17)
    for slots_L in np.sort(slots_LK, axis=1).T:
        hash_L = hash_L * np.uint64(1_000_003) + slots_L.astype(np.uint64)
        hash_L ^= hash_L >> np.uint64(13)
    return (hash_L & (hash_L >> np.uint64(20)) & np.uint64(1023)).astype(np.uint16)


@pytest.mark.parametrize(
    ("nonzero", "pixels", "rollouts"),
    [
        pytest.param(25, 4, 600, id="below the root no node is visited by all its actions"),
        pytest.param(12, 4, 700, id="nodes two deep count their actions"),
        pytest.param(6, 5, 800, id="nodes of every depth do"),
        pytest.param(6, 6, 300, id="a board with no pixel to spare"),
        pytest.param(9, 3, 5, id="fewer rollouts than actions"),
        pytest.param(9, 1, 40, id="one pixel"),
        pytest.param(40, 1, 1200, id="one pixel, and many rollouts"),
    ],
)
def test_moves_and_counts_are_those_of_the_plain_search(
    nonzero: int, pixels: int, rollouts: int
) -> None:
    boards = boards_of(random_digits(3, 8, nonzero), pixels=pixels)
    games = start(boards, ALL_RULES, pixels=pixels)
    settings = SearchSettings(rollouts=rollouts)
    checked = range(0, len(games), 13)
    while games.left:
        found = search(games, hashed, settings)

        for number in checked:
            move, taken = search_one(games, number, hashed, settings)
            assert found.moves_G[number] == move
            assert {slot: found.taken_GM[number, slot] for slot in taken} == taken
        games = games.after(found.moves_G)


def test_a_last_move_that_wins_and_one_that_loses_tie_as_in_the_plain_search() -> None:
    """With 12 wins among 40 actions, after 64 rollouts 1 + 8/(1 + 3) meets -1 + 8/(1 + 1)."""

    def wins_by_the_first_twelve(
        image_L: NDArray[np.int64], slots_LK: NDArray[np.int64]
    ) -> NDArray[np.uint16]:
        return np.where(slots_LK[:, -1] < 12, 0, 1023).astype(np.uint16)

    boards = boards_of(random_digits(30, 8, 40), pixels=1)
    games = start(
        boards.part(np.flatnonzero(boards.count_N == 40)), [Rules(precommit=False)], pixels=1
    )
    settings = SearchSettings(rollouts=65)

    found = search(games, wins_by_the_first_twelve, settings)

    for number in range(len(games)):
        _, taken = search_one(games, number, wins_by_the_first_twelve, settings)
        assert {slot: found.taken_GM[number, slot] for slot in taken} == taken
    assert 0 < (found.taken_GM.max(axis=1) == 4).sum() < len(games)


def test_before_a_judge_too_moves_are_those_of_the_plain_search() -> None:
    boards = boards_of(random_digits(2, 12, 25), pixels=4)
    verdicts = Scorer(Judge(JudgeSettings(kind="strided", side=12, widths=(4, 4, 8))), boards)
    games = start(boards, [Rules()], pixels=4)
    settings = SearchSettings(rollouts=150, exploration=0.4)

    found = search(games, verdicts, settings)

    for number in (0, 5, 17):
        assert search_one(games, number, verdicts, settings)[0] == found.moves_G[number]


def test_a_game_is_the_same_whatever_is_played_beside_it() -> None:
    digits = random_digits(7, 12, 14)
    boards = boards_of(digits, pixels=4)
    judge = Judge(JudgeSettings(kind="mlp", side=12, pixels=4, widths=(0, 16, 8)))
    mover = searching(SearchSettings(rollouts=100))

    together = play(boards, judge, mover, ALL_RULES)
    alone = play(boards.part(np.array([4])), judge, mover, [ALL_RULES[1]])

    is_it_G = (together.games.image_G == 4) & (together.games.rules_G == 1)
    np.testing.assert_array_equal(together.games.revealed_GD[is_it_G], alone.games.revealed_GD)
    np.testing.assert_array_equal(
        together.by_image(ALL_RULES[1])[4:5], alone.by_image(ALL_RULES[1])
    )


def test_play_is_the_best_play_of_small_games() -> None:
    boards = boards_of(random_digits(10, 8, 5), pixels=3)
    games = start(boards, ALL_RULES, pixels=3)
    settings = SearchSettings(rollouts=1500)
    best_G = np.array([_honest_can_win(games, number, hashed) for number in range(len(games))])

    while games.left:
        games = games.after(search(games, hashed, settings).moves_G)

    won_G = games.honest_wins(hashed(games.image_G, games.revealed_GD))
    np.testing.assert_array_equal(won_G, best_G)
    assert 0.2 < best_G.mean() < 0.8


def _honest_can_win(games: Games, number: int, verdicts: Verdicts) -> bool:
    """By going through the whole game."""
    game = games.part(np.array([number]))

    @cache
    def wins(revealed: tuple[int, ...]) -> bool:
        if len(revealed) == game.pixels:
            return bool(game.honest_wins(verdicts(game.image_G, np.array([revealed])))[0])
        free = set(range(int(game.count_G[0]))) - set(revealed)
        outcomes = [wins((*revealed, slot)) for slot in sorted(free)]
        return any(outcomes) if game.honest_moves_at(len(revealed))[0] else all(outcomes)

    return wins(())


def test_a_lie_that_is_committed_to_can_be_rebutted_and_any_lie_can_not() -> None:
    """The paper's reason for precommitment: one pixel speaks against one lie."""

    def rebutted_by_its_own_pixel(
        image_L: NDArray[np.int64], slots_LK: NDArray[np.int64]
    ) -> NDArray[np.uint16]:
        bits = np.full(len(image_L), (1 << 10) - 2)
        for slots_L in slots_LK.T:
            bits &= ~np.left_shift(1, slots_L)
        return bits.astype(np.uint16)

    boards = boards_of(random_digits(1, 8, 12), pixels=4)
    games = start(boards, ALL_RULES, pixels=4)
    while games.left:
        moves_G = search(games, rebutted_by_its_own_pixel, SearchSettings(rollouts=1500)).moves_G
        games = games.after(moves_G)

    won_G = games.honest_wins(rebutted_by_its_own_pixel(games.image_G, games.revealed_GD))

    precommitted = np.array([rules.precommit for rules in ALL_RULES])[games.rules_G]
    np.testing.assert_array_equal(won_G, precommitted)


def test_games_that_are_over_are_not_searched() -> None:
    boards = boards_of(random_digits(1, 8, 5), pixels=1)
    games = start(boards, [Rules()], pixels=1)
    over = games.after(np.zeros(len(games), dtype=np.int64))

    with pytest.raises(ValueError, match="over"):
        search(over, hashed, SearchSettings())


def test_orders_hold_each_free_slot_once_and_every_one_is_first_equally_often() -> None:
    keys_X = np.random.default_rng(0).integers(0, 2**64, 14_000, np.uint64)
    revealed_XD = np.tile([5, 2], (14_000, 1))
    count_X = np.full(14_000, 9)

    order_XM = orders(keys_X, count_X, revealed_XD, 11)

    assert {tuple(sorted(row)) for row in order_XM[:, :7]} == {(0, 1, 3, 4, 6, 7, 8)}
    np.testing.assert_array_equal(order_XM[:, 0], first_actions(keys_X, count_X, revealed_XD))
    for place in (0, 1, 6):
        counts = np.bincount(order_XM[:, place], minlength=9)[[0, 1, 3, 4, 6, 7, 8]]
        assert abs(counts - 2000).max() < 5 * np.sqrt(2000 * 6 / 7)


def test_a_completed_game_repeats_no_slot() -> None:
    keys_L = np.arange(500, dtype=np.uint64)
    sets_LK = completed(keys_L, np.full(500, 7), np.tile([3], (500, 1)), 7)

    np.testing.assert_array_equal(np.sort(sets_LK, axis=1), np.tile(np.arange(7), (500, 1)))


def test_random_games_show_all_lies_of_an_image_the_same_pixels() -> None:
    boards: Boards = boards_of(random_digits(3, 12, 20), pixels=4)
    judge = Judge(JudgeSettings(kind="mlp", side=12, pixels=4, widths=(0, 16, 8)))

    played = play(boards, judge, at_random, ALL_RULES, repeats=1)

    for image in range(3):
        shown = played.games.revealed_GD[played.games.image_G == image]
        assert len(np.unique(shown, axis=0)) == 1
    scores = [played.by_image(rules).tolist() for rules in ALL_RULES]
    assert all(score == scores[0] for score in scores)
