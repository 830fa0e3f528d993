"""The record types of a classification dataset: Example, Dataset, Provenance.

A dataset here is a list of prompts, each of whose next words would be one of a few fixed answers,
so that the same example can train a probe (read at the last token), a LoRA classifier, or be asked
of a model as it is.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from hashlib import sha256
from typing import Any

import numpy as np


@dataclass(frozen=True, slots=True)
class Example:
    """One prompt with its true answer.

    Attributes:
        id: unique in its dataset.
        text: the prompt, whose next words would be the answer ("... Answer:").
        label: the true class, 0 .. C-1.
        group: items of one group stay on one side of every split.
        difficulty: from 0 (easiest) to 1, where the dataset knows it.
        meta: columns kept for reports; methods under test don't see them.
    """

    id: str
    text: str
    label: int
    group: str
    difficulty: float | None = None
    meta: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Provenance:
    """Where a dataset came from, and what became of every row read: no drop goes uncounted.

    `rows_read - sum(rows_dropped)` rows made `examples_made` examples (two a row for multiple
    choice, else one), and `examples_made - sum(examples_dropped)` of them are in the dataset.

    Attributes:
        files: each file read, as its description names it, with the SHA-256 of the file on disk.
        rows_dropped: reason -> rows.
        examples_dropped: reason -> examples.
        notes: what else a reader should know (groups merged, labels in conflict).
    """

    source: str = ""
    licence: str = ""
    files: Mapping[str, str] = field(default_factory=dict)
    rows_read: int = 0
    rows_dropped: Mapping[str, int] = field(default_factory=dict)
    examples_made: int = 0
    examples_dropped: Mapping[str, int] = field(default_factory=dict)
    notes: tuple[str, ...] = ()

    @property
    def dropped(self) -> dict[str, int]:
        """Reason -> how many rows or examples, for all that was read and isn't in the dataset."""
        return {**self.rows_dropped, **self.examples_dropped}

    @property
    def summary(self) -> str:
        """One line: what was read, what is kept, and where the rest went."""
        kept = self.examples_made - sum(self.examples_dropped.values())
        left_out = "; ".join(f"{count:,} out: {why}" for why, count in self.dropped.items())
        return f"{self.rows_read:,} rows read, {kept:,} examples" + (
            f"; {left_out}" if left_out else ""
        )


@dataclass(frozen=True)
class Dataset:
    """Examples of C classes.

    Attributes:
        label_names: for people, by label: ("negative", "positive").
        answers: what a model would say for each label, with its leading space: (" no", " yes").
        provenance: where the examples came from; not part of the fingerprint.
    """

    name: str
    examples: tuple[Example, ...]
    label_names: tuple[str, ...]
    answers: tuple[str, ...]
    provenance: Provenance = field(default_factory=Provenance)

    def __len__(self) -> int:
        return len(self.examples)

    @cached_property
    def labels(self) -> np.ndarray:
        """True labels, int64 [N]."""
        return np.array([example.label for example in self.examples], dtype=np.int64)

    @cached_property
    def texts(self) -> list[str]:
        """Prompts, in order, N of them."""
        return [example.text for example in self.examples]

    @cached_property
    def groups(self) -> list[str]:
        """Group names, in order, N of them."""
        return [example.group for example in self.examples]

    @cached_property
    def fingerprint(self) -> str:
        """SHA-256 (hex) of name, label names, answers and every field of the examples, in order."""
        digest = sha256(_canonical([self.name, self.label_names, self.answers]))
        for one in self.examples:
            row = [one.id, one.text, one.label, one.group, one.difficulty, dict(one.meta)]
            digest.update(_canonical(row))
        return digest.hexdigest()


def _canonical(value: Any) -> bytes:
    """The same bytes for equal values in any process; what JSON lacks, such as a date, as text."""
    return json.dumps(value, sort_keys=True, default=str).encode() + b"\n"
