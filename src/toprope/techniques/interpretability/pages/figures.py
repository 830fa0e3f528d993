"""A latent's figures: its scores beside their controls, and the histogram of its activations."""

import math
from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass

from markupsafe import Markup

from toprope.report.figures import IntervalRow, interval_plot
from toprope.report.marks import FAINT, SMALL, line
from toprope.report.svg import drawing, element, label, text_width
from toprope.report.text import DECIMAL, PLAIN
from toprope.statistics import Interval

WIDTH = 340.0
_TOP, _BARS, _RUG, _BELOW = 22.0, 118.0, 9.0, 40.0
_MOST_TICKS = 6


def scores_plot(scores: Sequence[tuple[str, Interval, Sequence[tuple[str, Interval]]]]) -> Markup:
    """Each score, and below it its controls.

    Args:
        scores: (name, score, its named controls).
    """
    rows = []
    for name, score, controls in scores:
        rows.append(IntervalRow(name, score.value, score.low, score.high, emphasis=True))
        rows += [
            IntervalRow(other, one.value, one.low, one.high, kind="control")
            for other, one in controls
        ]
    return interval_plot(
        rows,
        title="Scores and their controls",
        x_label="score",
        numbers=DECIMAL,
        width=WIDTH,
    )


@dataclass(frozen=True)
class _Plot:
    """Bins `first` to `last` across, `decades` of counts upwards."""

    edges: Sequence[float]
    first: int
    last: int
    decades: float
    left: float
    right: float = WIDTH - 8
    bottom: float = _TOP + _BARS

    @property
    def wide(self) -> float:
        return (self.right - self.left) / (self.last - self.first)

    def across(self, place: float) -> float:
        """Where a place in numbers of bins is drawn."""
        return self.left + (min(max(place, self.first), self.last) - self.first) * self.wide

    def up(self, count: float) -> float:
        """Where a bar ends; that of a single count stands a little above the ground."""
        return self.bottom - _BARS * (math.log10(count) + 0.3) / (self.decades + 0.3)

    def place_of(self, value: float) -> float:
        """A value's place in numbers of bins."""
        edges = self.edges
        i = min(max(bisect_right(edges, value) - 1, 0), len(edges) - 2)
        return i + (value - edges[i]) / (edges[i + 1] - edges[i])


def histogram_plot(
    edges: Sequence[float], counts: Sequence[int], peaks: Sequence[float] = ()
) -> Markup:
    """Bars on a logarithmic scale of counts, from the first bin that isn't empty to the last. Bins
    are drawn equally wide: the axis is linear or logarithmic as they are.

    Args:
        edges: of the bins, one more than there are counts.
        peaks: of the examples that are shown, as strokes below the bars.
    """
    filled = [i for i, count in enumerate(counts) if count > 0]
    first, last = (filled[0], filled[-1] + 1) if filled else (0, len(counts))
    decades = max(1.0, math.log10(max(counts) or 1))
    ticks = range(0, int(decades) + 1, 1 + int(decades) // 5)
    names = [f"{10**n:,}" if n < 6 else f"1e{n}" for n in ticks]
    left = 8 + max(text_width(name, SMALL) for name in names)
    plot = _Plot(edges, first, last, decades, left)

    parts = [label("tokens", 0, 12, size=SMALL, class_="muted")]
    for n, name in zip(ticks, names, strict=True):
        y = plot.up(10**n)
        parts.append(line(left, y, plot.right, y, "rule", **FAINT))
        parts.append(label(name, left - 6, y + 4, size=SMALL, anchor="end", class_="muted"))
    parts += [_bar(plot, i, counts[i]) for i in filled]
    for x in (plot.across(plot.place_of(peak)) for peak in peaks):
        ends = (x, plot.bottom + 2, x, plot.bottom + _RUG)
        parts.append(line(*ends, "reference", stroke_opacity=0.5))
    spread = f"{short(edges[first])} to {short(edges[last])}"
    return drawing(
        *parts,
        *_ground(plot),
        title="Histogram of activations",
        description=f"{sum(counts):,} tokens, with activations from {spread}.",
        width=WIDTH,
        height=plot.bottom + _RUG + _BELOW,
    )


def _bar(plot: _Plot, i: int, count: int) -> Markup:
    told = f"{PLAIN.span(plot.edges[i], plot.edges[i + 1])}: {count:,}"
    y = plot.up(count)
    return element(
        "rect",
        element("title", told),
        x=plot.across(i),
        y=y,
        width=max(1.0, plot.wide - 1),
        height=plot.bottom - y,
        class_="result",
        fill_opacity=0.6,
    )


def _ground(plot: _Plot) -> list[Markup]:
    """The axis of activations, its ticks and its name."""
    below = plot.bottom + _RUG
    parts = [line(plot.left, plot.bottom, plot.right, plot.bottom, "axis")]
    for i in _labelled(plot.first, plot.last):
        x, text = plot.across(i), short(plot.edges[i])
        at = min(x, WIDTH - text_width(text, SMALL) / 2)
        parts.append(line(x, plot.bottom, x, below + 4, "axis"))
        parts.append(label(text, at, below + 16, size=SMALL, anchor="middle", class_="muted"))
    name, middle = "activation; strokes: the peaks of the examples", (plot.left + plot.right) / 2
    parts.append(label(name, middle, below + 32, size=SMALL, anchor="middle", class_="muted"))
    return parts


def short(value: float) -> str:
    """Three significant digits at most: 0.25, 4."""
    value = float(f"{value:.3g}")
    return PLAIN.tick(value, abs(value) or 1)


def _labelled(first: int, last: int) -> range:
    """Which edges have their value written: multiples of a power of two, so that bins which divide
    octaves are labelled at these."""
    step = 1
    while (last - first) // step >= _MOST_TICKS:
        step *= 2
    return range(-(-first // step) * step, last + 1, step)
