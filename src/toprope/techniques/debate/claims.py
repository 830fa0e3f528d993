"""Solutions as questions: is it right, and which step is the first that's wrong?

GSM8K's problems come with several models' solutions and their grades (Cobbe et al. 2021, arXiv
2110.14168); BIG-Bench-Mistake has chains of thought with the place of the first mistake (Tyen et
al. 2023, arXiv 2311.08516), so that debaters can point at a step. The descriptions are in
examples/questions.
"""

from collections.abc import Iterator, Mapping

from pydantic import BaseModel, ConfigDict, Field

from toprope.data.rows import Row, as_text
from toprope.errors import UserError


class Solutions(BaseModel):
    """Columns that each hold a solution with its grade, as an object: each makes a question."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    columns: tuple[str, ...] = Field(min_length=1)
    """The keys of their objects become columns."""
    solver: str = "solver"
    """The column made for whose solution it is: the name of the column that held it."""


class Steps(BaseModel):
    """A column with a list of steps, which are the options, and one that says the first wrong."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    column: str = "steps"
    first_wrong: str = "mistake_index"
    """The column of the first wrong step's number; empty where none is wrong."""
    count_from: int = Field(default=0, ge=0, le=1)
    """The number of the first step in that column."""
    option: str = "Step {number}: {step}"
    """How a step is an option; `{number}` counts from 1."""
    none: str = "No step is wrong."
    """The last option."""


def unfolded(row: Row, solutions: Solutions | None) -> Iterator[Row]:
    """A row for each solution, with what its object holds as columns; else the row itself.

    Raises:
        UserError: such a column isn't there or holds no object.
    """
    if solutions is None:
        yield row
        return
    for column in solutions.columns:
        held = row.value(column)
        if not isinstance(held, Mapping):
            raise UserError(
                f"{row.where}: '{column}' holds no object with a solution and its grade, but "
                f"{type(held).__name__}"
            )
        yield row.with_values({**held, solutions.solver: column})


def step_options(row: Row, steps: Steps) -> tuple[tuple[str, ...], int]:
    """The options, a step each and "none", and the place of the right one.

    Raises:
        UserError: there is no list of steps, or the first wrong one isn't among them.
    """
    listed = row.value(steps.column)
    if not isinstance(listed, list | tuple) or not listed:
        raise UserError(f"{row.where}: '{steps.column}' holds no list of steps")
    options = [
        steps.option.replace("{number}", str(number)).replace("{step}", as_text(step))
        for number, step in enumerate(listed, 1)
    ]
    said = row.text(steps.first_wrong)
    place = len(listed) if not said else _place(row, said, steps, len(listed))
    return (*options, steps.none), place


def _place(row: Row, said: str, steps: Steps, n: int) -> int:
    place = int(said) - steps.count_from if said.isdecimal() else -1
    if not 0 <= place < n:
        raise UserError(
            f"{row.where}: '{steps.first_wrong}' is '{said}', and should be empty or a step's "
            f"number, {steps.count_from} to {n - 1 + steps.count_from}"
        )
    return place
