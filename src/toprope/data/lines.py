"""The lines of a file that has a record in each, for readers that say where a bad one stands."""

from collections.abc import Iterator
from pathlib import Path

from toprope.errors import UserError


def lines_of(path: Path) -> Iterator[tuple[str, str]]:
    """A file's lines that aren't blank, each after where it stands, for messages.

    Raises:
        UserError: the file can't be read.
    """
    try:
        with path.open(encoding="utf-8", newline="\n") as lines:
            for number, line in enumerate(lines, 1):
                if line.strip():
                    yield f"{path} line {number}", line
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"can't read {path}: {getattr(error, 'strerror', error)}") from None
