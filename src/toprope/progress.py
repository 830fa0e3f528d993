"""Progress with time left, for anything that takes over two seconds.

On a terminal: a bar on standard error. Elsewhere (a CI log, a file): a line when a task begins, at
most one every `LOG_SECONDS`, and one when it ends. `Progress(quiet=True)` shows nothing. Standard
output stays free for results.
"""

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol

LOG_SECONDS = 15.0


class Task(Protocol):
    """One thing under way."""

    def advance(self, amount: float = 1) -> None: ...


class Progress:
    """Shows tasks as they advance; tasks may nest. With `quiet`, shows nothing."""

    def __init__(self, *, quiet: bool = False) -> None:
        self.quiet = quiet
        self._bars = None
        self._open = 0

    @contextmanager
    def task(self, description: str, total: float, *, unit: str = "") -> Iterator[Task]:
        """A task of `total` steps; `unit="B"` says that the steps are bytes."""
        if self.quiet:
            yield _Silent()
            return
        if not sys.stderr.isatty():
            yield from _logged(description, total, unit)
            return
        bars = self._enter_bars()
        size = f" ({total / 1e6:.0f} MB)" if unit == "B" else ""
        bar = bars.add_task(description + size, total=total)
        try:
            yield _Bar(bars, bar)
        finally:
            bars.remove_task(bar)
            self._leave_bars()

    def say(self, line: str) -> None:
        """One line for the user, above the bars."""
        if self.quiet:
            return
        if self._bars is not None:
            self._bars.console.print(line, markup=False, highlight=False)
        else:
            print(line, file=sys.stderr, flush=True)

    def _enter_bars(self):
        from rich.console import Console
        from rich.progress import (
            BarColumn,
            Progress,
            TaskProgressColumn,
            TextColumn,
            TimeElapsedColumn,
            TimeRemainingColumn,
        )

        if self._bars is None:
            self._bars = Progress(
                TextColumn("{task.description}", markup=False),
                BarColumn(bar_width=28),
                TaskProgressColumn(),
                TimeElapsedColumn(),
                TextColumn("left"),
                TimeRemainingColumn(),
                console=Console(stderr=True),
                transient=True,
            )
            self._bars.start()
        self._open += 1
        return self._bars

    def _leave_bars(self) -> None:
        self._open -= 1
        if self._open == 0 and self._bars is not None:
            self._bars.stop()
            self._bars = None


class _Silent:
    def advance(self, amount: float = 1) -> None:
        pass


class _Bar:
    def __init__(self, bars, bar) -> None:
        self._bars, self._bar = bars, bar

    def advance(self, amount: float = 1) -> None:
        self._bars.advance(self._bar, amount)


class _Log:
    def __init__(self, description: str, total: float) -> None:
        self.description, self.total = description, total
        self.done = 0.0
        self.began = self.printed = time.monotonic()

    def advance(self, amount: float = 1) -> None:
        self.done += amount
        now = time.monotonic()
        if now - self.printed < LOG_SECONDS or not self.done:
            return
        self.printed = now
        left = (now - self.began) * max(0.0, self.total / self.done - 1)
        share = 100 * self.done / self.total if self.total else 100
        _print(f"{self.description}: {share:.0f}%, {_clock(left)} left")


def _logged(description: str, total: float, unit: str) -> Iterator[Task]:
    log = _Log(description, total)
    size = f" ({total / 1e6:.0f} MB)" if unit == "B" else ""
    _print(f"{description}{size} ...")
    yield log
    took = time.monotonic() - log.began
    if took > 2:
        _print(f"{description}: done in {_clock(took)}")


def _print(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def _clock(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes}:{rest:02d}"
