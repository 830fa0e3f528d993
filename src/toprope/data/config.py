"""A dataset described in YAML: its files and columns, the prompt they make, the true answer.

    title: Review sentences
    licence: CC BY 4.0
    source: who made it, and where it can be had
    files:                        # in the data folder, or beside this file where they begin with ./
      - {path: reviews/all.csv.gz}
    where: {language: en}         # keep the rows whose column says so; the others are counted
    text: |-                      # the prompt; the model's next word is the answer
      Review: {sentence}
      Question: Is this review positive?
      Answer:
    label: stars
    label_values: {1: negative, 5: positive}
    label_names: [negative, positive]
    answers: [" no", " yes"]
    group: film                   # rows of one group stay on one side of every split

`text` and `group` are templates where they hold a `{column}` (`{{` is a brace), otherwise the name
of a column. The other keys are documented on the fields below.
"""

import re
from collections.abc import Mapping
from functools import cached_property
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from toprope.data.formats import Format
from toprope.data.rows import as_text


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


def _regex(pattern: str) -> str:
    try:
        re.compile(pattern)
    except re.error as error:
        raise ValueError(f"not a regular expression: {error}") from None
    return pattern


def _text_keys(mapping: Any) -> Any:
    """{1: a, true: b} -> {"1": a, "true": b}: values are compared as text."""
    if not isinstance(mapping, Mapping):
        return mapping
    return {as_text(key): value for key, value in mapping.items()}


def _accepted(mapping: Any) -> Any:
    """Column -> the values accepted, as texts in lower case, whether one is given or a list."""
    if not isinstance(mapping, Mapping):
        return mapping
    return {
        column: [as_text(one).casefold() for one in (value if isinstance(value, list) else [value])]
        for column, value in mapping.items()
    }


def _a_path_will_do(files: Any) -> Any:
    """`- a.csv` for `- {path: a.csv}`."""
    if not isinstance(files, list | tuple):
        return files
    return [{"path": one} if isinstance(one, str) else one for one in files]


def one_will_do(value: Any) -> Any:
    """A single mapping for a list of one."""
    return [value] if isinstance(value, Mapping) else value


Regex = Annotated[str, AfterValidator(_regex)]


class FileSpec(_Frozen):
    """One data file."""

    path: str
    """In the data folder; beside the YAML where it begins with `./`; or `hf:OWNER/NAME?split=...`.

    `.gz` is decompressed; `a.zip/b.txt` is a member of a zip.
    """
    label: str | None = None
    """The label name of every row of this file, for sets that keep each class in a file."""
    encoding: str = "utf-8"
    comment: str | None = None
    """Lines before a csv's header that begin with this are passed over."""


class Extract(_Frozen):
    """Columns pulled out of one: a regular expression with named groups that matches its value."""

    column: str
    pattern: Regex
    unmatched: Literal["error", "skip"] = "error"
    """What to do with a row that doesn't match: stop and name it, or leave it out and count it."""

    @model_validator(mode="after")
    def _has_names(self) -> "Extract":
        if not re.compile(self.pattern).groupindex:
            raise ValueError("the pattern names no column: write (?P<name>...)")
        return self


Files = Annotated[tuple[FileSpec, ...], BeforeValidator(_a_path_will_do)]
Accepted = Annotated[Mapping[str, tuple[str, ...]], BeforeValidator(_accepted)]
Extracts = Annotated[tuple[Extract, ...], BeforeValidator(one_will_do)]


class Choices(_Frozen):
    """Options of a multiple-choice question: each question becomes two yes/no examples.

    As in Burns et al. 2023 (arXiv 2312.09390, appendix A.1), the prompt holds the question and one
    candidate answer, `{choice}`, and asks whether it is correct: once with the correct option, once
    with a wrong one that is drawn by the seed. Both are in the question's group. The labels are 0,
    incorrect, and 1, correct.

    The options come from `columns` (one each, named by their column), or from one `column`: by
    `pattern` (each match is an option, in the named group `option`, with an optional `name`), by
    `separator`, or as it is where it holds a list.
    """

    correct: str
    """The column that says which option is correct."""
    correct_is: Literal["name", "text"] = "name"
    """What `correct` holds: the option's name (column, or `name` in the pattern) or its text."""
    columns: tuple[str, ...] = ()
    column: str | None = None
    pattern: Regex | None = None
    separator: str | None = None

    @model_validator(mode="after")
    def _one_source(self) -> "Choices":
        if bool(self.columns) == bool(self.column):
            raise ValueError("give either `columns` (one option each) or one `column`")
        if self.pattern and self.separator:
            raise ValueError("give `pattern` or `separator`, not both")
        if (self.pattern or self.separator) and not self.column:
            raise ValueError("`pattern` and `separator` need `column`")
        if self.pattern and "option" not in re.compile(self.pattern).groupindex:
            raise ValueError("the pattern needs a group (?P<option>...)")
        named = self.columns or (self.pattern and "name" in re.compile(self.pattern).groupindex)
        if self.correct_is == "name" and not named:
            raise ValueError("these options have no names: set `correct_is: text`")
        return self


