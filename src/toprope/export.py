"""Evidence for people and for other programs: `toprope evidence RUN --format ...`.

- `table`: for a terminal, one table for each study, pair of models and dataset.
- `json`: a list of objects with the fields of `Evidence`, exactly.
- `csv`, `parquet`: flat rows. Each control has a column `control_NAME`, and cost has `cost_tokens`,
  `cost_seconds` and `cost_calls`; a control that a row doesn't have is left empty.
"""

import csv
import json
from collections.abc import Callable, Sequence
from textwrap import shorten
from typing import IO, Any

from toprope.errors import UserError, unknown
from toprope.evidence import Cost, Evidence

NOT_MEASURABLE = "not measurable"
NOTE_LENGTH = 60  # of a note beside a number, in the table


def export(evidence: Sequence[Evidence], format: str, stream: IO[Any]) -> None:
    """Writes evidence in one of FORMATS.

    Args:
        stream: of text; for parquet of bytes, or a text stream over one, such as `sys.stdout`.

    Raises:
        UserError: there is no such format, or parquet would go to a terminal.
    """
    if format not in FORMATS:
        raise unknown("format", format, FORMATS)
    FORMATS[format](evidence, stream)


def _write_table(evidence: Sequence[Evidence], stream: IO[str]) -> None:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    console = Console(file=stream, highlight=False)
    if not evidence:
        console.print("no evidence yet: no study has finished")
    groups: dict[str, list[Evidence]] = {}
    for item in evidence:
        groups.setdefault(_heading(item), []).append(item)
    for heading, items in groups.items():
        table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
        table.add_column("arm", overflow="fold")
        table.add_column("metric", overflow="fold")
        table.add_column("value [low, high]", no_wrap=True)
        table.add_column("n", no_wrap=True)
        table.add_column("notes", overflow="fold")
        for item in items:
            # As Text: brackets and colons in a string are markup and emoji.
            table.add_row(*(Text(_plain(cell)) for cell in _cells(item)))
        console.print(Text(_plain(heading), style="bold"))
        console.print(table)
        console.print()


def _heading(item: Evidence) -> str:
    models = " -> ".join(filter(None, (item.overseer, item.target)))
    where = f" on {item.dataset}" if item.dataset else ""
    return f"{item.study}: {models}{where}"


def _cells(item: Evidence) -> tuple[str, ...]:
    if item.value is None or item.low is None or item.high is None:
        value, notes = NOT_MEASURABLE, item.notes
    else:
        value = f"{_number(item.value)} [{_number(item.low)}, {_number(item.high)}]"
        notes = shorten(item.notes, NOTE_LENGTH, placeholder=" ...")
    return item.arm, item.metric, value, f"{item.n:,} {item.unit}", notes


def _number(value: float) -> str:
    """Three decimals where they say something, else three significant digits."""
    if value == 0 or 0.001 <= abs(value) < 100:
        return f"{value:.3f}"
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.2e}"


def _plain(text: str) -> str:
    """Text that can't steer a terminal: notes may quote what a model or a dataset said."""
    return "".join(letter if letter.isprintable() else " " for letter in text)


def _write_json(evidence: Sequence[Evidence], stream: IO[str]) -> None:
    json.dump([item.model_dump() for item in evidence], stream, indent=2, ensure_ascii=False)
    stream.write("\n")


def _write_csv(evidence: Sequence[Evidence], stream: IO[str]) -> None:
    columns = _columns(evidence)
    writer = csv.DictWriter(stream, columns, restval="", lineterminator="\n")
    writer.writeheader()
    writer.writerows(
        {name: _inert(cell) for name, cell in _flat(item).items()} for item in evidence
    )


def _inert(cell: Any) -> Any:
    """Text that a spreadsheet would run as a formula gets an apostrophe, which it then hides."""
    is_formula = isinstance(cell, str) and cell.startswith(("=", "+", "-", "@", "\t", "\r"))
    return f"'{cell}" if is_formula else cell


def _write_parquet(evidence: Sequence[Evidence], stream: IO[Any]) -> None:
    import pyarrow
    import pyarrow.parquet

    if stream.isatty():
        raise UserError("parquet is binary: send it to a file, as in '... > evidence.parquet'")
    kinds = {float: pyarrow.float64(), int: pyarrow.int64(), str: pyarrow.string()}
    schema = pyarrow.schema([(name, kinds[kind]) for name, kind in _columns(evidence).items()])
    table = pyarrow.Table.from_pylist([_flat(item) for item in evidence], schema=schema)
    # A file opened for text keeps its bytes in `buffer`.
    pyarrow.parquet.write_table(table, getattr(stream, "buffer", stream))


def _columns(evidence: Sequence[Evidence]) -> dict[str, type]:
    """The flat columns and their types: Evidence's fields in their order, controls by name."""
    controls = sorted({name for item in evidence for name in item.controls})
    columns = {}
    for name, field in Evidence.model_fields.items():
        if name == "controls":
            columns |= {f"control_{control}": float for control in controls}
        elif name == "cost":
            columns |= {
                f"cost_{part}": _kind(f.annotation) for part, f in Cost.model_fields.items()
            }
        else:
            columns[name] = _kind(field.annotation)
    return columns


def _kind(annotation: Any) -> type:
    if annotation in (float, float | None):
        return float
    return int if annotation is int else str


def _flat(item: Evidence) -> dict[str, Any]:
    row = item.model_dump(exclude={"controls", "cost"})
    row |= {f"control_{name}": value for name, value in item.controls.items()}
    return row | {f"cost_{part}": value for part, value in item.cost.model_dump().items()}


FORMATS: dict[str, Callable[[Sequence[Evidence], IO[Any]], None]] = {
    "table": _write_table,
    "json": _write_json,
    "csv": _write_csv,
    "parquet": _write_parquet,
}
