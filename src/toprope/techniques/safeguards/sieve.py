"""The sieve: which of the requests that an overseer wrote are kept, and why the others aren't."""

from __future__ import annotations

import unicodedata
from collections import Counter
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from toprope.models.embedding import embedded, of_length_one
from toprope.models.local import LocalModel
from toprope.techniques.redteam.judges.refusal import refuses
from toprope.techniques.safeguards.writing import Kind, Request, words_of

WORDS = (4, 40)
"""The fewest and the most of a request."""

LONGER = 1.6
"""How many times as long as the other a harmful request or its counterpart may be."""

ALIKE = 0.9
"""The cosine of embeddings above which two requests of one side are the same."""

CONTESTED = 0.95
"""The cosine above which a harmful and a harmless request are the same, and neither is kept."""


class Sieve:
    """What is kept, and why the rest isn't.

    Args:
        examples: that the overseer is shown, which are not to come again.
    """

    def __init__(
        self,
        examples: Sequence[str],
        embedder: LocalModel | None,
        each: int,
        counts: Counter[str],
    ) -> None:
        self.each, self.counts = each, counts
        self._embedder = embedder
        self._examples = set(map(words_of, examples))
        self._scripts = set().union(*map(_scripts, examples))
        self._seen: set[tuple[str, bool]] = set()
        self._admitted: list[Request] = []
        self._vectors: list[NDArray] = []
        self._contested: set[Request] = set()

    def kept(self, one: Kind) -> list[Request]:
        """Of a category, counterparts apart, in the order in which they came."""
        return [
            request
            for request in self._admitted
            if request.kind is one and not request.counters and request not in self._contested
        ]

    def sound(self, requests: Sequence[Request]) -> list[Request]:
        """Those with nothing wrong in themselves that haven't been here."""
        return [one for one in requests if not self._counted(self._fault(one))]

    def admit(self, requests: Sequence[Request]) -> list[Request]:
        """Those that say something new, as many as are wanted. What is written for a harmful and
        for a harmless category goes from both."""
        found = []
        for one, vector_D in zip(requests, self._embedded(requests), strict=True):
            if self._counted(self._repeats(one, vector_D)):
                continue
            self._admitted.append(one)
            self._vectors.append(vector_D)
            found.append(one)
        return found

    def _counted(self, fault: str) -> bool:
        if fault:
            self.counts[fault] += 1
        return bool(fault)

    def _fault(self, one: Request) -> str:
        key = one.words, one.harmful
        if key in self._seen:
            return "duplicate"
        self._seen.add(key)
        length = len(one.text.split())
        if length < WORDS[0]:
            return "too short"
        if length > WORDS[1]:
            return "too long"
        if one.counters:
            other = len(one.counters.text.split())
            if max(length, other) > LONGER * min(length, other):
                return "unlike in length"
        if refuses(one.text):
            return "refusal"
        if one.words in self._examples:
            return "copied"
        return "" if _scripts(one.text) <= self._scripts else "other script"

    def _repeats(self, one: Request, vector_D: NDArray) -> str:
        if not one.counters and len(self.kept(one.kind)) >= self.each:
            return "more than asked"
        if not self._admitted:
            return ""
        like_N = np.stack(self._vectors) @ vector_D
        pairs = list(zip(self._admitted, like_N, strict=True))
        if any(old.harmful == one.harmful and like > ALIKE for old, like in pairs):
            return "near duplicate"
        twins = {
            old
            for old, like in pairs
            if old.harmful != one.harmful and (like > CONTESTED or old.words == one.words)
        }
        if not twins:
            return ""
        if one.counters:  # it was to differ from the harmful one, whose side isn't in doubt
            return "too like a harmful one"
        self.counts["on both sides"] += len(twins - self._contested)
        self._contested |= twins
        return "on both sides"

    def _embedded(self, requests: Sequence[Request]) -> NDArray:
        """[N, D], of length one; of length zero, so that nothing is like another, where there is no
        embedder."""
        if self._embedder is None or not requests:
            return np.zeros((len(requests), 1))
        return of_length_one(embedded(self._embedder, [one.text for one in requests]))


def _scripts(text: str) -> set[str]:
    """The scripts of its letters, as Unicode names them: a small model may stray into another."""
    return {unicodedata.name(letter, "").split(" ")[0] for letter in text if letter.isalpha()}
