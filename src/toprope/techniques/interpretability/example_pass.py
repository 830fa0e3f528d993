"""The pass that collects examples: what it keeps of each latent as firings go by.

The strongest windows and a uniform sample of all (by the highest of random keys), to explain with;
to score with, another such sample, and one of random windows on which it's silent; for both, one of
the windows on which its decoder's neighbours fire and it doesn't. But for those on which it fires
and that explain, no two windows of a latent and a sort are of one document, so that they may count
as independent.

What is kept takes (top + explain + score) x window x 2 bytes a latent, and 20 a window besides;
nothing else grows with the rows.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from toprope.data.seeding import named_rng
from toprope.techniques.interpretability.examples import (
    EDGES,
    ExampleSettings,
    Spans,
    span_rows,
)
from toprope.techniques.interpretability.firings import Best, Firings, Ints, Stretch


@dataclass
class ExamplePass:
    """What one pass keeps. Slots are places in `latents_S`."""

    settings: ExampleSettings
    latents_S: Ints
    slot_F: Ints
    wanted_F: NDArray[np.bool_]
    followers: tuple[Ints, Ints]
    pool_rows_P: Ints
    rng: np.random.Generator
    counts: dict[str, np.ndarray]
    best: dict[str, Best]
    background_V: np.ndarray
    pool: list[tuple[int, int, Ints]]

    @classmethod
    def begun(
        cls,
        width: int,
        latents_S: Ints,
        neighbours_SM: Ints,
        scoring: Spans,
        settings: ExampleSettings,
    ) -> ExamplePass:
        rng = named_rng(settings.seed, "examples")
        slot_F = np.full(width, -1)
        slot_F[latents_S] = np.arange(len(latents_S))
        wanted_F = slot_F >= 0
        wanted_F[neighbours_SM] = True
        # For each latent, the slots that have it as a neighbour: sorted pairs, and where each's
        # begin.
        followed = neighbours_SM.ravel()
        slots = np.repeat(np.arange(len(latents_S)), neighbours_SM.shape[1])
        order = np.argsort(followed, kind="stable")
        begins_F = np.searchsorted(followed[order], np.arange(width + 1))
        total = span_rows(scoring)
        places = np.sort(rng.choice(total, min(total, settings.pool), replace=False))
        starts = np.cumsum([0, *(stop - start for start, stop in scoring)])
        of = np.searchsorted(starts, places, side="right") - 1
        pool_rows_P = np.array([start for start, _ in scoring])[of] + places - starts[of]
        S, W = len(latents_S), settings.window
        return cls(
            settings=settings,
            latents_S=latents_S,
            slot_F=slot_F,
            wanted_F=wanted_F,
            followers=(begins_F, slots[order]),
            pool_rows_P=pool_rows_P,
            rng=rng,
            counts={
                "firings": np.zeros(S, dtype=np.int64),
                "peaks": np.zeros(S, dtype=np.int64),
                "sum": np.zeros(S),
                "highest": np.zeros(S, dtype=np.float32),
                "histogram": np.zeros((S, len(EDGES) - 1), dtype=np.int64),
            },
            best={
                "top": Best(S, settings.top, W),
                "explain": Best(S, settings.explain, W),
                "score": Best(S, settings.score, W, apart=True),
                "hard": Best(S, settings.hard, apart=True),
                "contrast": Best(S, settings.contrast, apart=True),
            },
            background_V=np.zeros(0, dtype=np.int64),
            pool=[],
        )

    def take(self, firings: Firings, stretch: Stretch) -> None:
        """Takes in the firings of one stretch."""
        before, after = self.settings.before, self.settings.after
        self._count(firings, stretch)
        is_peak_E = firings.peaks(max(before, after), stretch.documents_B)
        is_peak_E &= stretch.own(firings.rows_E)
        latents_C, rows_C = firings.latents_E[is_peak_E], firings.rows_E[is_peak_E]
        values_C = firings.values_E[is_peak_E]
        first_C, last_C = stretch.bounds(rows_C, before, after)
        slots_C = self.slot_F[latents_C]
        np.add.at(self.counts["peaks"], slots_C[slots_C >= 0], 1)
        keys_C = self.rng.random(len(rows_C), dtype=np.float32)
        sorts = {"top": values_C, "explain": keys_C} if stretch.explains else {"score": keys_C}
        for sort, by_C in sorts.items():
            chosen = np.flatnonzero(slots_C >= 0)
            chosen = chosen[self.best[sort].may_enter(slots_C[chosen], by_C[chosen])]
            around_CW = self._around(rows_C[chosen], first_C[chosen], last_C[chosen])
            self.best[sort].offer(
                slots_C[chosen],
                by_C[chosen],
                rows_C[chosen] + stretch.first,
                stretch.documents_B[rows_C[chosen]],
                firings.along(latents_C[chosen], around_CW),
            )
        best = self.best["contrast" if stretch.explains else "hard"]
        self._take_hard(best, firings, stretch, latents_C, rows_C, first_C, last_C)
        if not stretch.explains:
            self._take_pool(firings, stretch)

    def _count(self, firings: Firings, stretch: Stretch) -> None:
        own_E = stretch.own(firings.rows_E) & (self.slot_F[firings.latents_E] >= 0)
        slots_E, values_E = self.slot_F[firings.latents_E[own_E]], firings.values_E[own_E]
        bins_E = np.searchsorted(EDGES, values_E, side="right") - 1
        np.add.at(self.counts["firings"], slots_E, 1)
        np.add.at(self.counts["sum"], slots_E, values_E)
        np.maximum.at(self.counts["highest"], slots_E, values_E)
        np.add.at(self.counts["histogram"], (slots_E, bins_E.clip(0, len(EDGES) - 2)), 1)
        if not stretch.explains:
            return
        read_V = np.bincount(stretch.tokens_B[stretch.a - stretch.first :][: stretch.b - stretch.a])
        longer = max(len(read_V), len(self.background_V))
        self.background_V = np.pad(self.background_V, (0, longer - len(self.background_V)))
        self.background_V[: len(read_V)] += read_V

    def _around(self, rows_C: Ints, first_C: Ints, last_C: Ints) -> Ints:
        """[C, W]: the rows of each window; -1 beyond its bounds."""
        offsets_W = np.arange(-self.settings.before, self.settings.after + 1)
        rows_CW = rows_C[:, None] + offsets_W
        inside_CW = (rows_CW >= first_C[:, None]) & (rows_CW <= last_C[:, None])
        return np.where(inside_CW, rows_CW, -1)

    def _take_hard(
        self,
        best: Best,
        firings: Firings,
        stretch: Stretch,
        latents_C: Ints,
        rows_C: Ints,
        first_C: Ints,
        last_C: Ints,
    ) -> None:
        """Offers each neighbour's peak to the latents that have it as a neighbour."""
        begins_F, slots = self.followers
        counts_C = begins_F[latents_C + 1] - begins_F[latents_C]
        of_H = np.repeat(np.arange(len(rows_C)), counts_C)
        within_H = np.arange(len(of_H)) - np.repeat(np.cumsum(counts_C) - counts_C, counts_C)
        slots_H = slots[begins_F[latents_C[of_H]] + within_H]
        keys_H = self.rng.random(len(of_H), dtype=np.float32)
        may_H = best.may_enter(slots_H, keys_H)
        of_H, slots_H, keys_H = of_H[may_H], slots_H[may_H], keys_H[may_H]
        silent_H = firings.silent(self.latents_S[slots_H], first_C[of_H], last_C[of_H])
        rows_H = rows_C[of_H[silent_H]]
        best.offer(
            slots_H[silent_H],
            keys_H[silent_H],
            rows_H + stretch.first,
            stretch.documents_B[rows_H],
        )

    def _take_pool(self, firings: Firings, stretch: Stretch) -> None:
        low, high = np.searchsorted(self.pool_rows_P, [stretch.a, stretch.b])
        rows_C = self.pool_rows_P[low:high] - stretch.first
        if not len(rows_C):
            return
        first_C, last_C = stretch.bounds(rows_C, self.settings.before, self.settings.after)
        order = np.argsort(firings.rows_E, kind="stable")
        sorted_rows = firings.rows_E[order]
        for row, first, last in zip(rows_C, first_C, last_C, strict=True):
            some = order[np.searchsorted(sorted_rows, first) :][
                : np.searchsorted(sorted_rows, last + 1) - np.searchsorted(sorted_rows, first)
            ]
            active = np.unique(self.slot_F[firings.latents_E[some]])
            document = int(stretch.documents_B[row])
            self.pool.append((int(row) + stretch.first, document, active[active >= 0]))

    def kept(self) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
        """Rows of each sort, and activations of those sorts that fire."""
        rows = {sort: best.rows_SM for sort, best in self.best.items()}
        rows["random"] = self._random()
        windows = {
            sort: best.window_SMW for sort, best in self.best.items() if best.window_SMW is not None
        }
        return rows, windows

    def _random(self) -> Ints:
        """[S, M]: of each latent, windows of the pool on which it's silent, each of another
        document."""
        S, M = len(self.latents_S), self.settings.random
        rows_SM = np.full((S, M), -1, dtype=np.int64)
        if not self.pool:
            return rows_SM
        rows_P = np.array([row for row, _, _ in self.pool])
        documents_P = np.array([document for _, document, _ in self.pool])
        lengths_P = [len(active) for _, _, active in self.pool]
        slots = np.concatenate([active for _, _, active in self.pool])
        windows = np.repeat(np.arange(len(rows_P)), lengths_P)
        order = np.argsort(slots, kind="stable")
        slots, windows = slots[order], windows[order]
        ends = np.searchsorted(slots, np.arange(S + 1))
        for slot in range(S):
            fires_P = np.zeros(len(rows_P), dtype=bool)
            fires_P[windows[ends[slot] : ends[slot + 1]]] = True
            drawn = self.rng.permutation(np.flatnonzero(~fires_P))
            first_of_each = np.unique(documents_P[drawn], return_index=True)[1]
            drawn = drawn[np.sort(first_of_each)[:M]]
            rows_SM[slot, : len(drawn)] = rows_P[drawn]
        return rows_SM
