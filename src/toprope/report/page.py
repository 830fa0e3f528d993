"""The report's page: what goes on it, and how it becomes one self-contained HTML file.

`Section` and its parts hold plain text and numbers; only the template knows HTML, and jinja2
escapes everything that passes through it. Figures are `Markup`, escaped as they were built; a plain
string in their place would be shown as text. The page has no script at all, and its
Content-Security-Policy allows nothing but its own style sheet.
"""

import base64
import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from markupsafe import Markup, escape

from toprope.errors import UserError
from toprope.evidence import Cost
from toprope.files import write_text
from toprope.report.text import EN_DASH, clean, counted, duration, in_words

if TYPE_CHECKING:
    from jinja2 import Environment

# The widths a figure is drawn for; the style sheet shows the one that fits.
WIDE, NARROW = 720.0, 340.0


@dataclass(frozen=True)
class Highlight:
    """One of the few numbers that a reader should take away."""

    label: str
    value: str
    note: str = ""
    main: bool = False


class Draw(Protocol):
    """Draws a figure at a width, as `interval_plot` and `line_plot` do once given their data."""

    def __call__(self, *, title: str, width: float) -> Markup: ...


@dataclass(frozen=True)
class Figure:
    """A figure that the page draws at several widths."""

    title: str
    draw: Draw
    caption: str = ""


@dataclass(frozen=True)
class Table:
    """A table whose first column names its rows; `numeric` columns align to the right."""

    caption: str
    columns: Sequence[str]
    rows: Sequence[Sequence[str]]
    numeric: frozenset[int] = frozenset()
    strong: frozenset[int] = frozenset()
    """Which rows stand out."""


@dataclass(frozen=True)
class Section:
    """What one study did and found; all texts are plain, a paragraph or an item each.

    The first paragraph of the summary is the finding, and leads; the others follow the figures.
    """

    title: str
    summary: Sequence[str]
    highlights: Sequence[Highlight] = ()
    figures: Sequence[Figure] = ()
    tables: Sequence[Table] = ()
    limits: Sequence[str] = ()
    details: Sequence[tuple[str, str]] = ()
    """(title, text) pairs that are folded away; a text that is `Markup` is put there as it is."""
    subsections: "Sequence[Section]" = ()
    """Told in full after this section's own tables; one level only."""


@dataclass(frozen=True)
class Machine:
    """Where a run was made; an empty string where that wasn't recorded."""

    cpu: str = ""
    cores: int | None = None
    python: str = ""
    torch: str = ""


@dataclass(frozen=True)
class RunInfo:
    """What the page says of the run as a whole.

    `command` reproduces it, given `config_yaml`; `studies` are (name, seconds) pairs, seconds None
    where not recorded.
    """

    name: str
    created: str
    seed: int | None
    toprope_version: str
    machine: Machine
    command: str
    config_yaml: str
    cost: Cost
    studies: Sequence[tuple[str, float | None]] = ()


def write_report(path: Path, *, run: RunInfo, sections: Sequence[Section]) -> None:
    """Write the page, all of it or nothing.

    Raises:
        UserError: the file can't be written.
    """
    page = render(run, sections)
    try:
        write_text(path, page)
    except OSError as error:
        raise UserError(f"can't write the report {path}: {error.strerror}") from error


def render(run: RunInfo, sections: Sequence[Section]) -> str:
    """The page as HTML."""
    templates = environment()
    style = templates.get_template("style.html").render().strip()
    return templates.get_template("report.html").render(
        run=run,
        sections=sections,
        style=Markup(style),
        style_hash=base64.b64encode(hashlib.sha256(style.encode()).digest()).decode(),
        wide=WIDE,
        narrow=NARROW,
    )


def environment(*packages: str) -> "Environment":
    """The report's templates, and before them those of other packages: whatever isn't `Markup` is
    cleaned and escaped."""
    from jinja2 import ChoiceLoader, Environment, PackageLoader, StrictUndefined

    made = Environment(
        loader=ChoiceLoader([PackageLoader(one) for one in (*packages, "toprope.report")]),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        finalize=lambda value: value if isinstance(value, Markup) else clean(str(value)),
    )
    made.filters.update(duration=duration, counted=counted, in_words=in_words, prose=_prose)
    return made


def _prose(text: str) -> Markup:
    """A paragraph, escaped, in which no range such as 69.0–73.1 is broken between two lines."""
    unbroken = r'<span class="whole">\g<0></span>'
    return Markup(re.sub(rf"[\d.,]+{EN_DASH}[\d.,]*\d", unbroken, str(escape(clean(text)))))
