"""What the store promises: all or nothing, never changed, one writer, and plain words otherwise."""

import os
import signal
import sqlite3
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from toprope import __version__
from toprope.errors import UserError
from toprope.evidence import SCHEMA_VERSION, Cost, Evidence, EvidenceStore


def evidence(**fields: Any) -> Evidence:
    return Evidence.model_validate(
        {
            "study": "weak_to_strong",
            "arm": "naive",
            "role": "result",
            "metric": "accuracy",
            "value": 0.1 + 0.2,
            "low": 0.25,
            "high": 1 / 3,
            "level": 0.9,
            "n": 10,
            "unit": "seeds",
            "better": "higher",
            "baseline": 0.2,
            "controls": {"supervisor": 0.15, "ceiling": 0.4},
            "overseer": "smollm2-135m",
            "target": "qwen2.5-coder-0.5b",
            "dataset": "cities",
            "split": "5e1f",
            "seed": 7,
            "truth": "ground_truth",
            "cost": {"tokens": 12345678901, "seconds": 1.5, "calls": 3},
            "config_hash": "c0ff",
            "notes": "‘quoted’, and\na second line",
        }
        | fields
    )


UNMEASURABLE = {"value": None, "low": None, "high": None}


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "run" / "evidence.sqlite"


# --- what counts as evidence ---


@pytest.mark.parametrize(
    ("fields", "complaint"),
    [
        ({"low": None}, "without its interval"),
        ({"high": None}, "without its interval"),
        ({"low": 0.5, "high": 0.4}, "from 0.5 down to 0.4"),
        ({"controls": {}}, "without a control"),
        ({"value": None}, "an interval without a value"),
        (UNMEASURABLE | {"notes": ""}, "don't say why"),
        ({"value": float("nan")}, "finite"),
        ({"high": float("inf")}, "finite"),
        ({"baseline": float("nan")}, "finite"),
        ({"controls": {"blind": float("nan")}}, "finite"),
        ({"cost": {"seconds": float("inf")}}, "finite"),
        ({"cost": {"tokens": -1}}, "greater than or equal to 0"),
        ({"level": 95}, "less than 1"),
        ({"role": "claim"}, "'result', 'control' or 'diagnostic'"),
        ({"p_value": 0.04}, "Extra inputs"),
    ],
)
def test_what_is_not_evidence_is_refused(fields: dict[str, Any], complaint: str) -> None:
    with pytest.raises(ValidationError, match=complaint):
        evidence(**fields)


def test_a_control_needs_no_control_and_the_unmeasurable_no_interval() -> None:
    assert evidence(role="control", controls={}).controls == {}
    assert evidence(**UNMEASURABLE, controls={}, notes="the gap is within noise").value is None


def test_evidence_does_not_change() -> None:
    with pytest.raises(ValidationError, match="frozen"):
        evidence().value = 1.0  # type: ignore[misc]


@pytest.mark.parametrize("record", [Evidence, Cost])
def test_every_field_is_documented(record: type[Evidence] | type[Cost]) -> None:
    assert [name for name, field in record.model_fields.items() if not field.description] == []


# --- the store ---


def test_what_was_recorded_is_read_back_exactly_and_in_order(path: Path) -> None:
    first = [evidence(), evidence(arm="ceiling", role="control", controls={}, baseline=None)]
    second = [evidence(study="debate", **UNMEASURABLE), evidence(study="debate", cost=Cost())]
    config = {"methods": ["naive"], "seeds": 10, "nested": {"rate": 0.1, "none": None}}
    with EvidenceStore(path, write=True) as store:
        store.record("f1", "weak_to_strong", config, first)
        store.record("f2", "debate", {}, second)
        store.record("f3", "reward", {}, [])

    with EvidenceStore(path) as store:
        assert store.all() == first + second
        assert store.for_study("f2") == second
        assert store.for_study("f3") == store.for_study("f4") == []
        assert [store.finished(name) for name in ("f1", "f2", "f3", "f4")] == [
            True,
            True,
            True,
            False,
        ]
        studies = store.studies()
    assert [(s.fingerprint, s.name, s.config) for s in studies] == [
        ("f1", "weak_to_strong", config),
        ("f2", "debate", {}),
        ("f3", "reward", {}),
    ]
    assert {study.version for study in studies} == {__version__}
    now = datetime.now(UTC)
    assert all(now - timedelta(minutes=1) < study.finished <= now for study in studies)


