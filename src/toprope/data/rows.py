"""One row of a data file: its values by column, and where it stands, for errors to point at."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from toprope.errors import UserError, unknown


@dataclass(frozen=True, slots=True)
class Row:
    """A row as read.

    Attributes:
        file: the file as the user named it.
        number: the line of a text file, the position (from 1) in JSON, parquet or a hub dataset.
        unit: what `number` counts: "line" or "row".
        values: column -> value, as the format gives it.
    """

    file: str
    number: int
    unit: str
    values: Mapping[str, Any]

    @property
    def where(self) -> str:
        return f"{self.file} {self.unit} {self.number}"

    def value(self, column: str) -> Any:
        """The value of a column; UserError with the nearest column name if there is none."""
        if column not in self.values:
            raise unknown("column", column, self.values, where=self.where)
        return self.values[column]

    def text(self, column: str) -> str:
        """The value of a column as text, without white space at its ends."""
        return as_text(self.value(column))

    def with_values(self, more: Mapping[str, Any]) -> "Row":
        """This row with columns added; not one that is there already, which it would hide."""
        taken = sorted(set(more) & set(self.values))
        if taken:
            raise UserError(
                f"{self.where}: there is a column '{taken[0]}' already; name the new one otherwise"
            )
        return Row(self.file, self.number, self.unit, {**self.values, **more})


def as_text(value: Any) -> str:
    """One spelling of a value for comparing and printing, whatever format it came from.

    True and False are "true" and "false", a missing value is "", a whole float loses its ".0", and
    white space at the ends goes.
    """
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    return str(value).strip()
