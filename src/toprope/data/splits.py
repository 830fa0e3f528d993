"""Splitting a dataset into named parts, whole groups only, with the classes in proportion in each.

A split is settled by the dataset, the sizes and the seed, the same in every process, and its
fingerprint goes into the evidence. Sizes are shares (0.5) or counts (200). Since no group is cut, a
part may miss its size by a little; by more than a tenth, and the split is refused.
"""

import json
import math
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import sha256

import numpy as np

from toprope.data.examples import Dataset
from toprope.data.groups import same_text
from toprope.data.sampling import allocate, group_counts, quotas
from toprope.data.seeding import named_rng
from toprope.errors import UserError

TOLERANCE = 0.1
"""How far a part may be from its size, as a share of it."""


@dataclass(frozen=True)
class Split:
    """Named parts of a dataset.

    Attributes:
        parts: name -> int64 indices into the dataset's examples, ascending; no index is in two
            parts.
        fingerprint: SHA-256 (hex) over the parts' names and the ids of their examples.
    """

    parts: Mapping[str, np.ndarray]
    fingerprint: str


def split(dataset: Dataset, sizes: Mapping[str, float | int], *, seed: int) -> Split:
    """The dataset in parts of the given sizes.

    Args:
        sizes: part -> share of the examples (a float up to 1.0) or count (an int). They may leave a
            rest unused.
        seed: which groups go where. The order of `sizes` matters too.

    Raises:
        UserError: the sizes ask for more than there is; a part would be empty or lack a class; or a
            group would have to be cut to come near a part's size.
    """
    counts = _counts(sizes, len(dataset))
    rest = len(dataset) - sum(counts.values())
    classes = len(dataset.label_names)
    groups_GC = group_counts(dataset.groups, dataset.labels, classes)
    quotas_PC = quotas([*counts.values(), rest], np.bincount(dataset.labels, minlength=classes))
    if rest == 0:
        quotas_PC = quotas_PC[:-1]
    part_G = allocate(groups_GC, quotas_PC, rng=named_rng(seed, dataset.name, "split"))
    place = {name: g for g, name in enumerate(dict.fromkeys(dataset.groups))}
    part_N = part_G[[place[name] for name in dataset.groups]]
    parts = {name: np.flatnonzero(part_N == p) for p, name in enumerate(counts)}
    _check_parts(parts, counts, dataset)
    return Split(parts, _fingerprint(parts, dataset))


def check_no_leak(split: Split, dataset: Dataset) -> None:
    """Raises UserError if an example, a group or a text is on two sides of a split."""
    for kind, values in (
        ("example", [example.id for example in dataset.examples]),
        ("group", dataset.groups),
        ("text", [same_text(text) for text in dataset.texts]),
    ):
        seen: dict[str, str] = {}
        for name, indices in split.parts.items():
            for value in {values[i] for i in indices}:
                if value in seen:
                    raise UserError(
                        f"dataset '{dataset.name}': the {kind} '{value[:80]}' is in both "
                        f"'{seen[value]}' and '{name}'; toprope.data.split keeps groups whole"
                    )
                seen[value] = name


def _counts(sizes: Mapping[str, float | int], available: int) -> dict[str, int]:
    """Each part's size as a count. Shares are rounded at their running sum, to waste nothing."""
    counts: dict[str, int] = {}
    running = 0.0
    for name, size in sizes.items():
        if not size > 0 or (isinstance(size, float) and size > 1):
            raise UserError(f"part '{name}': size {size}; give a share up to 1.0 or a count")
        if isinstance(size, int):
            counts[name] = size
            continue
        counts[name] = round((running + size) * available) - round(running * available)
        running += size
    if not counts or sum(counts.values()) > available:
        raise UserError(
            f"the parts {dict(sizes)} ask for {sum(counts.values())} examples of {available}"
        )
    return counts


def _check_parts(
    parts: Mapping[str, np.ndarray], counts: Mapping[str, int], dataset: Dataset
) -> None:
    for name, indices in parts.items():
        if not len(indices):
            raise UserError(
                f"part '{name}' of dataset '{dataset.name}' would be empty{_why(dataset)}"
            )
        # A part of a few examples can be one middling group away from its size.
        allowed = max(TOLERANCE * counts[name], math.ceil(len(dataset) / len(set(dataset.groups))))
        if abs(len(indices) - counts[name]) > allowed:
            raise UserError(
                f"part '{name}' of '{dataset.name}' was to have {counts[name]} examples and "
                f"would have {len(indices)}, since groups aren't cut{_why(dataset)}"
            )
        present = np.bincount(dataset.labels[indices], minlength=len(dataset.label_names))
        for label, count in zip(dataset.label_names, present, strict=True):
            if not count:
                raise UserError(
                    f"part '{name}' of '{dataset.name}' would have no example of class "
                    f"'{label}'{_why(dataset)}"
                )


def _why(dataset: Dataset) -> str:
    """What limits the split, for the end of an error."""
    sizes = Counter(dataset.groups)
    largest, size = sizes.most_common(1)[0]
    return (
        f": it has {len(dataset)} examples in {len(sizes)} groups, the largest '{largest[:60]}' "
        f"with {size}; ask for other sizes, or name a finer group"
    )


def _fingerprint(parts: Mapping[str, np.ndarray], dataset: Dataset) -> str:
    named = {name: [dataset.examples[i].id for i in indices] for name, indices in parts.items()}
    return sha256(json.dumps(named).encode()).hexdigest()
