"""The report's figures: pure functions from numbers to SVG.

`interval_plot` is a forest plot: a dot with its whisker a row. `line_plot` shows curves with their
bands. Both take the `width` they are drawn for and lay themselves out by it, because a drawing that
is only scaled down to a phone can't be read: the page shows one at 720 units where there is room
and one at 340 on a phone. Lines and text are drawn in currentColor; classes (`result`, `control`,
`muted`, ...) are what a page may colour.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from markupsafe import Markup

from toprope.report.axes import Axis, axis_over
from toprope.report.marks import (
    FAINT,
    KINDS,
    SMALL,
    Kind,
    legend,
    line,
    mark,
    path,
    spread_labels,
    stroke,
    x_axis,
)
from toprope.report.measured import NOT_MEASURABLE
from toprope.report.svg import drawing, element, label, text_width, wrap
from toprope.report.text import PERCENT, PLAIN, Format, sentence

SIZE = 13.0
# Below this width a row's label and value stand above its whisker instead of beside it.
STACKED_BELOW = 520.0
_DASHES = ("none", "6 3", "2 3", "9 3 2 3")


@dataclass(frozen=True)
class IntervalRow:
    """One row of an interval plot; `value` None where it can't be measured (`note` says why)."""

    label: str
    value: float | None
    low: float | None = None
    high: float | None = None
    kind: Kind = "result"
    note: str = ""
    points: Sequence[float] = ()
    """Single runs (say, a seed each), drawn lightly behind the dot."""
    emphasis: bool = False


@dataclass(frozen=True)
class ReferenceLine:
    """A vertical line through all rows, labelled above them."""

    value: float
    label: str


@dataclass(frozen=True)
class Series:
    """One curve; a y that isn't finite interrupts it. `low` and `high` are its band, or empty."""

    label: str
    x: Sequence[float]
    y: Sequence[float]
    low: Sequence[float] = ()
    high: Sequence[float] = ()
    kind: Kind = "result"


@dataclass(frozen=True)
class _Layout:
    """Where the parts of an interval plot's rows stand.

    `labels` is how wide a label may be, `lines` how many lines the longest of them needs.
    """

    stacked: bool
    labels: float
    lines: int
    plot_left: float
    plot_right: float

    @property
    def row(self) -> float:
        """How high a row is."""
        return 32 + 14 * self.stacked + (14 if self.stacked else 8) * (self.lines - 1)

    def whisker(self, top: float) -> float:
        """The height of the whisker in a row that begins at `top`."""
        return top + self.row - 13 if self.stacked else top + self.row / 2

    def baseline(self, top: float, lines: int) -> float:
        """The height of the first of so many lines of text."""
        return top + 18 if self.stacked else top + self.row / 2 + 4.5 - 7.5 * (lines - 1)


def interval_plot(
    rows: Sequence[IntervalRow],
    *,
    title: str,
    x_label: str,
    description: str = "",
    numbers: Format = PERCENT,
    x_range: tuple[float, float] | None = None,
    reference_lines: Sequence[ReferenceLine] = (),
    shaded: tuple[float, float] | None = None,
    width: float = 720,
) -> Markup:
    """A row a number: its label, a dot with a whisker from low to high, and the number in words.

    Args:
        title, description: what a screen reader says.
        x_range: what the axis covers; by default all that is drawn. A whisker that leaves it ends
            in an arrow.
        shaded: a part of the axis to set off lightly, such as the gap between supervisor and
            ceiling.
        width: of the drawing, in user units (pixels at scale 1).
    """
    layout = _layout(rows, numbers, width)
    axis = axis_over(
        _extent(rows, reference_lines),
        layout.plot_left,
        layout.plot_right,
        limits=x_range,
        ticks=4 if layout.stacked else 6,
    )
    names, top = _reference_names(
        [each for each in reference_lines if axis.holds(each.value)], axis
    )
    tops = [top + index * layout.row for index in range(len(rows))]
    bottom = top + layout.row * len(rows)
    # Where labels stand above the whiskers, nothing is drawn behind their text.
    lanes = [(y + layout.row - 23, y + layout.row) for y in tops]
    if not layout.stacked:
        lanes = [(top, bottom)]

    parts = [part for lane in lanes for part in _background(axis, lane, reference_lines, shaded)]
    parts += [line(0, y, width, y, "rule", **FAINT) for y in tops[1:]]
    for row, y in zip(rows, tops, strict=True):
        parts.append(_interval_row(row, axis, layout, numbers, y, width))
    kinds: list[Kind] = [kind for kind in KINDS if any(row.kind == kind for row in rows)]
    entries = [(mark(kind, 0, 0, 4.5), str(kind)) for kind in kinds] if len(kinds) > 1 else []
    symbols, taken = legend(entries, layout.plot_left, width, bottom + 46)
    return drawing(
        *names,
        *parts,
        *x_axis(axis, bottom, x_label, numbers, width),
        *symbols,
        title=title,
        description=description or _in_words(rows, numbers),
        width=width,
        height=bottom + 48 + taken,
    )


