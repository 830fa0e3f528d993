"""A set of questions described in YAML: its files and columns, the options, the right answer.

    title: Reading comprehension
    files:
      - {path: quality/dev.jsonl.gz}
    passage: article              # the debaters see it, the judge doesn't
    question: question
    options: options              # a column with a list; or one column each: [A, B, C, D]
    answer: gold_label
    answer_is: number from 1

The keys that any description of data has (`where`, `extract`, ...) are in data.config.
"""

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, model_validator

from toprope.data.config import Choices, Description, Regex
from toprope.data.rows import as_text
from toprope.techniques.debate.claims import Solutions, Steps


def _names(value: Any) -> Any:
    """ "a,b" for [a, b]."""
    return value.split(",") if isinstance(value, str) else value


def _text_pairs(mapping: Any) -> Any:
    """{true: yes} -> {"true": "yes"}: values are compared as text."""
    if not isinstance(mapping, Mapping):
        return mapping
    return {as_text(key): as_text(value) for key, value in mapping.items()}


Names = Annotated[tuple[Annotated[str, BeforeValidator(as_text)], ...], BeforeValidator(_names)]


class QuestionsConfig(Description):
    """What a questions YAML may hold. `question`, `passage` and `group` may be templates."""

    question: str = "question"
    passage: str | None = None
    """What debaters see and the judge doesn't. A list is put in lines."""
    options: Names = ()
    """The columns of the options, one each, or one column that holds a list of them."""
    pattern: Regex | None = None
    """For one column of text: each match is an option, in its group `option`, maybe with a
    `name`."""
    separator: str | None = None
    """For one column of text: what is between its options."""
    options_are: Names = ()
    """Options that are the same in every row."""
    answer: str = "answer"
    """The column that says which option is right."""
    answer_is: Literal["text", "name", "letter", "number", "number from 1"] = "text"
    """What it holds: an option's text, its name (its column, or `name` in the pattern), its letter,
    or its number (the first is 0, or 1)."""
    answer_values: Annotated[Mapping[str, str], BeforeValidator(_text_pairs)] = {}
    """What the answer column says -> what it means."""
    solutions: Solutions | None = None
    """For files of several graded solutions a row: `where` and `extract` see each as a row."""
    steps: Steps | None = None
    """For options that are the steps of a solution."""
    group: str | None = None
    """By default, questions of the same passage are a group."""
    without: Regex | None = None
    """What is taken out of questions, passages and options."""
    max_options: int | None = Field(default=None, ge=2)
    """Questions with more are left out and counted."""
    balance: bool = False
    """Whether to sample down until the right answer is equally often in each place."""
    meta: tuple[str, ...] = ()
    """Columns kept for reports."""

    @model_validator(mode="after")
    def _one_source(self) -> "QuestionsConfig":
        given = [bool(self.options), bool(self.options_are), self.steps is not None]
        if sum(given) != 1:
            raise ValueError("give one of `options`, `options_are` and `steps`")
        if self.options:
            _ = self.choices
        return self

    @property
    def choices(self) -> Choices:
        """Where the options are, as a dataset's multiple choice says it."""
        several = len(self.options) > 1
        return Choices(
            correct=self.answer,
            correct_is="text",
            columns=self.options if several else (),
            column=None if several else self.options[0],
            pattern=self.pattern,
            separator=self.separator,
        )