class Near(_Frozen):
    """Rows close together in a file that share most of their words are one group.

    For sets whose authors wrote each item with a minimal edit beside it, without an id that ties
    the two.
    """

    column: str
    rows: int = Field(default=1, ge=1)
    """How far apart in the file: 1 is the next row."""
    share: float = Field(default=0.5, gt=0, le=1)
    """The least Jaccard index of the two sets of words."""


class Description(_Frozen):
    """What the description of any kind of data says of its files, and of the rows to keep."""

    name: str | None = None
    """By default the YAML's file name."""
    title: str = ""
    licence: str = ""
    source: str = ""
    files: Files = Field(min_length=1)
    format: Format | None = None
    """Where the files' names don't say it. "lines" gives each line as the column `text`."""
    where: Accepted = {}
    """column -> the value, or list of values, that a row must have, in any letter case."""
    extract: Extracts = ()


class DatasetConfig(Description):
    """What a dataset YAML may hold."""

    text: str = "text"
    """The prompt: a template over the columns, or the name of one."""
    label: str = "label"
    """The column of the true answer; not used where each file or `choices` gives it."""
    label_values: Annotated[Mapping[str, str], BeforeValidator(_text_keys)] = {}
    """What the label column says -> label name. Without it, names or their numbers, 0, 1, ..."""
    label_names: tuple[Annotated[str, BeforeValidator(as_text)], ...] = ()
    """In the order of the labels 0, 1, ...; by default those found, sorted."""
    answers: tuple[str, ...] = ()
    """What a model would say for each label, with its leading space; by default the label names."""
    group: str | None = None
    """Column or template; rows with equal values are one group. By default each text is its own."""
    near: Near | None = None
    choices: Choices | None = None
    difficulty: str | None = None
    """The column of a number from 0 (easiest) to 1."""
    meta: tuple[str, ...] = ()
    """Columns kept for reports."""
    max_words: int | None = Field(default=None, ge=1)
    """Rows that make a longer prompt are left out and counted."""
    balance: bool = False
    """Whether to sample the larger classes down to the smallest, as evenly as can be in groups."""

    @model_validator(mode="after")
    def _labels_fit(self) -> "DatasetConfig":
        names = self.all_label_names
        if len(set(names)) != len(names):
            raise ValueError(f"a label name is there twice: {', '.join(names)}")
        if names and len(names) < 2:
            raise ValueError("a dataset needs at least two label names")
        if self.answers and not names:
            raise ValueError("answers need label names, to say which is whose")
        if self.answers and len(self.answers) != len(names):
            raise ValueError(f"{len(self.answers)} answers for {len(names)} label names")
        if len(set(self.answers)) != len(self.answers):
            raise ValueError(f"an answer is there twice: {self.answers}")
        if self.choices and "{choice}" not in self.text:
            raise ValueError("with `choices` the text needs a place for the {choice}")
        if self.choices and len(names) != 2:
            raise ValueError("with `choices` there are two labels: incorrect, correct")
        given = [*self.label_values.values(), *(f.label for f in self.files if f.label is not None)]
        odd = sorted(set(given) - set(names)) if names else []
        if odd:
            raise ValueError(f"'{odd[0]}' isn't among the label names: {', '.join(names)}")
        if any(f.label for f in self.files) and not all(f.label for f in self.files):
            raise ValueError("either every file has a `label` or none has")
        return self

    @property
    def all_label_names(self) -> tuple[str, ...]:
        """The label names as far as the description settles them; () where the rows decide."""
        if self.choices and not self.label_names:
            return ("incorrect", "correct")
        return self.label_names

    @cached_property
    def known_labels(self) -> Mapping[str, str]:
        """What the label column may say -> label name; empty where the rows decide.

        A label's number does for its name, unless a name is a number: a 1 could then be two labels.
        """
        if self.label_values:
            return self.label_values
        by_name = {name: name for name in self.label_names}
        if any(name.lstrip("-").isdecimal() for name in by_name):
            return by_name
        return by_name | {str(number): name for number, name in enumerate(self.label_names)}