def line_plot(
    series: Sequence[Series],
    *,
    title: str,
    x_label: str,
    y_label: str,
    description: str = "",
    x_numbers: Format = PLAIN,
    y_numbers: Format = PERCENT,
    width: float = 720,
    height: float = 320,
) -> Markup:
    """Curves over one x axis, each with its band, told apart by dash and mark as well as colour."""
    values = [value for one in series for part in (one.y, one.low, one.high) for value in part]
    top, bottom = 26.0, height - 50
    up = axis_over(values, bottom, top)
    left = 10 + max(text_width(y_numbers.tick(tick, up.step), SMALL) for tick in up.ticks)
    ticks = 4 if width < STACKED_BELOW else 7
    across = axis_over([x for one in series for x in one.x], left, width - 12, ticks=ticks)

    parts = [label(y_label, 0, 12, size=SMALL, class_="muted")]
    for tick in up.ticks:
        y = up.place(tick)
        parts.append(line(left, y, width - 12, y, "rule", **FAINT))
        text = y_numbers.tick(tick, up.step)
        parts.append(label(text, left - 6, y + 4, size=SMALL, anchor="end", class_="muted"))
    parts += [_band(one, across, up) for one in series if one.low and one.high]
    parts += [_curve(one, _DASHES[i % len(_DASHES)], across, up) for i, one in enumerate(series)]
    parts += x_axis(across, bottom, x_label, x_numbers, width)
    entries = [
        (_key(one.kind, _DASHES[i % len(_DASHES)]), one.label) for i, one in enumerate(series)
    ]
    symbols, taken = legend(entries, left, width, bottom + 46)
    return drawing(
        *parts,
        *symbols,
        title=title,
        description=description or f"Curves: {', '.join(one.label for one in series)}.",
        width=width,
        height=bottom + 44 + taken + 4,
    )


def _layout(rows: Sequence[IntervalRow], numbers: Format, width: float) -> _Layout:
    values = max((text_width(_value(row, numbers), SIZE) for row in rows), default=0.0)
    longest = max((text_width(row.label, SIZE) for row in rows), default=0.0)
    stacked = width < STACKED_BELOW
    room = width - values - 14 if stacked else min(longest, 0.34 * width)
    left, right = (8, width - 8) if stacked else (room + 24, width - values - 22)
    return _Layout(stacked, room, 2 if longest > room else 1, left, right)


def _extent(rows: Sequence[IntervalRow], lines: Sequence[ReferenceLine]) -> list[float]:
    ends = [end for row in rows for end in (row.value, row.low, row.high, *row.points)]
    return [end for end in (*ends, *(each.value for each in lines)) if end is not None]


def _interval_row(
    row: IntervalRow, axis: Axis, layout: _Layout, numbers: Format, top: float, width: float
) -> Markup:
    weight = "600" if row.emphasis else "400"
    lines = wrap(row.label, layout.labels, SIZE, layout.lines)
    baseline, y = layout.baseline(top, len(lines)), layout.whisker(top)
    parts = [element("title", _spoken(row, numbers))]
    parts += [
        label(text, 0, baseline + 15 * index, size=SIZE, font_weight=weight)
        for index, text in enumerate(lines)
    ]
    style = {"font_weight": weight, "class_": "muted" if row.value is None else "value"}
    value = _value(row, numbers)
    parts.append(label(value, width, layout.baseline(top, 1), size=SIZE, anchor="end", **style))
    parts += [
        element("circle", cx=axis.place(point), cy=y, r=2.5, class_=row.kind, fill_opacity=0.35)
        for point in row.points
    ]
    if row.value is not None:
        parts += _whisker(row, axis, y)
        if axis.holds(row.value):
            parts.append(mark(row.kind, axis.place(row.value), y))
    return element("g", *parts)


