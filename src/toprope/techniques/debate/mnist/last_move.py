"""The search of games' last move, whose outcomes are all known: the same counts as rollout by
rollout, from two numbers a game.

Each action wins, or loses, every time. So the actions that win are taken in turn, in the node's
order, and so are those that lose; each rollout only chooses between the next of either.

Shapes: G games, M slots, U places, L sets of pixels, K pixels of a game; 2: wins, then losses.
"""

import numpy as np
from numpy.typing import NDArray

from toprope.techniques.debate.mnist.game import Games
from toprope.techniques.debate.mnist.ordering import orders
from toprope.techniques.debate.mnist.scoring import Verdicts

_MEANS_21 = np.array([[1], [-1]], dtype=np.float32)


def last_move(
    games: Games, verdicts: Verdicts, rollouts: int, exploration: float
) -> tuple[NDArray[np.int16], NDArray[np.int64], NDArray[np.int64]]:
    """Of games with one pixel left to reveal: [G, M] the slot of each action in the node's order,
    how often it was taken, and its wins less losses of whoever moves."""
    width = int(games.count_G.max())
    order_GM = orders(games.key_G, games.count_G, games.revealed_GD, width)
    size_G = games.count_G - games.revealed_GD.shape[1]
    is_there_GM = np.arange(width) < size_G[:, None]
    wins_GM = _wins(games, verdicts, order_GM, is_there_GM)
    taken_GM = _taken(wins_GM, is_there_GM & ~wins_GM, size_G, rollouts, exploration)
    return order_GM, taken_GM, np.where(wins_GM, taken_GM, -taken_GM)


def _wins(
    games: Games,
    verdicts: Verdicts,
    order_GM: NDArray[np.int16],
    is_there_GM: NDArray[np.bool_],
) -> NDArray[np.bool_]:
    """bool [G, M]: whether whoever moves wins by the action; False where there is none."""
    one_U, which_G = games.places
    which_L, action_L = np.nonzero(is_there_GM[one_U])
    game_L = one_U[which_L]
    slots_L = order_GM[game_L, action_L].astype(np.int64)
    sets_LK = np.column_stack([games.revealed_GD[game_L], slots_L])
    verdict_UM = np.zeros((len(one_U), is_there_GM.shape[1]), dtype=np.uint16)
    verdict_UM[which_L, action_L] = verdicts(games.image_G[game_L], sets_LK)
    honest_GM = (verdict_UM[which_G] & games.winning_bits_G[:, None]) == 0
    moves_G1 = games.honest_moves_at(games.pixels - 1)[:, None]
    return (honest_GM == moves_G1) & is_there_GM


def _taken(
    wins_GM: NDArray[np.bool_],
    loses_GM: NDArray[np.bool_],
    size_G: NDArray[np.int64],
    rollouts: int,
    exploration: float,
) -> NDArray[np.int64]:
    """How often each action is taken."""
    kinds_2GM = np.stack([wins_GM, loses_GM])
    number_2G = kinds_2GM.sum(axis=2)
    # A game with fewer actions than others begins earlier to choose among them.
    turns_2G, next_2G = np.ones_like(number_2G), np.zeros_like(number_2G)
    place_2GM = np.argsort(~kinds_2GM, axis=2, kind="stable")
    first_2G = np.arange(2)[:, None] * len(size_G) + np.arange(len(size_G))
    share = np.float32(1) / (1 + np.arange(rollouts + 2)).astype(np.float32)
    for visits in range(int(size_G.min()), rollouts):
        scale = np.float32(exploration) * np.sqrt(np.float32(visits))
        score_2G = share[turns_2G] * scale
        score_2G += _MEANS_21
        score_2G[number_2G == 0] = -np.inf
        place_2G = place_2GM.reshape(-1)[first_2G * place_2GM.shape[2] + next_2G]
        by_place_G = (score_2G[0] == score_2G[1]) & (place_2G[0] < place_2G[1])
        is_win_G = (score_2G[0] > score_2G[1]) | by_place_G
        next_2G += np.stack([is_win_G, ~is_win_G]) & (size_G <= visits)
        is_round_2G = next_2G == number_2G
        turns_2G += is_round_2G
        next_2G[is_round_2G] = 0
    rank_2GM = kinds_2GM.cumsum(axis=2) - 1
    taken_2GM = turns_2G[:, :, None] + (rank_2GM < next_2G[:, :, None])
    taken_GM = (taken_2GM * kinds_2GM).sum(axis=0)
    # With more actions than rollouts the first are taken once each.
    is_few_GM = (size_G > rollouts)[:, None]
    return np.where(is_few_GM, np.arange(wins_GM.shape[1]) < rollouts, taken_GM)