def test_a_study_is_recorded_once(path: Path) -> None:
    with EvidenceStore(path, write=True) as store:
        store.record("f1", "weak_to_strong", {}, [evidence()])
        with pytest.raises(ValueError, match=r"f1.*recorded already"):
            store.record("f1", "weak_to_strong", {}, [evidence(arm="other")])
        assert store.all() == [evidence()]


def test_a_study_that_fails_to_record_leaves_nothing(path: Path) -> None:
    with EvidenceStore(path, write=True) as store:
        with pytest.raises(ValueError, match="'debate' among that of 'weak_to_strong'"):
            store.record("f1", "weak_to_strong", {}, [evidence(), evidence(study="debate")])
        assert (store.all(), store.studies(), store.finished("f1")) == ([], [], False)
        store.record("f1", "weak_to_strong", {}, [evidence()])


DIES_WHILE_RECORDING = """
import os, signal, sys
from test_evidence import EvidenceStore, evidence

class DiesAtTheThird(list):
    def __iter__(self):
        yield from self[:2]
        os.kill(os.getpid(), signal.SIGKILL)

store = EvidenceStore(sys.argv[1], write=True)
store.record("f1", "weak_to_strong", {}, [evidence()])
store.record("f2", "weak_to_strong", {}, DiesAtTheThird([evidence()] * 4))
"""


def test_a_kill_loses_only_the_study_under_way(path: Path) -> None:
    places = os.pathsep.join([str(Path(__file__).parent), *sys.path])
    killed = subprocess.run(
        [sys.executable, "-c", DIES_WHILE_RECORDING, path],
        env=os.environ | {"PYTHONPATH": places},
        capture_output=True,
        text=True,
    )
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    with EvidenceStore(path, write=True) as store:
        assert store.all() == [evidence()]
        assert not store.finished("f2")
        store.record("f2", "weak_to_strong", {}, [evidence(arm="again")])
        assert store.for_study("f2") == [evidence(arm="again")]


@pytest.mark.parametrize(
    "change",
    [
        "UPDATE evidence SET value = 1",
        "DELETE FROM evidence",
        "INSERT OR REPLACE INTO evidence SELECT * FROM evidence",
        "UPDATE studies SET config = '{}'",
        "DELETE FROM studies",
        "INSERT OR REPLACE INTO studies SELECT * FROM studies",
    ],
)
def test_rows_are_never_changed(path: Path, change: str) -> None:
    with EvidenceStore(path, write=True) as store:
        store.record("f1", "weak_to_strong", {}, [evidence()])
    foreign = sqlite3.connect(path)
    with pytest.raises(sqlite3.IntegrityError, match="append-only"):
        foreign.execute(change)
    foreign.close()


def test_commits_are_synced_to_a_write_ahead_log(path: Path) -> None:
    with EvidenceStore(path, write=True) as store:
        settings = [
            store._connection.execute(f"PRAGMA {name}").fetchone()[0]
            for name in ("journal_mode", "synchronous")
        ]
    assert settings == ["wal", 2]  # 2 is FULL


# --- writers and readers ---


def test_a_second_writer_is_told_who_holds_the_run(path: Path) -> None:
    with EvidenceStore(path, write=True) as first:
        with pytest.raises(UserError, match=f"{path} is being written by process {os.getpid()} on"):
            EvidenceStore(path, write=True)
        # The one that was turned away took nothing with it.
        with pytest.raises(UserError, match=f"process {os.getpid()} on"):
            EvidenceStore(path, write=True)
        first.record("f1", "weak_to_strong", {}, [])
    with EvidenceStore(path, write=True) as second:
        assert second.finished("f1")


def test_a_writer_that_cannot_open_lets_the_next_one_in(path: Path) -> None:
    path.parent.mkdir()
    path.write_text("not a database" * 100)
    with pytest.raises(UserError, match="not a database"):
        EvidenceStore(path, write=True)
    path.unlink()
    EvidenceStore(path, write=True).close()


def test_readers_look_on_while_a_study_is_recorded(path: Path) -> None:
    with EvidenceStore(path, write=True) as writer, EvidenceStore(path) as reader:
        assert reader.all() == []
        writer.record("f1", "weak_to_strong", {}, [evidence()])
        assert reader.all() == [evidence()]
        with pytest.raises(ValueError, match="opened to read"):
            reader.record("f2", "weak_to_strong", {}, [])
    assert {file.name for file in path.parent.iterdir()} <= {path.name, f"{path.name}.lock"}


