"""Which items belong together: equal keys, equal texts, near-identical rows side by side."""

import re
from collections.abc import Sequence


class Joined:
    """Items 0 .. n-1 in sets that can be joined: union-find, a set's first item its head."""

    def __init__(self, n: int) -> None:
        self._parent = list(range(n))

    def head(self, item: int) -> int:
        """The first item of the set that holds this one."""
        while self._parent[item] != item:
            self._parent[item] = self._parent[self._parent[item]]
            item = self._parent[item]
        return item

    def join(self, a: int, b: int) -> bool:
        """Makes one set of two; whether they were two."""
        a, b = sorted((self.head(a), self.head(b)))
        self._parent[b] = a
        return a != b

    def join_equal(self, keys: Sequence[str]) -> int:
        """Joins the items of equal keys; how many joins that took."""
        first: dict[str, int] = {}
        return sum(self.join(first.setdefault(key, item), item) for item, key in enumerate(keys))


def same_text(text: str) -> str:
    """Equal for texts that differ in letter case and white space alone."""
    return " ".join(text.casefold().split())


def near_pairs(texts: Sequence[str], *, within: int, share: float) -> list[tuple[int, int]]:
    """Pairs (i, j), i < j <= i + within, whose words have a Jaccard index of `share` or more."""
    words = [frozenset(re.findall(r"\w+", text.casefold())) for text in texts]
    pairs = []
    for i, mine in enumerate(words):
        for j in range(i + 1, min(i + 1 + within, len(words))):
            shared = len(mine & words[j])
            if shared and shared >= share * (len(mine) + len(words[j]) - shared):
                pairs.append((i, j))
    return pairs
