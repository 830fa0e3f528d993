"""`toprope evidence` in every format, and `toprope report`."""

import csv
import json
import shutil
from pathlib import Path

import pyarrow.parquet
import pytest

from toprope.ladder import climb, make_ladder

from ..fake_studies import add_fake_study, ladder

RUN = "runs/a-run"
ARMS = ["naive", "supervisor", "shadow"]


@pytest.fixture(scope="module")
def made_once(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run with two studies, then changed: one of them isn't asked for any more."""
    folder = tmp_path_factory.mktemp("made") / "a-run"
    with pytest.MonkeyPatch.context() as patch:
        add_fake_study(patch)
        for data in (["fake-old", "fake-a"], ["fake-a"]):
            climb(make_ladder(ladder(*data), source=""), folder)
    return folder


@pytest.fixture(autouse=True)
def run(made_once: Path) -> None:
    shutil.copytree(made_once, RUN)


def test_a_table_to_read(toprope) -> None:
    result = toprope("evidence", RUN)

    assert "fake_study: fake-weak -> fake-strong on fake-a" in result.stdout
    for arm in ARMS:
        assert f"\n{arm} " in result.stdout
    assert "fake-old" not in result.stdout


def test_json(toprope) -> None:
    rows = json.loads(toprope("evidence", RUN, "--format", "json").stdout)

    assert [row["arm"] for row in rows] == ARMS
    assert rows[0]["controls"] == {"supervisor": 0.6}


def test_csv_to_a_file(toprope) -> None:
    result = toprope("evidence", RUN, "--format", "csv", "--output", "out.csv")

    with open("out.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [(row["arm"], row["value"]) for row in rows] == [
        ("naive", "0.7"), ("supervisor", "0.6"), ("shadow", "0.5")
    ]  # fmt: skip
    assert b"\r" not in Path("out.csv").read_bytes()
    assert result.stdout == ""
    assert result.stderr == "3 rows in out.csv\n"


@pytest.mark.parametrize("to_file", [True, False])
def test_parquet(toprope, to_file: bool) -> None:
    options = ["--output", "out.parquet"] if to_file else []
    result = toprope("evidence", RUN, "--format", "parquet", *options)
    if not to_file:
        Path("out.parquet").write_bytes(result.stdout_bytes)

    table = pyarrow.parquet.read_table("out.parquet")
    assert table.column("arm").to_pylist() == ARMS
    assert table.column("control_supervisor").to_pylist() == [0.6, None, None]


def test_all_is_what_the_folder_ever_measured(toprope) -> None:
    rows = json.loads(toprope("evidence", RUN, "--format", "json", "--all").stdout)

    assert [row["dataset"] for row in rows] == ["fake-old"] * 3 + ["fake-a"] * 3


def test_report_writes_the_page_again(toprope) -> None:
    page = Path(RUN) / "report.html"
    before = page.read_text()
    page.unlink()

    assert toprope("report", RUN).stdout == f"{page}\n"
    assert page.read_text() == before


@pytest.mark.parametrize("command", ["evidence", "report"])
def test_a_run_that_is_not_there_is_answered_with_the_nearest(refused, command: str) -> None:
    assert refused(command, "runs/a-rum") == (
        "unknown run 'runs/a-rum': did you mean 'runs/a-run'? known: runs/a-run"
    )
    assert "did you mean 'runs/a-run'?" in refused(command, "a-run")


@pytest.mark.parametrize("command", ["evidence", "report"])
def test_a_folder_that_is_no_run_is_one_line(refused, command: str) -> None:
    Path("empty").mkdir()

    assert refused(command, "empty").startswith("no evidence at empty/evidence.sqlite")


def test_without_any_run_it_says_how_to_make_one(refused, monkeypatch, tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")

    assert refused("evidence", "x/y") == (
        "there is no run folder 'x/y': 'toprope climb' makes one below runs/"
    )


def test_an_output_that_cannot_be_written_is_one_line(refused) -> None:
    assert refused("evidence", RUN, "--output", "no/such/file.txt") == (
        "can't write no/such/file.txt: No such file or directory"
    )
