"""Progress: bars on a terminal, lines elsewhere, nothing when quiet; never on standard output."""

import contextlib
import io
import sys
import time
from collections.abc import Callable

import pytest

from toprope import progress
from toprope.progress import Progress


class Clock:
    """Time that passes only when told."""

    def __init__(self) -> None:
        self.now = 1000.0

    def monotonic(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(progress, "time", clock)
    return clock


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.fixture
def open_terminal(monkeypatch: pytest.MonkeyPatch) -> Callable[[], Terminal]:
    """Makes standard error a terminal of 120 columns, for the rest of the test."""

    def install() -> Terminal:
        terminal = Terminal()
        # Not before the test itself: pytest puts its own standard error in place until then.
        monkeypatch.setattr(sys, "stderr", terminal)
        return terminal

    for name, value in {"TERM": "xterm", "COLUMNS": "120"}.items():
        monkeypatch.setenv(name, value)
    for name in ("NO_COLOR", "TTY_INTERACTIVE", "TTY_COMPATIBLE"):
        monkeypatch.delenv(name, raising=False)
    return install


def test_quiet_shows_nothing(capfd: pytest.CaptureFixture, open_terminal):
    terminal = open_terminal()
    quiet = Progress(quiet=True)
    with quiet.task("reading", 10) as task, quiet.task("inner", 2) as inner:
        task.advance(10)
        inner.advance(2)
        quiet.say("a line")
    assert terminal.getvalue() == ""
    assert tuple(capfd.readouterr()) == ("", "")


def test_a_log_gets_a_line_at_the_start_some_on_the_way_and_one_at_the_end(
    capsys: pytest.CaptureFixture, clock: Clock
):
    with Progress().task("reading", 40) as task:
        clock.now += 14
        task.advance(5)
        clock.now += 6
        task.advance(5)  # a quarter in 20 seconds: the rest takes 60
        clock.now += 1
        task.advance(5)
        clock.now += 60
        task.advance(25)
    out, err = capsys.readouterr()
    assert out == ""
    assert err.splitlines() == [
        "reading ...",
        "reading: 25%, 1:00 left",
        "reading: 100%, 0:00 left",
        "reading: done in 1:21",
    ]


def test_a_log_says_little_of_what_is_quick(capsys: pytest.CaptureFixture, clock: Clock):
    with Progress().task("reading", 2_500_000, unit="B") as task:
        task.advance(2_500_000)
        clock.now += 1
    assert capsys.readouterr().err.splitlines() == ["reading (2 MB) ..."]


def test_a_log_has_nested_tasks_and_what_is_said(capsys: pytest.CaptureFixture, clock: Clock):
    shown = Progress()
    with shown.task("outer", 1):
        with shown.task("inner", 1):
            shown.say("half-way [not markup]")
            clock.now += 5
        clock.now += 5
    assert capsys.readouterr().err.splitlines() == [
        "outer ...",
        "inner ...",
        "half-way [not markup]",
        "inner: done in 0:05",
        "outer: done in 0:10",
    ]


def test_a_task_that_fails_is_not_done(capsys: pytest.CaptureFixture, clock: Clock):
    with contextlib.suppress(RuntimeError), Progress().task("reading", 1):
        clock.now += 60
        raise RuntimeError
    assert capsys.readouterr().err.splitlines() == ["reading ..."]


def test_a_task_of_nothing_ends(capsys: pytest.CaptureFixture, clock: Clock):
    with Progress().task("reading", 0) as task:
        clock.now += 60
        task.advance(0)
    assert capsys.readouterr().err.splitlines() == ["reading ...", "reading: done in 1:00"]


def test_a_terminal_gets_nested_bars_and_lines_above_them(
    capsys: pytest.CaptureFixture, open_terminal
):
    terminal = open_terminal()
    shown = Progress()
    with shown.task("outer [study]", 4) as outer:
        outer.advance(1)
        with shown.task("inner", 2_500_000, unit="B") as inner:
            inner.advance(1_250_000)
            time.sleep(0.3)  # bars are drawn ten times a second
            shown.say("half-way [not markup]")
    drawn = terminal.getvalue()
    for text in ("outer [study]", "inner (2 MB)", " 25%", " 50%", "left", "half-way [not markup]"):
        assert text in drawn
    assert capsys.readouterr().out == ""


def test_a_terminal_is_given_back(open_terminal):
    """The cursor is shown again, after an exception too, and a second task gets its own bars."""
    terminal = open_terminal()
    shown = Progress()
    for _ in range(2):
        with pytest.raises(KeyboardInterrupt), shown.task("outer", 1), shown.task("inner", 1):
            raise KeyboardInterrupt
        drawn = terminal.getvalue()
        assert drawn.rfind("\x1b[?25h") > drawn.rfind("\x1b[?25l") >= 0
        shown.say("a plain line")
        assert terminal.getvalue().endswith("a plain line\n")
