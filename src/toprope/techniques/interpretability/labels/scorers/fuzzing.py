"""Fuzzing (Paulo et al. 2024, arXiv 2410.13928, section 3): the judge says of each window whether
the marked tokens are those on which the latent fires.

Half of the windows that fire have other tokens marked; with the hard negatives, marked around the
token on which the neighbour peaks, these make the false ones. Each has as many marks as a window
that fires, as far apart, so that their number gives nothing away. So a label that names the subject
of a text, and not what fires, scores low here though it may score high in detection.
"""

from __future__ import annotations

import numpy as np

from toprope.techniques.interpretability.examples import LatentExamples
from toprope.techniques.interpretability.labels.scorers.asking import Task
from toprope.techniques.interpretability.labels.scorers.scorer import Item, Negatives
from toprope.techniques.interpretability.windows import Window


def fuzzing_items(
    examples: LatentExamples, rng: np.random.Generator, negatives: Negatives = "hard"
) -> list[Item]:
    """Every window that fires with its tokens marked; then as many false ones, half of them the
    same windows with other tokens marked, half of them negatives."""
    right = [Item(one, True, one.active) for one in examples.score]
    drawn = [examples.score[i] for i in rng.permutation(len(examples.score))]
    misplaced = [Item(one, False, marks) for one in drawn if (marks := _elsewhere(one, rng))]
    silent = examples.hard if negatives == "hard" else examples.random
    half = len(right) // 2
    wrong = [
        *misplaced[: len(right) - half],
        # Those whose marks they get aren't the ones that are shown misplaced.
        *(
            Item(one, False, _like(like, one))
            for one, like in zip(silent[:half], reversed(drawn), strict=False)
        ),
    ]
    items = [*right, *wrong]
    return [items[i] for i in rng.permutation(len(items))]


def _elsewhere(window: Window, rng: np.random.Generator) -> tuple[int, ...]:
    """As many tokens on which the latent is silent as it fires on: as far apart as these where the
    window has room for that, or else anywhere; none where it has too few."""
    active, silent = window.active, [i for i, value in enumerate(window.activations) if value <= 0]
    silent = [i for i in silent if window.tokens[i]]
    moved = [
        tuple(i + by for i in active) for by in range(-active[0], len(window.tokens) - active[-1])
    ]
    free = [marks for marks in moved if set(marks) <= set(silent)]
    if free:
        return free[int(rng.integers(len(free)))]
    if len(silent) < len(active):
        return ()
    return tuple(sorted(silent[i] for i in rng.permutation(len(silent))[: len(active)]))


def _like(fires: Window, silent: Window) -> tuple[int, ...]:
    """Marks as in one window, around the centre of another: moved as little as it takes to fit."""
    first, last = fires.active[0], fires.active[-1]
    by = silent.centre - fires.centre
    by = max(-first, min(by, len(silent.tokens) - 1 - last))
    return tuple(i + by for i in fires.active if i + by < len(silent.tokens))


def _marked(item: Item) -> str:
    return item.window.marked(item.marked)


FUZZING = Task("fuzzing", fuzzing_items, _marked)
