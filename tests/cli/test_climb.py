"""`toprope climb`: what it prints, its options, and the mistakes that it's told about."""

import os
from pathlib import Path

import pytest

from ..fake_studies import runs_of


def test_it_ends_with_what_was_found_and_where(toprope, write_ladder) -> None:
    result = toprope("climb", write_ladder("fake-a"))

    assert result.exit_code == 0
    lines = [line.split() for line in result.stdout.splitlines()]
    assert ["naive", "accuracy", "0.700", "[0.600,", "0.800]", "10", "seeds"] in lines
    assert ["supervisor", "accuracy", "0.600", "[0.500,", "0.700]", "10", "seeds"] in lines
    assert "shadow" not in result.stdout  # a diagnostic
    assert "a note on" not in result.stdout
    assert result.stdout.endswith(
        "all measurements: toprope evidence runs/a-run\nreport: runs/a-run/report.html\n"
    )
    assert "[1/1] fake_study" in result.stderr


def test_name_seed_and_runs_go_before_what_the_ladder_says(toprope, write_ladder) -> None:
    path = write_ladder("fake-a")
    toprope("climb", path, "--runs", "kept", "--name", "other", "--seed", "4", "--quiet")

    kept = Path("kept/other/config.yaml").read_text()
    assert kept.startswith("name: other\nseed: 4\n")
    assert not Path("runs").exists()


def test_quiet_leaves_the_findings_alone(toprope, write_ladder) -> None:
    result = toprope("climb", write_ladder("fake-a"), "--quiet")

    assert result.stderr == ""
    assert "report: runs/a-run/report.html" in result.stdout


def test_the_data_folder_comes_from_the_environment_too(toprope, write_ladder, monkeypatch):
    Path("sets").mkdir()
    Path("sets/mine.csv").write_text(
        "text,label\n" + "".join(f"statement {n},{n % 2}\n" for n in range(20))
    )
    Path("mine.yaml").write_text("files: [mine.csv]\n")
    monkeypatch.setenv("TOPROPE_DATA", "sets")

    assert toprope("climb", write_ladder("mine"), "--quiet").exit_code == 0


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ("arithmetics", "unknown dataset 'arithmetics': did you mean 'arithmetic'?"),
        ("file:one_class.csv", "every class needs examples; it has 20 no"),
        ("file:few.csv", "2 examples; at least 8 are needed"),
    ],
)
def test_data_that_cannot_be_used_leaves_the_run_as_it_was(
    toprope, refused, write_ladder, data: str, message: str
) -> None:
    Path("one_class.csv").write_text("text,label\n" + "".join(f"s{n},no\n" for n in range(20)))
    Path("few.csv").write_text("text,label\na,no\nb,yes\n")
    toprope("climb", write_ladder("fake-a"), "--quiet")
    before = Path("runs/a-run/config.yaml").read_text()

    line = refused("climb", write_ladder("fake-b", data), "--quiet")

    assert message in line
    assert runs_of(Path("runs/a-run")) == ["fake-a"]
    assert Path("runs/a-run/config.yaml").read_text() == before
    assert toprope("climb", write_ladder("fake-a", "fake-b"), "--quiet").exit_code == 0
    assert runs_of(Path("runs/a-run")) == ["fake-a", "fake-b"]


def test_an_unknown_model_is_answered_with_the_nearest(refused, write_ladder) -> None:
    path = Path(write_ladder("fake-a"))
    path.write_text(path.read_text().replace("fake-weak", "smolm2-135m"))

    line = refused("climb", path, "--quiet")

    assert line.startswith("unknown model 'smolm2-135m': did you mean 'smollm2-135m'?")


def test_a_full_disk_leaves_the_run_to_go_on(toprope, refused, write_ladder, monkeypatch) -> None:
    monkeypatch.setenv("FAKE_STUDY_FILLS_THE_DISK", "fake-b")
    path = write_ladder("fake-a", "fake-b")

    line = refused("climb", path, "--quiet")

    assert line.endswith(
        "artifacts/big: No space left on device: make room, then give the same command again"
    )
    monkeypatch.delenv("FAKE_STUDY_FILLS_THE_DISK")
    assert toprope("climb", path, "--quiet").exit_code == 0
    assert runs_of(Path("runs/a-run")) == ["fake-a", "fake-b", "fake-b"]


def test_runs_that_are_no_folder_are_one_line(refused, write_ladder) -> None:
    Path("runs").write_text("a file where a folder should be")

    line = refused("climb", write_ladder("fake-a"))

    assert line.startswith("the run folder runs/a-run can't be written (")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_read_only_run_folder_is_one_line(toprope, refused, write_ladder) -> None:
    toprope("climb", write_ladder("fake-a"), "--quiet")
    folder = Path("runs/a-run")
    folder.chmod(0o500)
    try:
        assert "writable" in refused("climb", write_ladder("fake-b"), "--quiet")
    finally:
        folder.chmod(0o700)
    assert toprope("climb", write_ladder("fake-b"), "--quiet").exit_code == 0


def test_a_read_only_disk_is_one_line(refused, write_ladder, monkeypatch) -> None:
    """As root any folder can be written: the system's answer is given in its place."""

    def refuse(*_: object, **__: object) -> None:
        raise OSError(30, "Read-only file system")

    monkeypatch.setattr(Path, "mkdir", refuse)

    assert "(Read-only file system)" in refused("climb", write_ladder("fake-a"))
