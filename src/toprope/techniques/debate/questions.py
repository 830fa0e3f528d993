"""What is debated: a question with its possible answers, of which one is right.

Hidden-passage questions (Parrish et al. 2022; Michael et al. 2023, arXiv 2311.08702) have a passage
that the debaters see and the judge doesn't. Where questions come from is in other files.
"""

import string
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any, Self

from toprope.errors import UserError

LETTERS = string.ascii_uppercase
"""Under which options are shown."""


@dataclass(frozen=True)
class Question:
    """
    Attributes:
        options: the possible answers, two to 26.
        answer: the index of the right one.
        passage: what debaters see and the judge doesn't.
        group: questions of one group are resampled together; where it's empty, a question is a
            group of its own.
        source: where it's from, for a reader.

    Raises:
        UserError: there are fewer than two options or more than letters, two are the same, or none
            is right.
    """

    id: str
    text: str
    options: tuple[str, ...]
    answer: int
    passage: str = ""
    group: str = ""
    source: str = ""

    def __post_init__(self) -> None:
        where = f"question '{self.id}'" + (f" of {self.source}" if self.source else "")
        if not self.text.strip():
            raise UserError(f"{where} has no text: say what is asked")
        if len(self.options) < 2:
            raise UserError(
                f"{where} has {len(self.options)} option{'s' * (not self.options)}: a debate needs "
                "two or more, one of them right"
            )
        plain = [option.strip() for option in self.options]
        if not all(plain):
            raise UserError(f"{where} has an empty option: {plain.index('') + 1} of {len(plain)}")
        if len(plain) > len(LETTERS):
            raise UserError(
                f"{where} has {len(plain)} options, and there are letters for {len(LETTERS)}"
            )
        if len(set(plain)) < len(plain):
            raise UserError(f"{where} has the same option twice: one of them has to be another")
        if type(self.answer) is not int or not 0 <= self.answer < len(self.options):
            raise UserError(
                f"{where} has no right answer: 'answer' is {self.answer!r}, and has to be the "
                f"index of an option, 0 to {len(self.options) - 1}"
            )

    @property
    def unit(self) -> str:
        """What it's resampled with: its group, or itself."""
        return self.group or self.id

    @property
    def right(self) -> str:
        """The right option."""
        return self.options[self.answer]

    def hidden(self) -> Self:
        """As the judge sees it: without the passage."""
        return replace(self, passage="")

    def as_json(self) -> dict[str, Any]:
        return asdict(self) | {"options": list(self.options)}

    @classmethod
    def of_json(cls, record: Mapping[str, Any]) -> Self:
        """
        Raises:
            UserError: it's no such question.
        """
        return cls(**{**record, "options": tuple(record["options"])})
