"""A run that is stopped in the middle of its second study, and started again."""

import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from toprope.evidence import EvidenceStore

from ..fake_studies import ladder, runs_of, start


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "ladder.yaml"
    path.write_text(yaml.safe_dump(ladder("fake-a", "fake-b")))
    return path


@pytest.fixture
def in_second_study(path: Path, monkeypatch) -> Iterator[subprocess.Popen[str]]:
    """A run in its own process whose second study doesn't come to an end."""
    monkeypatch.setenv("FAKE_STUDY_HANGS", "fake-b")
    process = start("climb", path, "--runs", path.parent)
    hanging = path.parent / "a-run" / "artifacts" / "hanging"
    deadline = time.monotonic() + 60
    while not hanging.exists():
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.05)
    monkeypatch.delenv("FAKE_STUDY_HANGS")
    yield process
    process.kill()
    process.communicate()


def finished(folder: Path) -> list[str]:
    with EvidenceStore(folder / "evidence.sqlite") as store:
        return [study.config["data"] for study in store.studies()]


def check_a_second_start_goes_on(path: Path) -> None:
    folder = path.parent / "a-run"
    assert finished(folder) == ["fake-a"]

    again = start("climb", path, "--runs", path.parent)
    out, err = again.communicate(timeout=60)

    assert again.returncode == 0, err
    assert "[1/2] fake_study: fake-weak -> fake-strong: done before, skipped" in err
    assert runs_of(folder) == ["fake-a", "fake-b", "fake-b"]
    assert finished(folder) == ["fake-a", "fake-b"]
    assert f"report: {folder / 'report.html'}" in out


def test_killed(path: Path, in_second_study: subprocess.Popen[str]) -> None:
    in_second_study.send_signal(signal.SIGKILL)
    in_second_study.wait()

    check_a_second_start_goes_on(path)


def test_stopped_with_ctrl_c(path: Path, in_second_study: subprocess.Popen[str]) -> None:
    in_second_study.send_signal(signal.SIGINT)
    out, err = in_second_study.communicate(timeout=60)

    assert in_second_study.returncode == 2
    assert err.splitlines()[-1] == (
        f"toprope: stopped: {path.parent / 'a-run'} keeps what has finished, "
        "and the same command goes on from there"
    )
    assert "Traceback" not in err
    assert out == ""
    check_a_second_start_goes_on(path)
