"""The bytes of one data file -> rows: jsonl, json, csv, tsv, parquet, or one row a line.

Nothing is skipped but blank lines. What can't be read is a UserError that names the file and the
line.
"""

import csv
import io
import json
from collections.abc import Iterator
from typing import Any, Literal, get_args

from toprope.data.rows import Row
from toprope.errors import UserError, unknown

SUFFIXES = {
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".json": "json",
    ".csv": "csv",
    ".tsv": "tsv",
    ".parquet": "parquet",
    ".txt": "lines",
}
Format = Literal["jsonl", "json", "csv", "tsv", "parquet", "lines"]
FORMATS: tuple[str, ...] = get_args(Format)


def format_of(name: str) -> str:
    """The format by the end of a file's name, `.gz` aside; UserError if that doesn't say."""
    plain = name.removesuffix(".gz").lower()
    for suffix, file_format in SUFFIXES.items():
        if plain.endswith(suffix):
            return file_format
    raise UserError(
        f"{name}: the name doesn't say the format; give `format`, one of: {', '.join(FORMATS)}"
    )


def parse(
    content: bytes,
    file_format: str,
    *,
    file: str,
    encoding: str = "utf-8",
    comment: str | None = None,
) -> list[Row]:
    """All rows of a file.

    Args:
        content: the bytes, decompressed.
        file_format: one of FORMATS. "lines" gives each line as the column `text`.
        file: its name for error messages.
        encoding: of a text format; a byte order mark is dropped.
        comment: rows before a csv's or tsv's header whose first cell begins so are passed over.
    """
    if file_format not in FORMATS:
        raise unknown("format", file_format, FORMATS, where=file)
    if file_format == "parquet":
        return _numbered(_parquet(content, file), file)
    text = _decode(content, encoding, file)
    if file_format == "json":
        return _numbered(_json(text, file), file)
    if file_format == "jsonl":
        return list(_jsonl(text, file))
    if file_format == "lines":
        return list(_lines(text, file))
    return list(_separated(text, file, "\t" if file_format == "tsv" else ",", comment))


def _decode(content: bytes, encoding: str, file: str) -> str:
    codec = "utf-8-sig" if encoding.lower().replace("_", "-") in {"utf-8", "utf8"} else encoding
    try:
        return content.decode(codec)
    except LookupError:
        raise UserError(f"{file}: unknown encoding '{encoding}'; try utf-8 or latin-1") from None
    except UnicodeDecodeError as error:
        line = content[: error.start].count(b"\n") + 1
        raise UserError(
            f"{file} line {line}: not {encoding}; give the file's `encoding`, such as latin-1"
        ) from None


def _numbered(records: list[Any], file: str) -> list[Row]:
    """Records whose place is their position."""
    rows = []
    for number, record in enumerate(records, start=1):
        if not isinstance(record, dict):
            raise UserError(
                f"{file} row {number}: expected an object with named columns, "
                f"found {type(record).__name__}"
            )
        rows.append(Row(file, number, "row", record))
    return rows


def _parquet(content: bytes, file: str) -> list[dict[str, Any]]:
    import pyarrow
    import pyarrow.parquet

    try:
        return pyarrow.parquet.read_table(io.BytesIO(content)).to_pylist()
    except (pyarrow.ArrowInvalid, OSError) as error:
        raise UserError(
            f"{file}: not a parquet file that can be read: {_one_line(error)}"
        ) from None


def _json(text: str, file: str) -> list[Any]:
    try:
        records = json.loads(text)
    except json.JSONDecodeError as error:
        raise UserError(f"{file} line {error.lineno}: not JSON: {error.msg}") from None
    if not isinstance(records, list):
        raise UserError(f"{file}: expected a JSON array of objects (one object a line is .jsonl)")
    return records


def _jsonl(text: str, file: str) -> Iterator[Row]:
    # Not splitlines(): it also breaks at U+2028 and the like, which JSON allows inside a string.
    for number, line in enumerate(text.split("\n"), start=1):
        if not line.strip():
            continue
        try:
            record = json.loads(line)
        except json.JSONDecodeError as error:
            raise UserError(f"{file} line {number}: not JSON: {error.msg}") from None
        if not isinstance(record, dict):
            raise UserError(f"{file} line {number}: expected an object with named columns")
        yield Row(file, number, "line", record)


def _lines(text: str, file: str) -> Iterator[Row]:
    for number, line in enumerate(text.split("\n"), start=1):
        if line.strip():
            yield Row(file, number, "line", {"text": line.strip()})


def _separated(text: str, file: str, separator: str, comment: str | None) -> Iterator[Row]:
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=separator, strict=True)
    header: list[str] | None = None
    line = 1
    try:
        for cells in reader:
            # A quoted cell may hold line ends: the record began where the last one ended.
            began, line = line, reader.line_num + 1
            if not cells:
                continue
            if header is None:
                if comment and cells[0].startswith(comment):
                    continue
                header = _header(cells, file)
                continue
            if len(cells) != len(header):
                raise UserError(
                    f"{file} line {began}: {len(cells)} columns where the header has {len(header)}"
                )
            yield Row(file, began, "line", dict(zip(header, cells, strict=True)))
    except csv.Error as error:
        raise UserError(f"{file} line {reader.line_num}: {error}") from None


def _header(cells: list[str], file: str) -> list[str]:
    header = [cell.strip() for cell in cells]
    twice = sorted({name for name in header if header.count(name) > 1})
    if twice:
        raise UserError(f"{file} line 1: the column '{twice[0]}' is there twice")
    return header


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())
