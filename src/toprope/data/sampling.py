"""Sampling whole groups with classes in proportion: the sums behind balance, limit and split."""

from collections import defaultdict
from collections.abc import Sequence

import numpy as np

from toprope.data.examples import Example


def quotas(sizes: Sequence[int], class_counts: np.ndarray) -> np.ndarray:
    """How many of each class each part gets: int64 [P, C], with the rows' sums exactly `sizes`.

    The parts' sizes must add up to the classes' counts. Every cell is its proportional share
    rounded down, and the units left go to the largest remainders whose row and column have room.
    """
    assert sum(sizes) == class_counts.sum()
    shares_PC = np.outer(sizes, class_counts) / class_counts.sum()
    result_PC = np.floor(shares_PC).astype(np.int64)
    remainders_PC = shares_PC - result_PC
    row_room = np.asarray(sizes) - result_PC.sum(axis=1)
    column_room = class_counts - result_PC.sum(axis=0)
    # Rows and columns have equal room in all, so while a row has some, some column has.
    while row_room.sum():
        open_PC = (row_room > 0)[:, None] & (column_room > 0)[None, :]
        cell = np.argmax(np.where(open_PC, remainders_PC, -np.inf))
        p, c = np.unravel_index(cell, result_PC.shape)
        result_PC[p, c] += 1
        remainders_PC[p, c] -= 1
        row_room[p] -= 1
        column_room[c] -= 1
    return result_PC


def group_counts(groups: Sequence[str], labels: np.ndarray, classes: int) -> np.ndarray:
    """How many of each class each group has, int64 [G, C], groups in order of first item."""
    place = {name: g for g, name in enumerate(dict.fromkeys(groups))}
    counts_GC = np.zeros((len(place), classes), dtype=np.int64)
    np.add.at(counts_GC, (np.array([place[name] for name in groups]), labels), 1)
    return counts_GC


def allocate(
    counts_GC: np.ndarray, quotas_PC: np.ndarray, *, rng: np.random.Generator
) -> np.ndarray:
    """A part for each group, int64 [G], so that the parts come near their quotas.

    Large groups go first, since small ones can still level the parts after them; groups of one size
    go in random order. Each goes where the part's unfilled share of its quota, over the group's
    items, is largest; ties are drawn.
    """
    filled_PC = np.zeros_like(quotas_PC, dtype=np.float64)
    wanted_PC = np.maximum(quotas_PC, 1e-9)
    order = rng.permutation(len(counts_GC))
    order = order[np.argsort(-counts_GC[order].sum(axis=1), kind="stable")]
    ties = rng.random((len(counts_GC), len(quotas_PC)))
    part_G = np.empty(len(counts_GC), dtype=np.int64)
    for g in order:
        unfilled_P = ((quotas_PC - filled_PC) / wanted_PC) @ counts_GC[g]
        best = np.flatnonzero(unfilled_P >= unfilled_P.max() - 1e-12)
        part_G[g] = best[np.argmax(ties[g, best])]
        filled_PC[part_G[g]] += counts_GC[g]
    return part_G


def limited(examples: Sequence[Example], limit: int, *, rng: np.random.Generator) -> list[Example]:
    """At most `limit` examples, classes in proportion: whole groups, until no other one fits."""
    labels = np.array([one.label for one in examples])
    classes = int(labels.max()) + 1
    names = list(dict.fromkeys(one.group for one in examples))
    counts_GC = group_counts([one.group for one in examples], labels, classes)
    rest = len(examples) - limit
    quota_C = quotas([limit, rest], np.bincount(labels, minlength=classes))[0]
    taken_C = np.zeros(classes, dtype=np.int64)
    kept: set[str] = set()
    for g in rng.permutation(len(names)):
        if (taken_C + counts_GC[g] <= quota_C).all():
            taken_C += counts_GC[g]
            kept.add(names[g])
    return [one for one in examples if one.group in kept]


def evened(examples: Sequence[Example], *, rng: np.random.Generator) -> list[Example]:
    """As many of each class as the smallest has, dropped where groups have most too many.

    A scenario with one right and four wrong continuations so loses wrong ones, drawn at random,
    before a scenario with one of each loses any.
    """
    labels = np.array([one.label for one in examples])
    counts_C = np.bincount(labels)
    members: dict[tuple[str, int], list[int]] = defaultdict(list)
    for i in rng.permutation(len(examples)):
        members[examples[i].group, examples[i].label].append(int(i))
    smallest = int(np.argmin(counts_C))
    kept: set[int] = set()
    for label in range(len(counts_C)):
        # Surplus: how many more of this class than of the smallest the group has, up to this one.
        surplus = [
            (place - len(members.get((group, smallest), ())), i)
            for (group, of), items in members.items()
            if of == label
            for place, i in enumerate(items)
        ]
        order = rng.permutation(len(surplus))
        ranked = sorted((surplus[k][0], rank, surplus[k][1]) for rank, k in enumerate(order))
        kept.update(i for _, _, i in ranked[: int(counts_C[smallest])])
    return [one for i, one in enumerate(examples) if i in kept]
