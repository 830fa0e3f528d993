"""A multiple-choice question -> two yes/no rows: is this candidate the answer?

Burns et al. 2023, Weak-to-strong generalization (arXiv 2312.09390), appendix A.1.
"""

import re
from dataclasses import dataclass

from toprope.data.config import Choices
from toprope.data.rows import Row, as_text
from toprope.data.seeding import named_rng
from toprope.errors import UserError


@dataclass(frozen=True, slots=True)
class Candidate:
    """One option put to the model, with its place among the question's options."""

    place: int
    text: str
    correct: bool


def candidates(row: Row, choices: Choices, *, seed: int, key: str) -> list[Candidate]:
    """The two candidates of a question in the order of their places, not of their correctness.

    Args:
        key: the question's id. The wrong option depends on it and the seed alone, so that leaving
            out another question doesn't change this one.

    Raises:
        UserError: fewer than two options, an empty one, or no option that is the correct one.
    """
    options = options_of(row, choices)
    right = _right(row, choices, options)
    correct_text = row.text(choices.correct) if right is None else options[right][1]
    wrong = [
        place for place, (_, text) in enumerate(options) if place != right and text != correct_text
    ]
    if not wrong:
        raise UserError(f"{row.where}: a question needs two different options")
    drawn = wrong[named_rng(seed, "choices", key).integers(len(wrong))]
    # An answer that isn't among the options comes after them.
    correct_place = len(options) if right is None else right
    pair = [
        Candidate(drawn, options[drawn][1], False),
        Candidate(correct_place, correct_text, True),
    ]
    return sorted(pair, key=lambda candidate: candidate.place)


def options_of(row: Row, choices: Choices) -> list[tuple[str, str]]:
    """(name, text) of each option; the name is "" where options have none.

    Raises:
        UserError: there are none, or one is empty.
    """
    if choices.columns:
        options = [(column, row.text(column)) for column in choices.columns]
    else:
        assert choices.column is not None
        options = _in_column(row, choices, choices.column)
    if any(not text for _, text in options):
        raise UserError(f"{row.where}: an option is empty")
    if not options:
        raise UserError(f"{row.where}: no options found in '{choices.column}'")
    return options


def _in_column(row: Row, choices: Choices, column: str) -> list[tuple[str, str]]:
    if choices.pattern:
        found = [match.groupdict() for match in re.finditer(choices.pattern, row.text(column))]
        return [(match.get("name") or "", match["option"].strip()) for match in found]
    if choices.separator:
        parts = row.text(column).split(choices.separator)
        return [("", part.strip()) for part in parts if part.strip()]
    value = row.value(column)
    if not isinstance(value, list | tuple):
        raise UserError(
            f"{row.where}: '{column}' holds no list of options; give `pattern` or `separator`"
        )
    return [("", as_text(one)) for one in value]


def _right(row: Row, choices: Choices, options: list[tuple[str, str]]) -> int | None:
    """The place of the correct option; None where its text is given and isn't among the options."""
    said = row.text(choices.correct)
    if not said:
        raise UserError(f"{row.where}: '{choices.correct}' is empty")
    if choices.correct_is == "text":
        return next((place for place, (_, text) in enumerate(options) if text == said), None)
    for place, (name, _) in enumerate(options):
        if name.casefold() == said.casefold():
            return place
    names = ", ".join(name for name, _ in options)
    raise UserError(f"{row.where}: the correct option '{said}' isn't among: {names}")
