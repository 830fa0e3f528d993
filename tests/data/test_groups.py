"""Joining items into groups, beside SciPy's connected components."""

import numpy as np
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from toprope.data.groups import Joined, near_pairs


def test_joined_sets_are_the_connected_components():
    rng = np.random.default_rng(0)
    pairs = rng.integers(60, size=(45, 2))
    joined = Joined(60)
    joins = sum(joined.join(int(a), int(b)) for a, b in pairs)
    graph = coo_array((np.ones(len(pairs)), (pairs[:, 0], pairs[:, 1])), shape=(60, 60))
    count, component = connected_components(graph, directed=False)
    heads = [joined.head(item) for item in range(60)]
    assert joins == 60 - count
    # The head is the first item of its component.
    first = {c: int(np.flatnonzero(component == c)[0]) for c in range(count)}
    assert heads == [first[c] for c in component]


def test_near_pairs_are_those_of_the_jaccard_index():
    texts = ["a b c d", "a b c x", "A, b; c!", "q r", ""]
    # |abc| of |abcdx| is 3/5; |abc| of |abcd| 3/4.
    assert near_pairs(texts, within=4, share=0.75) == [(0, 2), (1, 2)]
    assert near_pairs(texts, within=4, share=0.6) == [(0, 1), (0, 2), (1, 2)]
    assert near_pairs(texts, within=1, share=0.6) == [(0, 1), (1, 2)]
