"""Firings: which latents are active where in a stretch of rows, where its windows end, and the best
few windows of each latent, kept in bounded memory.

Everything is in flat arrays: E firings, C candidates, S latents that are looked at, W the tokens of
a window, M what is kept of a latent.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

Ints = NDArray[np.int64]


@dataclass(frozen=True)
class Firings:
    """The firings of a stretch of rows, sorted by latent and then row.

    Attributes:
        rows: how many rows the stretch has; rows here count from its first.
        latents_E, rows_E, values_E: of each firing; values are above zero.
    """

    rows: int
    latents_E: Ints
    rows_E: Ints
    values_E: NDArray[np.float32]

    @classmethod
    def of(cls, values_BK: np.ndarray, latents_BK: np.ndarray, wanted_F: np.ndarray) -> Firings:
        """Of codes; only of the latents that `wanted_F` says are looked at."""
        active_BK = (values_BK > 0) & wanted_F[latents_BK]
        rows_E = np.nonzero(active_BK)[0]
        latents_E, values_E = latents_BK[active_BK], values_BK[active_BK]
        order = np.argsort(latents_E * len(values_BK) + rows_E, kind="stable")
        return cls(len(values_BK), latents_E[order], rows_E[order], values_E[order])

    @cached_property
    def places_E(self) -> Ints:
        """Latent and row as one number that sorts."""
        return self.latents_E * self.rows + self.rows_E

    def peaks(self, radius: int, documents_B: np.ndarray) -> NDArray[np.bool_]:
        """[E]: whether a firing is the strongest of its latent within `radius` rows of the same
        document; the first of equals."""
        is_peak_E = np.ones(len(self.rows_E), dtype=bool)
        for step in range(1, radius + 1):
            here, ahead = slice(None, -step), slice(step, None)
            near = (
                (self.latents_E[here] == self.latents_E[ahead])
                & (self.rows_E[ahead] - self.rows_E[here] <= radius)
                & (documents_B[self.rows_E[here]] == documents_B[self.rows_E[ahead]])
            )
            if not near.any():
                break
            ahead_wins = self.values_E[ahead] > self.values_E[here]
            is_peak_E[here] &= ~(near & ahead_wins)
            is_peak_E[ahead] &= ~(near & ~ahead_wins)
        return is_peak_E

    def silent(self, latents_C: Ints, first_C: Ints, last_C: Ints) -> NDArray[np.bool_]:
        """[C]: whether a latent fires on none of the rows first .. last."""
        places_E = self.places_E
        next_C = np.searchsorted(places_E, latents_C * self.rows + first_C)
        limit_C = latents_C * self.rows + last_C
        after_C = np.append(places_E, np.iinfo(np.int64).max)[next_C]
        return after_C > limit_C

    def along(self, latents_C: Ints, rows_CW: Ints) -> NDArray[np.float32]:
        """[C, W]: how strongly a latent fires on each of the rows; zero where a row is negative."""
        places_E = self.places_E
        wanted_CW = latents_C[:, None] * self.rows + rows_CW
        found_CW = np.searchsorted(places_E, wanted_CW).clip(max=max(0, len(places_E) - 1))
        if not len(places_E):
            return np.zeros(rows_CW.shape, dtype=np.float32)
        hit_CW = (places_E[found_CW] == wanted_CW) & (rows_CW >= 0)
        return np.where(hit_CW, self.values_E[found_CW], np.float32(0))


@dataclass(frozen=True)
class Stretch:
    """Rows first .. first + B of a capture, of which a .. b are this chunk's own; the others are
    there for the windows that reach into them.

    Attributes:
        explains: whether its windows are to explain with; otherwise they're to score with.
    """

    first: int
    a: int
    b: int
    tokens_B: np.ndarray
    documents_B: np.ndarray
    explains: bool

    def own(self, rows_C: Ints) -> NDArray[np.bool_]:
        """[C]: of rows that count from `first`."""
        return (rows_C >= self.a - self.first) & (rows_C < self.b - self.first)

    def bounds(self, rows_C: Ints, before: int, after: int) -> tuple[Ints, Ints]:
        """The first and last row of the window around each, within its document."""
        changes = np.flatnonzero(np.diff(self.documents_B)) + 1
        starts = np.concatenate([[0], changes])
        ends = np.concatenate([changes - 1, [len(self.documents_B) - 1]])
        of_C = np.searchsorted(starts, rows_C, side="right") - 1
        return np.maximum(rows_C - before, starts[of_C]), np.minimum(rows_C + after, ends[of_C])


class Best:
    """For each of S latents the M candidates with the highest keys. With random keys that is a
    uniform sample of all that were offered.

    Attributes:
        apart: at most one of a document is kept, the highest.
        keys_SM: from the highest; -inf where fewer were offered.
        rows_SM: of the capture; -1 where fewer were offered.
        documents_SM: of the rows.
        window_SMW: half-precision activations along each one's window; None without.
    """

    def __init__(self, latents: int, most: int, window: int = 0, *, apart: bool = False) -> None:
        self.most, self.apart = most, apart
        self.keys_SM = np.full((latents, most), -np.inf, dtype=np.float32)
        self.rows_SM = np.full((latents, most), -1, dtype=np.int64)
        self.documents_SM = np.full((latents, most), -1, dtype=np.int64)
        self.window_SMW = np.zeros((latents, most, window), dtype=np.float16) if window else None

    def may_enter(self, slots_C: Ints, keys_C: np.ndarray) -> NDArray[np.bool_]:
        """[C]: whether a candidate beats the weakest that is kept of its latent."""
        if not self.most:
            return np.zeros(len(slots_C), dtype=bool)
        return keys_C > self.keys_SM[slots_C, -1]

    def offer(
        self,
        slots_C: Ints,
        keys_C: np.ndarray,
        rows_C: Ints,
        documents_C: Ints,
        window_CW: np.ndarray | None = None,
    ) -> None:
        """Takes in those candidates that are among the best now."""
        if not len(slots_C) or not self.most:
            return
        order = np.lexsort((-keys_C, slots_C))
        if self.apart:
            pairs_C2 = np.stack([slots_C[order], documents_C[order]], axis=1)
            # The first of each pair has the highest key.
            order = order[np.sort(np.unique(pairs_C2, axis=0, return_index=True)[1])]
        slots_C, keys_C, rows_C = slots_C[order], keys_C[order], rows_C[order]
        touched_U, first_U, of_C = np.unique(slots_C, return_index=True, return_inverse=True)
        rank_C = np.arange(len(slots_C)) - first_U[of_C]
        kept = rank_C < self.most
        of_C, rank_C = of_C[kept], rank_C[kept]
        shape = (len(touched_U), int(rank_C.max()) + 1)

        keys_UM = np.full(shape, -np.inf, dtype=np.float32)
        keys_UM[of_C, rank_C] = keys_C[kept]
        rows_UM = np.full(shape, -1, dtype=np.int64)
        rows_UM[of_C, rank_C] = rows_C[kept]
        documents_UM = np.full(shape, -1, dtype=np.int64)
        documents_UM[of_C, rank_C] = documents_C[order][kept]
        all_keys = np.concatenate([self.keys_SM[touched_U], keys_UM], axis=1)
        all_rows = np.concatenate([self.rows_SM[touched_U], rows_UM], axis=1)
        all_documents = np.concatenate([self.documents_SM[touched_U], documents_UM], axis=1)
        if self.apart:
            lower = _lower_of_one_document(all_keys, all_documents, self.most)
            all_keys[lower], all_rows[lower] = -np.inf, -1
        best_UM = np.argsort(-all_keys, axis=1, kind="stable")[:, : self.most]
        self.keys_SM[touched_U] = np.take_along_axis(all_keys, best_UM, axis=1)
        self.rows_SM[touched_U] = np.take_along_axis(all_rows, best_UM, axis=1)
        self.documents_SM[touched_U] = np.take_along_axis(all_documents, best_UM, axis=1)
        if self.window_SMW is not None and window_CW is not None:
            windows = np.zeros((*shape, window_CW.shape[1]), dtype=np.float16)
            windows[of_C, rank_C] = window_CW[order][kept]
            both = np.concatenate([self.window_SMW[touched_U], windows], axis=1)
            self.window_SMW[touched_U] = np.take_along_axis(both, best_UM[:, :, None], axis=1)


def _lower_of_one_document(
    keys_UN: np.ndarray, documents_UN: Ints, before: int
) -> NDArray[np.bool_]:
    """[U, N]: whether another candidate of the same document has a higher key; of equals the first
    stays. Neither the first `before` nor the others have two of a document among themselves."""
    known, new = slice(None, before), slice(before, None)
    same_UMN = (documents_UN[:, known, None] == documents_UN[:, None, new]) & (
        keys_UN[:, None, new] > -np.inf
    )
    new_wins_UMN = keys_UN[:, None, new] > keys_UN[:, known, None]
    known_lose = (same_UMN & new_wins_UMN).any(2)
    new_lose = (same_UMN & ~new_wins_UMN).any(1)
    return np.concatenate([known_lose, new_lose], axis=1)
