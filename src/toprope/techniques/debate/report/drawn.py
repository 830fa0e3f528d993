"""Figures and tables that the sections on debates share; what has no numbers isn't drawn."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial

from toprope.evidence import Evidence
from toprope.report.figures import IntervalRow, ReferenceLine, Series, interval_plot, line_plot
from toprope.report.measured import Measured
from toprope.report.page import Figure, Highlight, Table
from toprope.report.sections import interval_row
from toprope.report.text import PERCENT, POINTS, Format, capitalised, in_words, level_name
from toprope.techniques.debate.report.results import (
    Results,
    arm_name,
    numbers_for,
    shown,
    value_text,
)

# Beyond this a figure shows a whisker's direction only: a small gap makes shares of it endless.
_SHARES = (-1.0, 2.0)


@dataclass(frozen=True)
class _Whole(Format):
    """Ticks at whole numbers only: there is no round one and a half."""

    def tick(self, value: float, step: float) -> str:
        return f"{value:.0f}" if abs(value - round(value)) < 1e-9 else ""


@dataclass(frozen=True)
class _Bare(Format):
    """Ticks without their unit, which is too long to stand at each of them."""

    def tick(self, value: float, step: float) -> str:
        return Format(self.scale, "", self.digits).tick(value, step)


WHOLE = _Whole()
POINTS_OF_ACCURACY = _Bare(POINTS.scale, POINTS.suffix, POINTS.digits)
DIFFERENCE = "difference in accuracy, in points"

# The first curve stands out; the others differ from it and from each other.
_KINDS = ("result", "reference", "control", "diagnostic")
MOST_CURVES = len(_KINDS)


def card(label: str, number: Measured, *, main: bool = False) -> Highlight:
    """One of the numbers to take away, with its interval."""
    span = numbers_for(number.row.metric).span(number.low, number.high)
    note = f"{span} ({level_name([number.row.level])})"
    return Highlight(label, value_text(number.row), note, main)


def intervals(
    title: str,
    rows: Sequence[IntervalRow],
    x_label: str,
    caption: str = "",
    *,
    numbers: Format = PERCENT,
    lines: Sequence[ReferenceLine] = (),
    shaded: tuple[float, float] | None = None,
    as_shares: bool = False,
) -> list[Figure]:
    """A row a number; no figure where none could be measured.

    Args:
        as_shares: the axis stays within what shares of a gap can sensibly be.
    """
    ends = [end for row in rows for end in (row.low, row.high) if end is not None]
    if not ends:
        return []
    beyond = as_shares and (min(ends) < _SHARES[0] or max(ends) > _SHARES[1])
    draw = partial(
        interval_plot,
        rows,
        x_label=x_label,
        numbers=numbers,
        reference_lines=lines,
        shaded=shaded,
        x_range=_SHARES if beyond else None,
    )
    return [Figure(title, draw, caption)]


def curves(
    title: str,
    series: Sequence[Series],
    x_label: str,
    y_label: str,
    caption: str = "",
    *,
    x_numbers: Format = WHOLE,
    y_numbers: Format = PERCENT,
) -> list[Figure]:
    """Lines with their bands; no figure where the first has less than two points."""
    if not series or len(series[0].x) < 2:
        return []
    draw = partial(
        line_plot,
        series,
        x_label=x_label,
        y_label=y_label,
        x_numbers=x_numbers,
        y_numbers=y_numbers,
    )
    return [Figure(title, draw, caption)]


def curve(name: str, points: Sequence[tuple[float, Evidence]]) -> Series:
    """A curve through measured rows."""
    return Series(
        name,
        [x for x, _ in points],
        [row.value or 0.0 for _, row in points],
        [row.low or 0.0 for _, row in points],
        [row.high or 0.0 for _, row in points],
    )


def told_apart(series: Sequence[Series]) -> list[Series]:
    """At most `MOST_CURVES` of them, the first as the one that stands out, and it alone in a band
    where there are more than two: bands over bands can't be read."""
    few = series[:MOST_CURVES]
    drawn = [replace(one, kind=kind) for one, kind in zip(few, _KINDS, strict=False)]
    if len(drawn) < 3:
        return drawn
    return [drawn[0], *(replace(one, low=(), high=()) for one in drawn[1:])]


def labelled(
    rows: Sequence[Evidence], name: Callable[[str], str] = arm_name, *, main: str = ""
) -> list[IntervalRow]:
    """Rows of a figure, by their arms' names.

    Args:
        main: the arm that stands out.
    """
    return [replace(interval_row(row, name(row.arm)), emphasis=row.arm == main) for row in rows]


def table(
    caption: str,
    results: Results,
    columns: Sequence[tuple[str, str]],
    *,
    arms: Sequence[str] | None = None,
    name: Callable[[str], str] = arm_name,
    main: str = "",
) -> list[Table]:
    """A row an arm, a column a metric; arms and columns without any number are left out.

    Args:
        columns: a metric and its title each.
    """
    named = results.arms if arms is None else arms
    kept = [(m, title) for m, title in columns if any(results.get(arm, m) for arm in named)]
    lines = [
        (arm, [shown(results.get(arm, metric)) for metric, _ in kept])
        for arm in named
        if any(results.get(arm, metric) for metric, _ in kept)
    ]
    if not lines:
        return []
    return [
        Table(
            caption,
            ("", *(title for _, title in kept)),
            [[name(arm), *cells] for arm, cells in lines],
            numeric=frozenset(range(1, len(kept) + 1)),
            strong=frozenset(i for i, (arm, _) in enumerate(lines) if arm == main),
        )
    ]


def not_measurable(results: Results, name: Callable[[str], str] = arm_name) -> list[Table]:
    """Every number that there is none of, and why; those of one reason together."""
    reasons: dict[tuple[str, str], list[str]] = {}
    for row in results.setting.rows:
        if row.value is None:
            why = row.notes or "no reason was recorded"
            reasons.setdefault((row.arm, why), []).append(in_words(row.metric))
    lines = [
        [name(arm), capitalised(", ".join(metrics)), why] for (arm, why), metrics in reasons.items()
    ]
    if not lines:
        return []
    return [Table("What couldn't be measured, and why", ("", "Measure", "Reason"), lines)]
