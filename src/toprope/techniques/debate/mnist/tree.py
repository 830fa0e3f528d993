"""The search trees of many games, on arrays.

A node that was visited no more often than it has actions needs nothing but a count: its n visits
took the first n actions of its own order (see `ordering`), and each went on with the first actions
below. So the outcomes of its visits are a sequence that is known beforehand, whoever plays and
whatever happens elsewhere: the judge scores it in blocks, before it is asked for, and games that
stand at the same place share it. Only a node that was visited more often gets a row of counts for
its actions; the first row of each game is its root's. Most rollouts thus touch the root's row and
one number of a sequence.

A rollout that needs an outcome that isn't scored yet waits; when a quarter of the games wait, the
judge scores for all of them.

Shapes: G games, P rows, M slots, K pixels of a game, Q requests for outcomes, L sets of pixels, A
games that take part in a step.
"""

import numpy as np
from numpy.typing import NDArray

from toprope.techniques.debate.mnist.game import Games
from toprope.techniques.debate.mnist.nodes import Ints, Nodes
from toprope.techniques.debate.mnist.ordering import child_keys, completed, orders
from toprope.techniques.debate.mnist.scoring import Verdicts

_AHEAD = (
    32  # actions of a waiting node that are scored further, at most: those with the best scores
)
_BLOCK = 8  # outcomes that are scored further of each, at most
_REQUESTS_AT_ONCE = 2048


