"""The command line in this process, in a folder of its own, with the fake study."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import CliRunner, Result

from toprope.cli import main

from ..fake_studies import fake_study, ladder  # noqa: F401

Run = Callable[..., Result]


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where commands are given: relative paths are below it."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "100")
    return tmp_path


@pytest.fixture
def toprope(fake_study: str) -> Run:  # noqa: F811
    """`toprope("climb", "ladder.yaml")` -> its output and exit status; a bug of ours is raised."""

    def run(*arguments: object) -> Result:
        return CliRunner().invoke(main, list(map(str, arguments)), catch_exceptions=False)

    return run


@pytest.fixture
def refused(toprope: Run) -> Callable[..., str]:
    """The one line, without "toprope: ", that a command is refused with; its exit status is 2."""

    def run(*arguments: object) -> str:
        result = toprope(*arguments)
        assert result.exit_code == 2, result.output
        assert result.stdout == ""
        [line] = result.stderr.splitlines()
        assert line.startswith("toprope: ")
        return line.removeprefix("toprope: ")

    return run


@pytest.fixture
def write_ladder(folder: Path) -> Callable[..., str]:
    """Writes `ladder.yaml` with a fake study for each dataset; returns its path."""

    def write(*data: str, **settings: Any) -> str:
        (folder / "ladder.yaml").write_text(yaml.safe_dump(ladder(*data, **settings)))
        return "ladder.yaml"

    return write
