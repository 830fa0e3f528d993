"""Climbing a ladder: what is run, what is skipped, and what is left in the run's folder."""

import json
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import yaml

from toprope import __version__, study
from toprope.errors import UserError
from toprope.evidence import EvidenceStore
from toprope.ladder import climb, load_ladder, make_ladder
from toprope.progress import Progress
from toprope.run import current_evidence

from ..fake_studies import ladder, runs_of

pytestmark = pytest.mark.usefixtures("fake_study")


class Lines(Progress):
    """Keeps what is said."""

    def __init__(self) -> None:
        super().__init__(quiet=True)
        self.said: list[str] = []

    def say(self, line: str) -> None:
        self.said.append(line)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "runs" / "a-run"


def climbed(folder: Path, *data: str, **settings: Any) -> list[str]:
    """Climbs a ladder of fake studies; returns what was said."""
    lines = Lines()
    climb(make_ladder(ladder(*data, **settings), source=""), folder, progress=lines)
    return lines.said


def record(folder: Path) -> dict[str, Any]:
    return json.loads((folder / "run.json").read_text())


def test_every_study_is_run_in_order_and_its_evidence_kept(folder: Path) -> None:
    config = make_ladder(ladder("fake-a", "fake-b"), source="")

    path = climb(config, folder)

    assert path == folder / "report.html"
    assert "fake-a" in path.read_text()
    assert runs_of(folder) == ["fake-a", "fake-b"]
    with EvidenceStore(folder / "evidence.sqlite") as store:
        assert [finished.config["data"] for finished in store.studies()] == ["fake-a", "fake-b"]
        assert [row.arm for row in store.all()] == ["naive", "supervisor", "shadow"] * 2


def test_the_folder_says_how_the_run_was_made(folder: Path) -> None:
    config = make_ladder(ladder("fake-a") | {"seed": 3}, source="")

    climb(config, folder, data_dir=Path("my data"), device="cpu", dtype="bfloat16")

    told = record(folder)
    assert (told["name"], told["seed"], told["toprope_version"]) == ("a-run", 3, __version__)
    assert (
        told["command"]
        == "toprope climb config.yaml --data-dir 'my data' --device cpu --dtype bfloat16"
    )
    assert told["machine"]["python"] == ".".join(map(str, sys.version_info[:3]))
    assert told["machine"]["cores"] >= 1
    [entry] = told["studies"]
    assert entry["name"] == "fake_study"
    assert entry["seconds"] > 0
    with EvidenceStore(folder / "evidence.sqlite") as store:
        assert [one.fingerprint for one in store.studies()] == [entry["fingerprint"]]
    assert sorted(path.name for path in folder.iterdir() if "evidence" not in path.name) == [
        "artifacts",
        "config.yaml",
        "report.html",
        "run.json",
    ]


def test_the_kept_config_makes_the_same_run(folder: Path) -> None:
    climbed(folder, "fake-a", methods=["confidence"], options={"b": 2})

    climb(load_ladder(folder / "config.yaml"), folder)

    assert runs_of(folder) == ["fake-a"]
    kept = yaml.safe_load((folder / "config.yaml").read_text())
    assert kept["rungs"][0]["studies"][0]["fake_study"]["mode"] == "probe"


def test_what_has_finished_is_said_to_be_and_skipped(folder: Path) -> None:
    climbed(folder, "fake-a")
    before = record(folder)

    said = climbed(folder, "fake-a", "fake-b")

    assert said[0] == "[1/2] fake_study: fake-weak -> fake-strong: done before, skipped"
    assert said[1] == "[2/2] fake_study: fake-weak -> fake-strong"
    assert said[2].startswith("[2/2] done in ")
    assert runs_of(folder) == ["fake-a", "fake-b"]
    assert record(folder)["studies"][0] == before["studies"][0]


def test_a_ladder_that_names_a_study_twice_runs_it_once(folder: Path) -> None:
    said = climbed(folder, "fake-a", "fake-a")

    assert runs_of(folder) == ["fake-a"]
    assert said[-1].endswith("skipped")


@pytest.mark.parametrize("change", [{"value": 0.8}, {"methods": ["confidence"]}])
def test_another_setting_is_another_study(folder: Path, change: dict[str, Any]) -> None:
    climbed(folder, "fake-a")
    climbed(folder, "fake-a", **change)

    assert runs_of(folder) == ["fake-a", "fake-a"]


def test_another_seed_or_other_code_is_another_study(folder: Path, monkeypatch) -> None:
    climbed(folder, "fake-a")
    climb(make_ladder(ladder("fake-a") | {"seed": 1}, source=""), folder)
    assert runs_of(folder) == ["fake-a"] * 2

    monkeypatch.setattr(study, "code_version", lambda package: "0.2.0+abc")
    climbed(folder, "fake-a")
    assert runs_of(folder) == ["fake-a"] * 3