class Forest:
    """One tree a game, of games with two or more pixels left to reveal (for one, see `last_move`);
    the first rows of `rows` are the roots', in the order of the games."""

    def __init__(self, games: Games, verdicts: Verdicts, rollouts: int, exploration: float) -> None:
        self.games, self.verdicts, self.rollouts = games, verdicts, rollouts
        self.exploration = np.float32(exploration)
        self.start_depth = games.revealed_GD.shape[1]
        self.M = int(games.count_G.max())
        self.rows = Nodes(2 * len(games), self.M, games.pixels)
        self._outcomes = np.zeros(1024, dtype=np.uint16)
        self._outcomes_used = 0
        self._share_of = np.float32(1) / (1 + np.arange(rollouts + 2)).astype(np.float32)
        self._liar_bits_G = games.winning_bits_G
        # +1 where the honest agent moves at a depth, else -1.
        self._side_KG = [np.where(games.honest_moves_at(d), 1, -1) for d in range(games.pixels)]
        self._plant()

    @property
    def order_GM(self) -> NDArray[np.int16]:
        """The roots' orders."""
        return self.rows.order_PM[: len(self.games)]

    @property
    def taken_GM(self) -> Ints:
        """The roots' counts."""
        return self.rows.taken_PM[: len(self.games)].astype(np.int64)

    @property
    def won_GM(self) -> Ints:
        """The roots' wins less losses."""
        return self.rows.won_PM[: len(self.games)].astype(np.int64)

    def grow(self) -> None:
        """All rollouts of all games."""
        waiting: list[tuple[Ints, Ints]] = []
        is_waiting_G = np.zeros(len(self.games), dtype=bool)
        while True:
            is_open_G = self.rows.visits_P[: len(self.games)] < self.rollouts
            games_A = np.flatnonzero(is_open_G & ~is_waiting_G)
            if len(games_A):
                stopped_A, rows_A = self._step(games_A)
                if len(stopped_A):
                    is_waiting_G[stopped_A] = True
                    waiting.append((stopped_A, rows_A))
            elif not waiting:
                return
            if waiting and 4 * is_waiting_G.sum() >= is_open_G.sum():
                self._score_ahead(np.concatenate([rows_A for _, rows_A in waiting]))
                waiting, is_waiting_G[:] = [], False

    # --- one rollout of each game ---

    def _step(self, games_A: Ints) -> tuple[Ints, Ints]:
        """A rollout of each of these games; returns the games, and rows, where one has to wait."""
        verdict_G = np.zeros(len(self.games), dtype=np.uint16)
        stopped: list[tuple[Ints, Ints]] = []
        path: list[tuple[Ints, Ints, Ints]] = []
        now_A, rows_A = games_A, games_A
        depth = self.start_depth
        while len(now_A):
            actions_A = self._chosen(rows_A, at_root=depth == self.start_depth)
            path.append((now_A, rows_A, actions_A))
            if depth == self.games.pixels - 1:
                verdict_G[now_A] = self._outcomes[self.rows.first_P[rows_A] + actions_A]
                break
            at_A = rows_A * self.M + actions_A
            taken_A = self.rows.taken_PM.reshape(-1)[at_A]
            goes_on_A = taken_A >= self.rows.size_P[rows_A] - 1
            here_A = self.rows.store_P[rows_A] * self.M + actions_A
            waits_A = (self.rows.known_PM.reshape(-1)[here_A] <= taken_A) & ~goes_on_A
            outcome_at_A = self.rows.offset_PM.reshape(-1)[here_A] + taken_A
            outcome_at_A[goes_on_A | waits_A] = 0
            verdict_G[now_A] = self._outcomes[outcome_at_A]
            if waits_A.any():
                stopped.append((now_A[waits_A], rows_A[waits_A]))
            if not goes_on_A.any():
                break
            now_A, at_A = now_A[goes_on_A], at_A[goes_on_A]
            rows_A = self._rows_below(now_A, rows_A[goes_on_A], actions_A[goes_on_A], at_A)
            depth += 1
        waits_G = np.zeros(len(self.games), dtype=bool)
        for stopped_A, _ in stopped:
            waits_G[stopped_A] = True
        self._back_up(path, verdict_G, waits_G if stopped else None)
        if not stopped:
            return games_A[:0], games_A[:0]
        return np.concatenate([a for a, _ in stopped]), np.concatenate([b for _, b in stopped])

    def _chosen(self, rows_A: Ints, *, at_root: bool) -> Ints:
        """The action with the highest score at each row; the first of equals."""
        G = len(self.games)
        if at_root and 2 * len(rows_A) > G:  # scoring all roots copies nothing
            return self._scores(slice(0, G)).argmax(axis=1)[rows_A]
        return self._scores(rows_A).argmax(axis=1)

    def _scores(self, rows: Ints | slice) -> NDArray[np.float32]:
        scale_A = self.exploration * np.sqrt(self.rows.visits_P[rows].astype(np.float32))
        scores_AM = self.rows.share_PM[rows] * scale_A[:, None]
        scores_AM += self.rows.mean_PM[rows]
        return scores_AM

    def _back_up(
        self,
        path: list[tuple[Ints, Ints, Ints]],
        verdict_G: NDArray[np.uint16],
        waits_G: NDArray[np.bool_] | None,
    ) -> None:
        honest_G = np.where((verdict_G & self._liar_bits_G) == 0, 1, -1)
        for level, (now_A, rows_A, actions_A) in enumerate(path):
            if waits_G is not None:
                played_A = ~waits_G[now_A]
                now_A, rows_A, actions_A = now_A[played_A], rows_A[played_A], actions_A[played_A]
            side_G = self._side_KG[self.start_depth + level]
            at_A = rows_A * self.M + actions_A
            taken_A = self.rows.taken_PM.reshape(-1)[at_A] + 1
            won_A = self.rows.won_PM.reshape(-1)[at_A] + (honest_G[now_A] * side_G[now_A])
            self.rows.taken_PM.reshape(-1)[at_A] = taken_A
            self.rows.won_PM.reshape(-1)[at_A] = won_A
            self.rows.mean_PM.reshape(-1)[at_A] = won_A.astype(np.float32) / taken_A.astype(
                np.float32
            )
            self.rows.share_PM.reshape(-1)[at_A] = self._share_of[taken_A]
            self.rows.visits_P[rows_A] += 1

    # --- rows ---

    def _plant(self) -> None:
        """The roots' rows, and the outcomes of their actions' first visits."""
        games = self.games
        rows_G = self._add_rows(np.arange(len(games)), games.key_G, games.revealed_GD)
        self.rows.known_PM[rows_G] = 0
        one_U, which_G = games.places
        self.rows.store_P[rows_G] = one_U[which_G]
        for row in one_U:
            size = int(self.rows.size_P[row])
            start = self._room(size * (size - 1))
            self.rows.offset_PM[row, :size] = start + np.arange(size) * (size - 1)
        rows_Q = np.repeat(one_U, self.rows.size_P[one_U])
        actions_Q = np.concatenate([np.arange(size) for size in self.rows.size_P[one_U].tolist()])
        limit_Q = self.rows.size_P[rows_Q] - 1
        half_Q = self.rollouts // (2 * self.rows.size_P[rows_Q])
        self._score(rows_Q, actions_Q, np.clip(half_Q, 1, limit_Q))
        self._begin(rows_G, self._outcomes[self.rows.offset_PM[self.rows.store_P[rows_G]]])

    def _rows_below(self, now_A: Ints, rows_A: Ints, actions_A: Ints, at_A: Ints) -> Ints:
        """The rows of what actions lead to, which are made where there are none yet."""
        below_A = self.rows.child_PM.reshape(-1)[at_A]
        lacking_A = np.flatnonzero(below_A < 0)
        if len(lacking_A):
            keys_A, revealed_AD = self._below(rows_A[lacking_A], actions_A[lacking_A])
            made_A = self._add_rows(now_A[lacking_A], keys_A, revealed_AD)
            store_A = self.rows.store_P[rows_A[lacking_A]]
            # A node with one action has its whole sequence in its parent's, and no room till here.
            self._find_room(store_A, actions_A[lacking_A])
            self.rows.first_P[made_A] = self.rows.offset_PM[store_A, actions_A[lacking_A]]
            self.rows.child_PM.reshape(-1)[at_A[lacking_A]] = made_A
            self._begin(made_A, self._first_outcomes(made_A))
            below_A[lacking_A] = made_A
        return below_A.astype(np.int64)

    def _first_outcomes(self, rows_A: Ints) -> NDArray[np.uint16]:
        at_AM = self.rows.first_P[rows_A, None] + np.arange(self.M)
        return self._outcomes[np.minimum(at_AM, len(self._outcomes) - 1)]

    def _begin(self, rows_A: Ints, first_AM: NDArray[np.uint16]) -> None:
        """Sets the counts of rows as they are when each action was taken once."""
        games_A = self.rows.game_P[rows_A]
        side_A = self._side_KG[int(self.rows.depth_P[rows_A[0]])][games_A]
        honest_AM = np.where((first_AM & self._liar_bits_G[games_A, None]) == 0, 1, -1)
        visits_A = np.minimum(self.rows.size_P[rows_A], self.rollouts)
        is_taken_AM = np.arange(self.M) < visits_A[:, None]
        self.rows.visits_P[rows_A] = visits_A
        self.rows.taken_PM[rows_A] = is_taken_AM
        self.rows.won_PM[rows_A] = np.where(is_taken_AM, honest_AM * side_A[:, None], 0)
        self.rows.mean_PM[rows_A] = np.where(is_taken_AM, self.rows.won_PM[rows_A], -np.inf)
        self.rows.share_PM[rows_A] = np.where(is_taken_AM, self._share_of[1], 0)

    def _add_rows(self, game_A: Ints, key_A: NDArray[np.uint64], revealed_AD: Ints) -> Ints:
        count_A = self.games.count_G[game_A]
        order_AM = orders(key_A, count_A, revealed_AD, self.M)
        return self.rows.add(game_A, key_A, revealed_AD, count_A - revealed_AD.shape[1], order_AM)

    def _below(self, rows_Q: Ints, actions_Q: Ints) -> tuple[NDArray[np.uint64], Ints]:
        """Keys, and what is revealed, after an action at a row; all rows of one depth."""
        slots_Q = self.rows.order_PM[rows_Q, actions_Q].astype(np.int64)
        depth = int(self.rows.depth_P[rows_Q[0]])
        revealed_QD = np.column_stack([self.rows.revealed_PK[rows_Q, :depth], slots_Q])
        return child_keys(self.rows.key_P[rows_Q], slots_Q), revealed_QD

    # --- outcomes ---

    def _score_ahead(self, rows_A: Ints) -> None:
        """Scores more outcomes below the best actions of rows where a rollout waits."""
        for depth in np.unique(self.rows.depth_P[rows_A]):
            rows_W = rows_A[self.rows.depth_P[rows_A] == depth]
            store_W = self.rows.store_P[rows_W]
            known_WM = self.rows.known_PM[store_W]
            scores_WM = self._scores(rows_W)
            is_short_WM = known_WM <= self.rows.taken_PM[rows_W] + 1
            is_short_WM &= known_WM < self.rows.size_P[rows_W, None] - 1
            scores_WM[~is_short_WM] = -np.inf
            best_WA = np.argsort(-scores_WM, axis=1)[:, :_AHEAD]
            w, a = np.nonzero(np.take_along_axis(scores_WM, best_WA, axis=1) > -np.inf)
            actions_Q = best_WA[w, a]
            _, once_Q = np.unique(store_W[w] * self.M + actions_Q, return_index=True)
            rows_Q, actions_Q = store_W[w][once_Q], actions_Q[once_Q]
            known_Q = self.rows.known_PM[rows_Q, actions_Q].astype(np.int64)
            more_Q = np.clip(known_Q // 2, 1, _BLOCK)
            self._score(
                rows_Q, actions_Q, np.minimum(known_Q + more_Q, self.rows.size_P[rows_Q] - 1)
            )

    def _score(self, rows_Q: Ints, actions_Q: Ints, stop_Q: Ints) -> None:
        """Scores the outcomes below actions, from those that are known to `stop_Q`."""
        for i in range(0, len(rows_Q), _REQUESTS_AT_ONCE):
            part = slice(i, i + _REQUESTS_AT_ONCE)
            self._score_part(rows_Q[part], actions_Q[part], stop_Q[part])

    def _score_part(self, rows_Q: Ints, actions_Q: Ints, stop_Q: Ints) -> None:
        self._find_room(rows_Q, actions_Q)
        known_Q = self.rows.known_PM[rows_Q, actions_Q].astype(np.int64)
        keys_Q, revealed_QD = self._below(rows_Q, actions_Q)
        game_Q = self.rows.game_P[rows_Q]
        order_QM = orders(keys_Q, self.games.count_G[game_Q], revealed_QD, self.M)
        more_Q = stop_Q - known_Q
        request_L = np.repeat(np.arange(len(rows_Q)), more_Q)
        number_L = np.arange(len(request_L)) - np.repeat(np.cumsum(more_Q) - more_Q, more_Q)
        number_L += known_Q[request_L]
        slots_L = order_QM[request_L, number_L].astype(np.int64)
        game_L = game_Q[request_L]
        sets_LK = completed(
            child_keys(keys_Q[request_L], slots_L),
            self.games.count_G[game_L],
            np.column_stack([revealed_QD[request_L], slots_L]),
            self.games.pixels,
        )
        verdict_L = self.verdicts(self.games.image_G[game_L], sets_LK)
        self._outcomes[self.rows.offset_PM[rows_Q, actions_Q][request_L] + number_L] = verdict_L
        self.rows.known_PM[rows_Q, actions_Q] = stop_Q

    def _find_room(self, rows_Q: Ints, actions_Q: Ints) -> None:
        """Room for the sequences of actions that have none; their first outcome is known."""
        lacking_Q = np.flatnonzero(self.rows.offset_PM[rows_Q, actions_Q] < 0)
        if not len(lacking_Q):
            return
        rows, actions = rows_Q[lacking_Q], actions_Q[lacking_Q]
        limit = self.rows.size_P[rows] - 1
        start = self._room(int(limit.sum())) + np.cumsum(limit) - limit
        self.rows.offset_PM[rows, actions] = start
        self._outcomes[start] = self._outcomes[self.rows.first_P[rows] + actions]

    def _room(self, length: int) -> int:
        """The place of so many new outcomes."""
        start = self._outcomes_used
        self._outcomes_used += length
        if self._outcomes_used > len(self._outcomes):
            more = max(self._outcomes_used, 2 * len(self._outcomes)) - len(self._outcomes)
            self._outcomes = np.concatenate([self._outcomes, np.zeros(more, dtype=np.uint16)])
        return start
