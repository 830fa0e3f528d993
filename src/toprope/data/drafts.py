"""The rows of a described dataset -> drafts of its examples; every row left out is counted.

A draft has its prompt, its label's name and its group key; what depends on the set as a whole
(joined groups, repeated texts, balance) comes after, in `assemble`.
"""

import math
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from toprope.data.choices import candidates
from toprope.data.config import DatasetConfig, Description, Extract
from toprope.data.rows import Row, as_text
from toprope.data.templates import fill
from toprope.errors import UserError, unknown


@dataclass(frozen=True, slots=True)
class Input:
    """The rows of one file or hub dataset, and their label name, if it is the file that says."""

    name: str
    sha256: str
    rows: Sequence[Row]
    label: str | None = None
    class_names: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """Column -> its class names in the order of the labels, where the hub knows them."""


@dataclass(frozen=True, slots=True)
class Draft:
    """An example before the set as a whole is known."""

    id: str
    text: str
    label: str
    key: str
    file: str
    where: str
    near: str
    """The text whose likeness to its neighbours in the file counts; "" where it doesn't matter."""
    difficulty: float | None
    meta: Mapping[str, Any]


@dataclass(slots=True)
class Drafts:
    """All drafts, and the counts that the provenance needs."""

    drafts: list[Draft] = field(default_factory=list)
    rows_read: int = 0
    rows_dropped: Counter[str] = field(default_factory=Counter)
    without_group: int = 0


def draft(config: DatasetConfig, inputs: Sequence[Input], *, seed: int) -> Drafts:
    """Drafts in the order of the rows.

    An id is the dataset's name and the row's place among all rows read, so that a filter doesn't
    rename the others.

    Raises:
        UserError: a missing column, a label that isn't known, an empty prompt, ... naming file and
            row.
    """
    result = Drafts()
    for given in inputs:
        for row in given.rows:
            row_id = f"{config.name}/{result.rows_read:05d}"
            result.rows_read += 1
            chosen, reason = kept(row, config)
            if chosen is None:
                result.rows_dropped[reason] += 1
                continue
            made = _from_row(chosen, config, given, row_id, seed)
            if config.max_words and any(len(d.text.split()) > config.max_words for d in made):
                result.rows_dropped[f"prompt of over {config.max_words} words"] += 1
                continue
            result.without_group += bool(config.group) and made[0].key == row_id
            result.drafts += made
    return result


def kept(row: Row, config: Description) -> tuple[Row | None, str]:
    """The row with its extracted columns, or (None, why not)."""
    for column, accepted in config.where.items():
        if row.text(column).casefold() not in accepted:
            return None, f"{column} is not {' or '.join(accepted)}"
    for rule in config.extract:
        extracted = _extract(row, rule)
        if extracted is None:
            return None, f"{rule.column} doesn't match the pattern for {', '.join(_names(rule))}"
        row = row.with_values(extracted)
    return row, ""


def _names(rule: Extract) -> list[str]:
    return list(re.compile(rule.pattern).groupindex)


def _extract(row: Row, rule: Extract) -> dict[str, str] | None:
    """The named groups of the pattern; None where the row doesn't match and may be skipped."""
    value = row.text(rule.column)
    match = re.fullmatch(rule.pattern, value, re.DOTALL)
    if match:
        return {name: part or "" for name, part in match.groupdict().items()}
    if rule.unmatched == "skip":
        return None
    raise UserError(
        f"{row.where}: '{rule.column}' doesn't match the pattern for "
        f"{', '.join(_names(rule))}: {_short(value)}; mend the pattern or set `unmatched: skip`"
    )


def _from_row(row: Row, config: DatasetConfig, given: Input, row_id: str, seed: int) -> list[Draft]:
    """One draft, or for a multiple-choice question two."""
    if not config.choices:
        return [_one(row, config, given, row_id, row_id, _label(row, config, given))]
    incorrect, correct = config.all_label_names
    return [
        _one(
            row.with_values({"choice": candidate.text}),
            config,
            given,
            row_id,
            f"{row_id}-{candidate.place}",
            correct if candidate.correct else incorrect,
        )
        for candidate in candidates(row, config.choices, seed=seed, key=row_id)
    ]


def _one(
    row: Row, config: DatasetConfig, given: Input, row_id: str, draft_id: str, label: str
) -> Draft:
    text = fill(config.text, row)
    if not text.strip():
        raise UserError(f"{row.where}: the text is empty")
    return Draft(
        id=draft_id,
        text=text,
        label=label,
        key=(fill(config.group, row).strip() if config.group else "") or row_id,
        file=given.name,
        where=row.where,
        near=row.text(config.near.column) if config.near else "",
        difficulty=_difficulty(row, config.difficulty),
        meta={column: row.value(column) for column in config.meta},
    )


def _label(row: Row, config: DatasetConfig, given: Input) -> str:
    if given.label is not None:
        return given.label
    said = row.text(config.label)
    if not said:
        raise UserError(f"{row.where}: the label in column '{config.label}' is empty")
    known = config.known_labels
    if known and said not in known:
        raise unknown("label", _short(said), known, where=f"{row.where}, column '{config.label}'")
    return known.get(said, said)


def _difficulty(row: Row, column: str | None) -> float | None:
    if column is None:
        return None
    said = as_text(row.value(column))
    try:
        value = float(said)
    except ValueError:
        value = math.nan
    if not 0 <= value <= 1:
        raise UserError(f"{row.where}: difficulty '{_short(said)}' isn't a number from 0 to 1")
    return value


def _short(text: str, most: int = 80) -> str:
    flat = " ".join(text.split())
    return flat if len(flat) <= most else flat[: most - 3] + "..."
