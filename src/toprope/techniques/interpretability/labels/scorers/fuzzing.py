"""Fuzzing (Paulo et al. 2024, arXiv 2410.13928, section 3): the judge says of each window whether
the marked tokens are those on which the latent fires.

Half of the windows that fire have as many other tokens marked; with the hard negatives, where the
token on which the neighbour peaks is marked, these make the false ones. So a label that names the
subject of a text, and not what fires, scores low here though it may score high in detection.
"""

from __future__ import annotations

import numpy as np

from toprope.techniques.interpretability.examples import LatentExamples
from toprope.techniques.interpretability.labels.scorers.asking import Task
from toprope.techniques.interpretability.labels.scorers.scorer import Item, Negatives


def fuzzing_items(
    examples: LatentExamples, rng: np.random.Generator, negatives: Negatives = "hard"
) -> list[Item]:
    """Every window that fires with its tokens marked; then as many false ones, half of them the
    same windows with other tokens marked, half of them negatives."""
    right = [Item(one, True, one.active) for one in examples.score]
    misplaced = []
    for one in (examples.score[i] for i in rng.permutation(len(examples.score))):
        others = [i for i, value in enumerate(one.activations) if value <= 0 and one.tokens[i]]
        count = len(one.active)
        if len(others) >= count:
            chosen = rng.permutation(len(others))[:count]
            misplaced.append(Item(one, False, tuple(sorted(others[i] for i in chosen))))
    silent = examples.hard if negatives == "hard" else examples.random
    half = len(right) // 2
    wrong = [
        *misplaced[: len(right) - half],
        *(Item(one, False, (one.centre,)) for one in silent[:half]),
    ]
    items = [*right, *wrong]
    return [items[i] for i in rng.permutation(len(items))]


def _marked(item: Item) -> str:
    return item.window.marked(item.marked)


FUZZING = Task("fuzzing", fuzzing_items, _marked)
