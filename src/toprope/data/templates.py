"""Filling a prompt or a group name from a row's columns."""

import re

from toprope.data.rows import Row

_SLOT = re.compile(r"\{\{|\}\}|\{([^{}]+)\}")


def fill(template: str, row: Row) -> str:
    """The template with each `{column}` as the row's text; without any, the column so named.

    `{{` and `}}` are braces.

    Not `str.format`: a data file must not reach attributes or format specifications through a
    column's name.

    Raises:
        UserError: no such column, with the nearest.
    """
    if not _SLOT.search(template):
        return row.text(template)
    return _SLOT.sub(lambda slot: row.text(slot[1]) if slot[1] else slot[0][0], template)