def test_the_report_shows_this_config_only_and_nothing_is_lost(folder: Path) -> None:
    climbed(folder, "fake-a", "fake-b")
    climbed(folder, "fake-c", "fake-b", value=0.7)

    html = (folder / "report.html").read_text()
    assert "fake-a" not in html
    assert "fake-b" in html
    assert [row.dataset for row in current_evidence(folder)] == ["fake-c"] * 3 + ["fake-b"] * 3
    with EvidenceStore(folder / "evidence.sqlite") as store:
        assert {row.dataset for row in store.all()} == {"fake-a", "fake-b", "fake-c"}

    # Back to the first: all there, in its order, without a study run again.
    climbed(folder, "fake-a", "fake-b")
    assert runs_of(folder) == ["fake-a", "fake-b", "fake-c"]
    assert [row.dataset for row in current_evidence(folder)] == ["fake-a"] * 3 + ["fake-b"] * 3


def test_the_record_keeps_where_finished_studies_were_measured(folder: Path) -> None:
    climbed(folder, "fake-a", "fake-b")
    elsewhere = record(folder) | {
        "created": "2020-02-02 02:02 UTC",
        "machine": {"cpu": "Another"},
        "toprope_version": "0.0.1",
    }
    (folder / "run.json").write_text(json.dumps(elsewhere))

    climbed(folder, "fake-a", "fake-b")

    assert record(folder) == elsewhere
    climbed(folder, "fake-a", "fake-b", "fake-c")
    assert record(folder)["machine"] != elsewhere["machine"]
    assert record(folder)["toprope_version"] == __version__


def test_a_damaged_record_is_written_anew(folder: Path) -> None:
    climbed(folder, "fake-a")
    (folder / "run.json").write_text('{"name":')

    said = climbed(folder, "fake-a")

    assert "run.json isn't JSON (line 1)" in said[0]
    assert record(folder)["name"] == "a-run"
    assert runs_of(folder) == ["fake-a"]


def test_models_are_loaded_once_and_let_go_when_the_next_study_has_others(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    loaded: list[str] = []
    loader = SimpleNamespace(shared=lambda name, **_: loaded.append(name) or name)
    monkeypatch.setitem(sys.modules, "toprope.models.loaded", loader)  # type: ignore
    monkeypatch.setattr("toprope.lab.Lab.model_fingerprint", lambda lab, name: name)

    def rung(overseer: str, target: str, *data: str) -> dict[str, Any]:
        studies = [{"fake_study": {"data": one}} for one in data]
        return {"overseer": overseer, "target": target, "studies": studies}

    rungs = [rung("A", "B", "fake-1", "fake-2"), rung("B", "C", "fake-3"), rung("A", "C", "fake-4")]
    climb(make_ladder({"name": "x", "rungs": rungs}, source=""), folder)

    assert loaded == ["A", "B", "C", "A"]


def test_a_mistake_in_the_last_study_shows_before_the_first_is_run(folder: Path) -> None:
    climbed(folder, "fake-a")
    before = {name: (folder / name).read_text() for name in ("config.yaml", "run.json")}

    with pytest.raises(UserError, match="unknown dataset 'arithmetics': did you mean 'arithmetic'"):
        climbed(folder, "fake-b", "arithmetics")

    assert runs_of(folder) == ["fake-a"]
    assert {name: (folder / name).read_text() for name in before} == before


def test_a_study_that_fails_leaves_those_before_it(folder: Path, monkeypatch) -> None:
    monkeypatch.setenv("FAKE_STUDY_FILLS_THE_DISK", "fake-b")
    with pytest.raises(OSError, match="No space left"):
        climbed(folder, "fake-a", "fake-b")
    monkeypatch.delenv("FAKE_STUDY_FILLS_THE_DISK")

    climbed(folder, "fake-a", "fake-b")

    assert runs_of(folder) == ["fake-a", "fake-b", "fake-b"]


def test_two_runs_cannot_write_to_one_folder(folder: Path) -> None:
    climbed(folder, "fake-a")
    with (
        EvidenceStore(folder / "evidence.sqlite", write=True),
        pytest.raises(UserError, match="is being written by process"),
    ):
        climbed(folder, "fake-b")

    assert "fake-a" in (folder / "config.yaml").read_text()


def test_a_folder_that_cannot_be_made_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "occupied").touch()

    with pytest.raises(UserError, match=r"occupied/a-run can't be written .*--runs"):
        climbed(tmp_path / "occupied" / "a-run", "fake-a")
