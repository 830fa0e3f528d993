"""A row of evidence that has a value, and how it stands beside another."""

from dataclasses import dataclass
from typing import Literal

from toprope.evidence import Evidence
from toprope.report.text import format_for, level_name

NOT_MEASURABLE = "not measurable"


@dataclass(frozen=True)
class Measured:
    """A number with its interval, its texts, and the row that it comes from."""

    row: Evidence
    value: float
    low: float
    high: float

    @property
    def value_text(self) -> str:
        """ "71.2%"."""
        return format_for(self.row.metric).text(self.value)

    @property
    def text(self) -> str:
        """ "71.2% (69.0–73.1)"."""
        return format_for(self.row.metric).with_interval(self.value, self.low, self.high)

    @property
    def span(self) -> str:
        """ "69.0–73.1"."""
        return format_for(self.row.metric).span(self.low, self.high)

    @property
    def interval_text(self) -> str:
        """ "95% interval 69.0–73.1"."""
        return f"{level_name([self.row.level])} interval {self.span}"

    def stands(self, other: "Measured") -> Literal["above", "below", "overlap"]:
        """Whether this interval lies wholly above the other, wholly below it, or neither."""
        if self.low > other.high:
            return "above"
        return "below" if self.high < other.low else "overlap"


def measured(row: Evidence | None) -> Measured | None:
    """The row's number, or None where there is no row or it has no value."""
    if row is None or row.value is None or row.low is None or row.high is None:
        return None
    return Measured(row, row.value, row.low, row.high)


def measured_text(row: Evidence | None) -> str:
    """The row's value with its interval, that it isn't measurable, or "" where there is no row."""
    number = measured(row)
    if number:
        return number.text
    return NOT_MEASURABLE if row else ""
