"""The arrays of a forest (see `tree`): a row for each node that counts its actions.

They grow as needed.

Shapes: P rows (room for more than are used), M slots, K pixels of a game, A new rows.
"""

import numpy as np
from numpy.typing import NDArray

Ints = NDArray[np.int64]


class Nodes:
    """
    Attributes:
        game_P, depth_P: whose node it is, and how many pixels are revealed there.
        key_P, revealed_PK: the node's key (see `ordering`), and the slots revealed.
        size_P: how many actions there are.
        visits_P: rollouts through the node.
        order_PM: the slot of each action, in the node's order. Actions are numbered so.
        taken_PM, won_PM: rollouts through each action, and wins less losses of who moves there.
        mean_PM, share_PM: won/taken, and 1/(1 + taken); -inf and 0 where there is no action.
        child_PM: the row of what an action leads to; -1 if it has none.
        offset_PM, known_PM: where the sequence of outcomes below an action begins (-1: nowhere
            yet), and how many of them are scored; where several rows share them, at row `store_P`.
        first_P: where the sequence of the outcomes of the node's own first visits begins.
    """

    def __init__(self, room: int, slots: int, pixels: int) -> None:
        self.used, self.M = 0, slots
        self.game_P, self.depth_P, self.size_P = (np.zeros(room, np.int64) for _ in range(3))
        self.visits_P, self.store_P, self.first_P = (np.zeros(room, np.int64) for _ in range(3))
        self.key_P = np.zeros(room, np.uint64)
        self.revealed_PK = np.zeros((room, pixels), np.int64)
        self.order_PM = np.zeros((room, slots), np.int16)
        self.taken_PM, self.won_PM = (np.zeros((room, slots), np.int32) for _ in range(2))
        self.mean_PM, self.share_PM = (np.zeros((room, slots), np.float32) for _ in range(2))
        self.child_PM = np.zeros((room, slots), np.int32)
        self.offset_PM = np.zeros((room, slots), np.int64)
        self.known_PM = np.zeros((room, slots), np.int32)

    def add(
        self,
        game_A: Ints,
        key_A: NDArray[np.uint64],
        revealed_AD: Ints,
        size_A: Ints,
        order_AM: NDArray[np.int16],
    ) -> Ints:
        """New rows [A], without rollouts."""
        rows_A = np.arange(self.used, self.used + len(game_A))
        self.used += len(game_A)
        while self.used > len(self.game_P):
            self._double()
        depth = revealed_AD.shape[1]
        self.game_P[rows_A], self.depth_P[rows_A], self.key_P[rows_A] = game_A, depth, key_A
        self.revealed_PK[rows_A, :depth] = revealed_AD
        self.size_P[rows_A], self.order_PM[rows_A] = size_A, order_AM
        self.store_P[rows_A] = rows_A
        self.child_PM[rows_A], self.offset_PM[rows_A] = -1, -1
        # The first outcome below an action is in the sequence of the node's own first visits.
        self.known_PM[rows_A] = 1
        return rows_A

    def _double(self) -> None:
        for name, array in vars(self).items():
            if isinstance(array, np.ndarray):
                setattr(self, name, np.concatenate([array, np.zeros_like(array)]))
