"""Counts of a server in Prometheus' text format: numbers and a few fixed words, never text of an
exchange.

https://prometheus.io/docs/instrumenting/exposition_formats/
"""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter, defaultdict
from collections.abc import Mapping

COUNTERS = {
    "toprope_guard_exchanges_total": "Exchanges that have ended, by outcome.",
    "toprope_guard_flags_total": "Exchanges that were stopped, by the guard's stage.",
    "toprope_guard_near_flags_total": "Exchanges that came near being stopped, and weren't.",
    "toprope_guard_errors_total": "Exchanges that ended in an error, by its kind.",
    "toprope_guard_lockouts_total": "Times that a caller was locked out.",
    "toprope_guard_unguarded_total": "Exchanges that went on after the guard itself had failed.",
    "toprope_guard_pieces_total": "Pieces of answers that the guard has read and passed.",
}
SECONDS = "toprope_guard_watch_seconds"
OPEN = "toprope_guard_open_exchanges"
FAILS_OPEN = "toprope_guard_fails_open"
MEDIA_TYPE = "text/plain; version=0.0.4; charset=utf-8"

BOUNDS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0)
"""Of the histogram, in seconds."""


class Metrics:
    """What one server has counted."""

    def __init__(self) -> None:
        self._counts: Counter[tuple[str, str]] = Counter()
        self._buckets: dict[str, list[int]] = {}
        self._sums: defaultdict[str, float] = defaultdict(float)

    def count(self, name: str, labels: Mapping[str, str] | None = None, by: int = 1) -> None:
        """
        Raises:
            KeyError: no counter has that name.
        """
        COUNTERS[name]
        self._counts[name, _labels(labels or {})] += by

    def took(self, reads: str, seconds: float) -> None:
        """The guard read a prompt, a piece or an end: `reads`, one of a few words."""
        buckets = self._buckets.setdefault(reads, [0] * (len(BOUNDS) + 1))
        buckets[bisect_left(BOUNDS, seconds)] += 1
        self._sums[reads] += seconds

    def text(self, *, open_exchanges: int, fails_open: bool) -> str:
        """All of it, as Prometheus reads it."""
        lines = []
        for name, about in COUNTERS.items():
            lines += [f"# HELP {name} {about}", f"# TYPE {name} counter"]
            counted = [(labels, n) for (one, labels), n in self._counts.items() if one == name]
            lines += [f"{name}{labels} {n}" for labels, n in sorted(counted)]
        lines += [
            f"# HELP {SECONDS} How long the guard read, by what it read.",
            f"# TYPE {SECONDS} histogram",
        ]
        for reads, buckets in sorted(self._buckets.items()):
            lines += _histogram(reads, buckets, self._sums[reads])
        lines += [
            f"# HELP {OPEN} Exchanges under way.",
            f"# TYPE {OPEN} gauge",
            f"{OPEN} {open_exchanges}",
            f"# HELP {FAILS_OPEN} 1: where the guard itself fails, answers go on unguarded.",
            f"# TYPE {FAILS_OPEN} gauge",
            f"{FAILS_OPEN} {int(fails_open)}",
        ]
        return "\n".join(lines) + "\n"


def _histogram(reads: str, buckets: list[int], total: float) -> list[str]:
    lines, so_far = [], 0
    for bound, count in zip([*map(str, BOUNDS), "+Inf"], buckets, strict=True):
        so_far += count
        lines.append(f"{SECONDS}_bucket{_labels({'reads': reads, 'le': bound})} {so_far}")
    of = _labels({"reads": reads})
    return [*lines, f"{SECONDS}_sum{of} {total:.6f}", f"{SECONDS}_count{of} {so_far}"]


def _labels(labels: Mapping[str, str]) -> str:
    if not labels:
        return ""
    return "{" + ",".join(f'{name}="{_escaped(value)}"' for name, value in labels.items()) + "}"


def _escaped(value: str) -> str:
    return value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
