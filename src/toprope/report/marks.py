"""What figures are drawn with: a mark for each kind of number, strokes, an axis, a legend.

Each kind has its own shape, so that a figure also reads without its colours.
"""

from collections.abc import Iterable, Sequence
from typing import Literal, get_args

from markupsafe import Markup

from toprope.report.axes import Axis
from toprope.report.svg import element, label, text_width
from toprope.report.text import Format

# What a row or a curve shows: a method under test, what it's compared with, a line the eye compares
# all with, or a number that only helps to explain.
Kind = Literal["result", "control", "reference", "diagnostic"]
KINDS: tuple[Kind, ...] = get_args(Kind)

SMALL = 11.5
FAINT: dict[str, float] = {"stroke_opacity": 0.14}
_LEGEND_LINE = 20.0
# A page gives hollow marks its own background as their fill.
_HOLLOW: dict[str, str | float] = {"fill": "white", "stroke": "currentColor", "stroke_width": 1.75}


def mark(kind: Kind, x: float, y: float, radius: float = 5) -> Markup:
    """A filled circle for a result, hollow for a control, a diamond or a triangle for the rest."""
    if kind == "result":
        return element("circle", cx=x, cy=y, r=radius, class_=kind, fill="currentColor")
    hollow = _HOLLOW | {"class_": f"{kind} hollow"}
    if kind == "control":
        return element("circle", cx=x, cy=y, r=radius - 0.5, **hollow)
    if kind == "reference":
        reach = radius + 1
        corners = ((x, y - reach), (x + reach, y), (x, y + reach), (x - reach, y))
    else:
        corners = ((x, y - radius), (x + radius, y + radius - 1), (x - radius, y + radius - 1))
    return element("polygon", points=path(corners), **hollow)


def path(points: Iterable[tuple[float, float]]) -> str:
    """The `points` attribute of a polyline or polygon."""
    return " ".join(f"{x:.2f},{y:.2f}" for x, y in points)


def line(
    x1: float,
    y1: float,
    x2: float,
    y2: float,
    class_: str,
    *,
    weight: float = 1,
    **more: str | float,
) -> Markup:
    """A straight stroke of a class, `weight` units thick."""
    ends = {"x1": x1, "y1": y1, "x2": x2, "y2": y2}
    return element(
        "line", **ends, class_=class_, stroke="currentColor", stroke_width=weight, **more
    )


def stroke(
    points: Sequence[tuple[float, float]], class_: str, weight: float, **more: str
) -> Markup:
    """A line through points."""
    drawn = {"class_": class_, "fill": "none", "stroke": "currentColor", "stroke_width": weight}
    return element("polyline", points=path(points), **drawn, **more)


def x_axis(axis: Axis, y: float, x_label: str, numbers: Format, width: float) -> list[Markup]:
    """A horizontal axis at height y, its ticks and its name, within a drawing of that width."""
    parts = [line(axis.start, y, axis.end, y, "axis")]
    for tick in axis.ticks:
        x, text = axis.place(tick), numbers.tick(tick, axis.step)
        half = text_width(text, SMALL) / 2
        # At the drawing's edges half of a centred label would be cut off.
        at = min(max(x, half), width - half)
        parts.append(line(x, y, x, y + 4, "axis"))
        parts.append(label(text, at, y + 17, size=SMALL, anchor="middle", class_="muted"))
    middle = (axis.start + axis.end) / 2
    parts.append(label(x_label, middle, y + 35, size=SMALL, anchor="middle", class_="muted"))
    return parts


def legend(
    entries: Sequence[tuple[Markup, str]], left: float, right: float, top: float
) -> tuple[list[Markup], float]:
    """Marks with their names, in as many lines as they need.

    Args:
        entries: each mark, drawn around (0, 0), and its name.

    Returns:
        The drawn entries, and the height that they took.
    """
    drawn, x, y = [], left, top
    for symbol, name in entries:
        wide = 22 + text_width(name, SMALL) + 16
        if x > left and x + wide > right:
            x, y = left, y + _LEGEND_LINE
        drawn.append(element("g", symbol, transform=f"translate({x + 8:.2f} {y + 8:.2f})"))
        drawn.append(label(name, x + 22, y + 12, size=SMALL, class_="muted"))
        x += wide
    return drawn, y + _LEGEND_LINE - top if entries else 0.0


def spread_labels(
    places: Sequence[tuple[float, str]], left: float, right: float, size: float
) -> list[tuple[float, int]]:
    """Centres and lines for labels above a figure, so that none overlap or leave it.

    Args:
        places: (where the label points to, its text), in any order.

    Returns:
        For each label its centre and its line, 0 the nearest to the figure.
    """
    ends: list[float] = []
    spread: dict[int, tuple[float, int]] = {}
    for index in sorted(range(len(places)), key=lambda i: places[i][0]):
        x, text = places[index]
        half = text_width(text, size) / 2
        centre = min(max(x, left + half), max(left + half, right - half))
        free = next((n for n, end in enumerate(ends) if centre - half >= end + 8), len(ends))
        if free == len(ends):
            ends.append(0.0)
        ends[free] = centre + half
        spread[index] = (centre, free)
    return [spread[index] for index in range(len(places))]
