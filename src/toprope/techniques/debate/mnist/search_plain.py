"""The search of `search`, one game and one rollout at a time: what that must give the same moves
as, and what it is timed against.

Monte Carlo tree search as in Irving, Christiano and Amodei 2018, section 3.1: no learned prior and
no value but the judge's verdict at the end of a game. A rollout goes down from the position to the
end of the game. At a node, an action that was never taken comes before all others; then the one
that maximises W/N + c sqrt(N of all)/(1 + N), where W is wins less losses of whoever moves there;
equals in the node's own random order. The move is the action that was taken most; of equals that
with the most wins, then the first in the order. Each move begins with a new tree. Scores are in
32-bit floating point.
"""

import numpy as np
from numpy.typing import NDArray

from toprope.techniques.debate.mnist.game import Games
from toprope.techniques.debate.mnist.ordering import child_keys, first_actions, orders
from toprope.techniques.debate.mnist.scoring import Verdicts
from toprope.techniques.debate.mnist.search import SearchSettings


class _Node:
    """A node that was visited; its order is made when it is visited again."""

    def __init__(self, key: NDArray[np.uint64], revealed_D: list[int]) -> None:
        self.key, self.revealed_D = key, revealed_D
        self.order: list[int] = []
        self.visits = 0
        self.taken: NDArray[np.int64]
        self.won: NDArray[np.int64]
        self.children: dict[int, _Node] = {}


def search_one(
    games: Games, number: int, verdicts: Verdicts, settings: SearchSettings
) -> tuple[int, dict[int, int]]:
    """(the best move's slot, how often each slot was taken) of one of the games."""
    game = games.part(np.array([number]))
    root = _Node(game.key_G, game.revealed_GD[0].tolist())
    for _ in range(settings.rollouts):
        _roll_out(root, game, verdicts, settings.exploration)
    order = _order(root, games.part(np.array([number])))
    best = max(range(len(order)), key=lambda a: (int(root.taken[a]), int(root.won[a]), -a))
    return order[best], dict(zip(order, root.taken.tolist(), strict=True))


def _roll_out(root: _Node, game: Games, verdicts: Verdicts, exploration: float) -> None:
    path: list[tuple[_Node, int]] = []
    node = root
    while len(node.revealed_D) < game.pixels:
        action = _chosen(node, game, exploration)
        path.append((node, action))
        if action not in node.children:
            slot = _slot(node, action, game)
            key = child_keys(node.key, np.array([slot]))
            node.children[action] = _Node(key, [*node.revealed_D, slot])
        node = node.children[action]
    verdict = verdicts(game.image_G, np.array([node.revealed_D]))
    honest_won = bool(game.honest_wins(verdict)[0])
    for visited, action in path:
        mover_is_honest = bool(game.honest_moves_at(len(visited.revealed_D))[0])
        visited.visits += 1
        _note(visited, action, 1 if honest_won == mover_is_honest else -1, game)


def _chosen(node: _Node, game: Games, exploration: float) -> int:
    """The place in the node's order of the action to take."""
    actions = int(game.count_G[0]) - len(node.revealed_D)
    if node.visits < actions:
        return node.visits
    scale = np.float32(exploration) * np.sqrt(np.float32(node.visits))
    mean = node.won.astype(np.float32) / node.taken.astype(np.float32)
    return int(np.argmax(mean + scale * (np.float32(1) / (1 + node.taken).astype(np.float32))))


def _slot(node: _Node, action: int, game: Games) -> int:
    revealed_1D = np.array([node.revealed_D], dtype=np.int64)
    if action == 0:
        return int(first_actions(node.key, game.count_G, revealed_1D)[0])
    return _order(node, game)[action]


def _order(node: _Node, game: Games) -> list[int]:
    if not node.order:
        count = int(game.count_G[0])
        revealed_1D = np.array([node.revealed_D], dtype=np.int64)
        order_M = orders(node.key, game.count_G, revealed_1D, count)[0]
        node.order = order_M[: count - len(node.revealed_D)].tolist()
    return node.order


def _note(node: _Node, action: int, outcome: int, game: Games) -> None:
    if node.visits == 1:
        actions = int(game.count_G[0]) - len(node.revealed_D)
        node.taken, node.won = np.zeros((2, actions), dtype=np.int64)
    node.taken[action] += 1
    node.won[action] += outcome
