"""Monte Carlo tree search of many games at once: the same moves as `search_plain` gives, game by
game, at a small part of its cost.

What the search is, is written down there. All games advance together, one rollout each at a time,
on arrays (`tree`); the judge is asked in large batches.

Shapes: G games, M slots, L sets of pixels.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

from toprope.techniques.debate.mnist.game import Games
from toprope.techniques.debate.mnist.last_move import last_move
from toprope.techniques.debate.mnist.scoring import Verdicts
from toprope.techniques.debate.mnist.tree import Forest


class SearchSettings(BaseModel):
    """
    Attributes:
        rollouts: of each move; 10,000 in the paper.
        exploration: c, the weight of the term for actions seldom taken; 1 in the paper.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    rollouts: int = Field(default=10_000, ge=1, le=10_000_000)
    exploration: float = Field(default=1.0, ge=0)


@dataclass(frozen=True)
class Searched:
    """
    Attributes:
        moves_G: the slots to reveal.
        taken_GM: how many rollouts began with each slot.
    """

    moves_G: NDArray[np.int64]
    taken_GM: NDArray[np.int64]


def search(games: Games, verdicts: Verdicts, settings: SearchSettings) -> Searched:
    """The next move of each game, which all have as many pixels to reveal yet.

    Args:
        verdicts: on the games' boards.

    Raises:
        ValueError: the games are over.
    """
    if games.left == 0:
        raise ValueError("the games are over: there is nothing to search for")
    if games.left == 1:
        counts = last_move(games, verdicts, settings.rollouts, settings.exploration)
        return _best(games, *counts, settings)
    forest = Forest(games, verdicts, settings.rollouts, settings.exploration)
    forest.grow()
    return _best(games, forest.order_GM, forest.taken_GM, forest.won_GM, settings)


def _best(
    games: Games,
    order_GM: NDArray[np.int16],
    taken_GM: NDArray[np.int64],
    won_GM: NDArray[np.int64],
    settings: SearchSettings,
) -> Searched:
    """The action taken most; of equals that with most wins, then the first in the order."""
    # No action has more wins or losses than there are rollouts. An action without rollouts, and a
    # slot that can't be revealed, never come first.
    rank_GM = taken_GM * (2 * settings.rollouts + 1) + won_GM
    best_G = rank_GM.argmax(axis=1)
    by_slot_GM = np.zeros_like(taken_GM)
    np.put_along_axis(by_slot_GM, order_GM.astype(np.int64), taken_GM, axis=1)
    return Searched(order_GM[np.arange(len(games)), best_G].astype(np.int64), by_slot_GM)
