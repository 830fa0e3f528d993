"""A run's folder: which of its evidence counts, and damaged files."""

from pathlib import Path

import pytest

from toprope.errors import UserError
from toprope.evidence import EvidenceStore
from toprope.run import current_studies, make_folder, read_record, write_config, write_record


@pytest.fixture
def store(tmp_path: Path):
    with EvidenceStore(tmp_path / "evidence.sqlite", write=True) as store:
        store.record("f1", "debate", {"rounds": 1}, [])
        store.record("f2", "debate", {"rounds": 2}, [])
        store.record("f3", "debate", {"rounds": 1}, [])
        yield store


def current(folder: Path, store: EvidenceStore) -> list[str]:
    return [study.fingerprint for study in current_studies(folder, store)]


def test_the_record_says_which_studies_count_and_in_which_order(tmp_path: Path, store) -> None:
    asked = ["f3", "not finished", "f2", "f3"]
    write_record(tmp_path, {"studies": [{"name": "debate", "fingerprint": one} for one in asked]})

    assert current(tmp_path, store) == ["f3", "f2"]


@pytest.mark.parametrize("record", [{}, {"studies": [{"name": "debate", "seconds": 3}]}])
def test_without_a_record_a_study_counts_as_it_last_was(tmp_path: Path, store, record) -> None:
    write_record(tmp_path, record)

    assert current(tmp_path, store) == ["f3", "f2"]


def test_a_record_comes_back_as_written_and_none_is_empty(tmp_path: Path) -> None:
    assert read_record(tmp_path) == {}

    write_record(tmp_path, {"name": "ä", "seed": 1})

    assert read_record(tmp_path) == {"name": "ä", "seed": 1}


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b'{"name":', r"run\.json isn't JSON \(line 1\): start the run again"),
        (b"\xff", r"run\.json isn't JSON: start the run again"),
        (b"[]", r"run\.json isn't a run's record: start the run again"),
    ],
)
def test_a_damaged_record_is_one_line(tmp_path: Path, content: bytes, message: str) -> None:
    (tmp_path / "run.json").write_bytes(content)

    with pytest.raises(UserError, match=message):
        read_record(tmp_path)


def test_a_file_is_written_whole_or_not_at_all(tmp_path: Path, monkeypatch) -> None:
    write_config(tmp_path, "name: old\n")

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.replace", full)
    with pytest.raises(UserError, match=r"can't be written \(No space left on device\)"):
        write_config(tmp_path, "name: new\n")

    assert [path.name for path in tmp_path.iterdir()] == ["config.yaml"]
    assert (tmp_path / "config.yaml").read_text() == "name: old\n"


def test_a_folder_is_made_with_those_above_it(tmp_path: Path) -> None:
    make_folder(tmp_path / "runs" / "a")
    make_folder(tmp_path / "runs" / "a")

    assert (tmp_path / "runs" / "a").is_dir()
