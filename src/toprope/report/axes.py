"""A linear axis: its range, its ticks, and how a value becomes a place on the page."""

import math
from collections.abc import Iterable
from dataclasses import dataclass

# What a tick may be a multiple of, times a power of ten.
_STEPS = (1, 2, 2.5, 5, 10)


@dataclass(frozen=True)
class Axis:
    """Maps values `low..high` to places `start..end`, in user units of the drawing.

    Where `end < start` it runs the other way, as a vertical axis does in SVG.
    """

    low: float
    high: float
    start: float
    end: float
    ticks: tuple[float, ...]

    def place(self, value: float) -> float:
        """Where a value is drawn; a value outside the range is drawn at its edge."""
        value = min(max(value, self.low), self.high)
        return self.start + (self.end - self.start) * (value - self.low) / (self.high - self.low)

    def holds(self, value: float) -> bool:
        return self.low <= value <= self.high

    @property
    def step(self) -> float:
        """The distance between two ticks."""
        return self.ticks[1] - self.ticks[0] if len(self.ticks) > 1 else self.high - self.low


def axis_over(
    values: Iterable[float],
    start: float,
    end: float,
    *,
    limits: tuple[float, float] | None = None,
    ticks: int = 5,
) -> Axis:
    """An axis over all the values, widened to whole ticks, or over `limits` exactly.

    Args:
        values: what must fit; not looked at where limits are given.
        ticks: about how many ticks there is room for (at least 2).
    """
    low, high = limits or _range(values)
    step = _step((high - low) / max(1, ticks - 1))
    if limits is None:
        low, high = step * math.floor(low / step + 1e-9), step * math.ceil(high / step - 1e-9)
    first, last = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)
    return Axis(low, high, start, end, tuple(step * k for k in range(first, last + 1)))


def _range(values: Iterable[float]) -> tuple[float, float]:
    finite = [value for value in values if math.isfinite(value)]
    if not finite:
        return 0.0, 1.0
    low, high = min(finite), max(finite)
    if high - low > 1e-9 * max(1.0, abs(low), abs(high)):
        return low, high
    # One value alone: an axis around it, so that it's drawn in the middle.
    margin = abs(low) / 10 or 1.0
    return low - margin, high + margin


def _step(least: float) -> float:
    """The smallest round number of at least `least`."""
    power = 10.0 ** math.floor(math.log10(least))
    return power * next(step for step in _STEPS if step * power >= least * (1 - 1e-9))