def test_an_archived_run_in_a_read_only_folder_can_be_read(path: Path, monkeypatch) -> None:
    with EvidenceStore(path, write=True) as store:
        store.record("f1", "weak_to_strong", {}, [evidence()])
    # As root any folder is writable: what shows is that nothing is put into it.
    monkeypatch.setattr(os, "access", lambda *_: False)
    before = set(path.parent.iterdir())
    with EvidenceStore(path) as store:
        assert store.all() == [evidence()]
        assert set(path.parent.iterdir()) == before


# --- files that can't serve ---


def test_a_run_that_has_not_begun(path: Path) -> None:
    with pytest.raises(UserError, match=r"no evidence at .*evidence\.sqlite"):
        EvidenceStore(path)
    assert not path.exists()
    path.parent.mkdir()
    path.touch()
    with pytest.raises(UserError, match="is empty"):
        EvidenceStore(path)
    # What a kill leaves between the file and its tables is taken up again.
    EvidenceStore(path, write=True).close()
    assert EvidenceStore(path).all() == []


@pytest.mark.parametrize("write", [False, True])
def test_files_of_others_are_left_alone(path: Path, write: bool) -> None:
    path.parent.mkdir()
    foreign = sqlite3.connect(path)
    foreign.execute("CREATE TABLE evidence (id INTEGER)")
    foreign.close()
    before = path.read_bytes()
    with pytest.raises(UserError, match="of another program"):
        EvidenceStore(path, write=write)
    assert path.read_bytes()[100:] == before[100:]

    path.write_bytes(b"evidence, in prose\n" * 200)
    with pytest.raises(UserError, match="not a database"):
        EvidenceStore(path, write=write)
    assert path.read_bytes() == b"evidence, in prose\n" * 200

    path.unlink()
    path.mkdir()
    with pytest.raises(UserError, match="can't be opened: is it a file"):
        EvidenceStore(path, write=write)


@pytest.mark.parametrize("write", [False, True])
def test_a_newer_schema_asks_for_a_newer_toprope(path: Path, write: bool) -> None:
    EvidenceStore(path, write=True).close()
    newer = sqlite3.connect(path)
    newer.execute(f"PRAGMA user_version = {SCHEMA_VERSION + 1}")
    newer.close()
    with pytest.raises(UserError, match=r"newer toprope \(schema 2.*upgrade toprope"):
        EvidenceStore(path, write=write)


def test_a_damaged_file_is_named(path: Path) -> None:
    with EvidenceStore(path, write=True) as store:
        store.record("f1", "weak_to_strong", {}, [evidence(arm=f"arm {i}") for i in range(100)])
    content = path.read_bytes()
    path.write_bytes(content[:4096] + b"\x5a" * (len(content) - 4096))
    with pytest.raises(UserError, match="damaged"), EvidenceStore(path) as store:
        store.all()


def test_a_full_disk_loses_the_study_and_not_the_store(path: Path) -> None:
    rows = [evidence(notes="x" * 5000)] * 20
    with EvidenceStore(path, write=True) as store:
        store.record("f1", "weak_to_strong", {}, [evidence()])
        # SQLite reports a file at its page limit as it does a full disk.
        pages = store._connection.execute("PRAGMA page_count").fetchone()[0]
        store._connection.execute(f"PRAGMA max_page_count = {pages + 2}")
        with pytest.raises(UserError, match=rf"{path}: the disk is full: free some space"):
            store.record("f2", "weak_to_strong", {}, rows)
        assert store.all() == [evidence()]
        store._connection.execute("PRAGMA max_page_count = 100000")
        store.record("f2", "weak_to_strong", {}, rows)
        assert store.for_study("f2") == rows


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_read_only_run_is_named(path: Path) -> None:
    EvidenceStore(path, write=True).close()
    path.chmod(0o400)
    with pytest.raises(UserError, match="read-only"):
        EvidenceStore(path, write=True).record("f1", "weak_to_strong", {}, [])
    path.parent.chmod(0o500)
    with EvidenceStore(path) as store:
        assert store.all() == []
    with pytest.raises(UserError, match="locked for writing"):
        EvidenceStore(path, write=True)
    path.parent.chmod(0o700)
