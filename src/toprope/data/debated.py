"""Debates about a dataset's examples: which games are about which example."""

import hashlib
import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import numpy as np

from toprope.data.examples import Dataset
from toprope.data.groups import same_text
from toprope.data.transcripts import Heard, file_of, heard, posed
from toprope.errors import UserError


@dataclass(frozen=True)
class Debated:
    """The examples of a dataset that were debated, with what was said about each.

    Attributes:
        said: [K, N] games; the K games of an example are those of its seatings, in one order for
            all examples.
        left_out: how many examples of the dataset have no, or not all, games.
        source: the files.
    """

    data: Dataset
    said: tuple[tuple[Heard, ...], ...]
    left_out: int
    source: str

    @cached_property
    def fingerprint(self) -> str:
        """SHA-256 (hex) of what was said about which example."""
        rows = [[(one.options, one.words) for one in row] for row in self.said]
        return hashlib.sha256(json.dumps([self.data.fingerprint, rows]).encode()).hexdigest()

    def only(self, data: Dataset) -> "Debated":
        """The same of some of the examples, in their order."""
        place = {example.id: i for i, example in enumerate(self.data.examples)}
        kept = [place[example.id] for example in data.examples]
        return replace(
            self, data=data, said=tuple(tuple(row[i] for i in kept) for row in self.said)
        )

    def shuffled(self, rng: np.random.Generator) -> "Debated":
        """The same with each example's games as those of another, which is of another group.

        Raises:
            UserError: one group has more than half of the examples.
        """
        groups = np.array(self.data.groups)
        names, codes_N = np.unique(groups, return_inverse=True)
        largest = int(np.bincount(codes_N).max())
        if 2 * largest > len(groups):
            raise UserError(
                f"dataset '{self.data.name}': a group has {largest} of {len(groups)} examples, so "
                "their debates can't be those of other groups: name a finer group"
            )
        # Group behind group, each item from one that is as far off as the largest group is long.
        # Within a group in random order: a statement and its denial would swap with their like.
        order_N = np.lexsort((rng.random(len(groups)), rng.permutation(len(names))[codes_N]))
        source_N = np.empty(len(groups), dtype=int)
        source_N[order_N] = np.roll(order_N, largest)
        return replace(self, said=tuple(tuple(row[i] for i in source_N) for row in self.said))


def joined(data: Dataset, places: Sequence[str], *, fewest: int) -> Debated:
    """A dataset's examples with the games about them; those without are left out.

    A game is about an example whose text its question has, but for letter case, white space, and
    what `posed` takes off.

    Args:
        places: files, or folders of runs; a question's games of all of them count.
        fewest: examples with games, below which it's an error.

    Raises:
        UserError: as `file_of` and `heard`; nobody speaks in a file; or too few examples have
            games.
    """
    paths = [file_of(place) for place in places]
    source = ", ".join(map(str, paths))
    by_text, ids = _by_text(paths)
    texts = [same_text(posed(text)) for text in data.texts]
    # What most examples have is what all need: a game in each of these seatings.
    counts = Counter(frozenset(by_text[text]) for text in texts if text in by_text)
    wanted = max(counts, key=lambda keys: (counts[keys], len(keys)), default=frozenset())
    kept = [i for i, text in enumerate(texts) if wanted and wanted <= set(by_text.get(text, ()))]
    if len(kept) < fewest:
        known = {example.id: text for example, text in zip(data.examples, texts, strict=True)}
        other = sum(known.get(name, text) != text for name, text in ids.items())
        hint = f" ({other} of its questions have the id of another text)" if other else ""
        raise UserError(
            f"{len(kept)} of {len(data)} examples of '{data.name}' were debated in "
            f"{source}{hint}, and {fewest} are needed: debate 'data:{data.name}' with the same "
            "limit and seed"
        )
    examples = tuple(data.examples[i] for i in kept)
    said = tuple(tuple(by_text[texts[i]][key] for i in kept) for key in sorted(wanted))
    return Debated(replace(data, examples=examples), said, len(data) - len(kept), source)


def _by_text(
    paths: Sequence[Path],
) -> tuple[dict[str, dict[tuple[str, int], Heard]], dict[str, str]]:
    """A question's text -> its games, by their seating and how often that was played before; and
    its id -> its text."""
    by_text: dict[str, dict[tuple[str, int], Heard]] = {}
    ids: dict[str, str] = {}
    for path in paths:
        games = list(heard(path))
        if not any(one.words for one in games):
            raise UserError(f"{path}: nobody says anything there; name the file of a debate")
        for one in games:
            ids[one.id] = text = same_text(posed(one.text))
            of_it = by_text.setdefault(text, {})
            before = sum(seating == one.seating for seating, _ in of_it)
            of_it[one.seating, before] = one
    return by_text, ids
