"""How tests get at the fake study of `fakes`: in this process, or in one that they can kill."""

import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from toprope.study import STUDIES

FAKES = Path(__file__).with_name("fakes")


@pytest.fixture
def fake_study(monkeypatch: pytest.MonkeyPatch) -> str:
    """The name of a study that needs no models, known in this process for one test."""
    add_fake_study(monkeypatch)
    return "fake_study"


def add_fake_study(patch: pytest.MonkeyPatch) -> None:
    """Enters the fake study among those of this process, until the patch is undone."""
    patch.syspath_prepend(FAKES)
    patch.setitem(STUDIES, "fake_study", "fake_technique.study:FakeStudy")


def start(*arguments: object, **options: Any) -> subprocess.Popen[str]:
    """`toprope ARGUMENTS` in a process of its own, with the fake study.

    It hears Ctrl-C even where these tests were started in the background, deaf to it.
    """
    command = [sys.executable, FAKES / "toprope_with_fakes.py", *map(str, arguments)]
    was = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        return subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, **options
        )
    finally:
        signal.signal(signal.SIGINT, was)


def ladder(*data: str, name: str = "a-run", **settings: Any) -> dict[str, Any]:
    """A ladder of one rung with a fake study for each of `data`."""
    studies = [{"fake_study": {"data": one, **settings}} for one in data]
    return {
        "name": name,
        "rungs": [{"overseer": "fake-weak", "target": "fake-strong", "studies": studies}],
    }


def runs_of(folder: Path) -> list[str]:
    """The data of every fake study that was begun in a run's folder, in order."""
    log = folder / "artifacts" / "runs.log"
    return log.read_text().split() if log.exists() else []