def _whisker(row: IntervalRow, axis: Axis, y: float) -> list[Markup]:
    if row.low is None or row.high is None:
        return []
    low, high = axis.place(row.low), axis.place(row.high)
    weight = 2.5 if row.emphasis else 1.75
    parts = [line(low, y, high, y, row.kind, weight=weight)]
    for end, value, inward in ((low, row.low, 5), (high, row.high, -5)):
        if axis.holds(value):
            parts.append(line(end, y - 4, end, y + 4, row.kind, weight=weight))
        else:
            arrow = ((end + inward, y - 4), (end, y), (end + inward, y + 4))
            parts.append(stroke(arrow, row.kind, weight))
    return parts


def _reference_names(lines: Sequence[ReferenceLine], axis: Axis) -> tuple[list[Markup], float]:
    """The reference lines' names above the plot, and where that leaves the plot's top."""
    places = [(axis.place(each.value), each.label) for each in lines]
    spread = spread_labels(places, axis.start, axis.end, SMALL)
    top = 6.0 + 16 * (1 + max((level for _, level in spread), default=-1))
    names = [
        label(each.label, x, top - 7 - 16 * level, size=SMALL, anchor="middle", class_="muted")
        for each, (x, level) in zip(lines, spread, strict=True)
    ]
    return names, top


def _background(
    axis: Axis,
    lane: tuple[float, float],
    lines: Sequence[ReferenceLine],
    shaded: tuple[float, float] | None,
) -> list[Markup]:
    """What a lane of whiskers, from one height to another, stands on."""
    top, bottom = lane
    parts = []
    if shaded:
        left, right = sorted(axis.place(end) for end in shaded)
        size = {"width": right - left, "height": bottom - top}
        parts.append(element("rect", x=left, y=top, **size, class_="result", fill_opacity=0.08))
    for tick in axis.ticks:
        x = axis.place(tick)
        parts.append(line(x, top, x, bottom, "rule", **FAINT))
    for x in (axis.place(each.value) for each in lines if axis.holds(each.value)):
        parts.append(line(x, top, x, bottom, "reference", stroke_dasharray="3 3"))
    return parts


def _band(one: Series, across: Axis, up: Axis) -> Markup:
    edge = list(zip(one.x, one.low, strict=True))
    edge += reversed(list(zip(one.x, one.high, strict=True)))
    corners = ((across.place(x), up.place(y)) for x, y in edge if math.isfinite(y))
    return element("polygon", points=path(corners), class_=one.kind, fill_opacity=0.12)


def _curve(one: Series, dash: str, across: Axis, up: Axis) -> Markup:
    parts = [element("title", one.label)]
    piece: list[tuple[float, float]] = []
    for x, y in (*zip(one.x, one.y, strict=True), (math.nan, math.nan)):
        if math.isfinite(y):
            piece.append((across.place(x), up.place(y)))
            continue
        if piece:
            parts.append(stroke(piece, one.kind, 2, stroke_dasharray=dash))
            parts += [mark(one.kind, *point, 3.5) for point in piece]
        piece = []
    return element("g", *parts)


def _key(kind: Kind, dash: str) -> Markup:
    return element(
        "g", line(-8, 0, 10, 0, kind, weight=2, stroke_dasharray=dash), mark(kind, 1, 0, 3.5)
    )


def _value(row: IntervalRow, numbers: Format) -> str:
    if row.value is None:
        return NOT_MEASURABLE
    if row.low is None or row.high is None:
        return numbers.text(row.value)
    return numbers.with_interval(row.value, row.low, row.high)


def _spoken(row: IntervalRow, numbers: Format) -> str:
    return " ".join(filter(None, (f"{row.label}: {sentence(_value(row, numbers))}", row.note)))


def _in_words(rows: Sequence[IntervalRow], numbers: Format) -> str:
    return " ".join(sentence(f"{row.label}: {_value(row, numbers)}") for row in rows)
