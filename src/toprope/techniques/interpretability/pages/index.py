"""The index of a dictionary's latents: one table, which is searched and sorted in the page.

Without scripts it's a plain table, whole. Rows are kept light, since a dictionary has many: no
closing tags that HTML doesn't need, numbers as text alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from markupsafe import Markup, escape

from toprope.report.page import Highlight
from toprope.report.text import DECIMAL, Format, clean
from toprope.statistics import Interval
from toprope.techniques.interpretability.pages.html import check_link, document, write
from toprope.techniques.interpretability.pages.page import LatentPage, page_name

INDEX = "index.html"
# Of equal digits, so that the points stand below each other.
_RATE = Format(scale=100, suffix="%", digits=4)
_SHARE = Format(scale=100, suffix="%", digits=0)


@dataclass(frozen=True)
class IndexRow:
    """A latent in a line; `href` of its page, if that is written.

    Attributes:
        control: the score without the label's information, as that which the verdict goes by.
        rate: the share of tokens on which it fires.
        recurrence: the share of other seeds' dictionaries that have it too.
    """

    latent: int
    label: str | None = None
    score: Interval | None = None
    control: Interval | None = None
    interpretable: bool | None = None
    rate: float | None = None
    recurrence: float | None = None
    href: str | None = None

    def __post_init__(self) -> None:
        check_link(self.href)


@dataclass(frozen=True)
class IndexPage:
    """What the index says: of the dictionary, and of each of its latents.

    Attributes:
        facts: short ones, side by side: the model, the layer, the tokens seen.
        score, control: what the columns of that name hold.
        definition: of an interpretable latent.
    """

    dictionary: str
    rows: Sequence[IndexRow]
    facts: Sequence[str] = ()
    score: str = "Score"
    control: str = "Control"
    definition: str | None = None
    highlights: Sequence[Highlight] = ()


def index_row(page: LatentPage) -> IndexRow:
    """A page's line in the index: its main score, and that score's first control."""
    score = page.scores[0] if page.scores else None
    return IndexRow(
        latent=page.latent,
        label=page.label,
        score=score and score.interval,
        control=score.controls[0][1] if score and score.controls else None,
        interpretable=page.interpretable,
        rate=page.rate,
        recurrence=page.recurrence and page.recurrence.share,
        href=page_name(page.latent),
    )


def write_index(index: IndexPage, folder: Path) -> Path:
    """Writes the index and returns its path.

    Raises:
        UserError: the file can't be written.
    """
    return write(folder / INDEX, render(index))


def render(index: IndexPage) -> str:
    """The index as HTML."""
    rows = Markup("\n").join(_row(row) for row in index.rows)
    return document("index.html", script="index.js", index=index, rows=rows)


def _row(row: IndexRow) -> Markup:
    name: str | Markup = str(row.latent)
    if row.href is not None:
        name = Markup('<a href="{}">{}</a>').format(row.href, name)
    cells = [
        escape(clean(row.label or "")),
        _measured(row.score),
        _measured(row.control),
        {True: "yes", False: "no", None: ""}[row.interpretable],
        _rate(row.rate),
        "" if row.recurrence is None else _SHARE.text(row.recurrence),
    ]
    start = Markup("<tr><th scope=row>") + name
    return Markup("<td>").join([start, *cells])


def _rate(rate: float | None) -> str:
    """Of a latent that never fires a bare zero, which isn't taken for a small number."""
    if not rate:
        return "" if rate is None else "0%"
    return _RATE.text(rate)


def _measured(one: Interval | None) -> Markup:
    if one is None:
        return Markup()
    spread = DECIMAL.span(one.low, one.high)
    return Markup("{} <small>{}</small>").format(DECIMAL.text(one.value), spread)
