"""From a run's folder to its report."""

import json
import re
from pathlib import Path

import pytest

from toprope.errors import UserError
from toprope.evidence import Cost, EvidenceStore
from toprope.report import build_report

CONFIG = "name: quickstart\nseed: 7\nrungs: []\n"


@pytest.fixture
def run_folder(tmp_path: Path, study) -> Path:
    """A run with one finished study."""
    folder = tmp_path / "a-run"
    folder.mkdir()
    (folder / "config.yaml").write_text(CONFIG)
    with EvidenceStore(folder / "evidence.sqlite", write=True) as store:
        store.record("f1", "weak_to_strong", {"seeds": 10}, study())
    return folder


def page(folder: Path) -> str:
    return build_report(folder).read_text(encoding="utf-8")


def test_a_run_folder_becomes_a_report(run_folder: Path) -> None:
    path = build_report(run_folder)

    assert path == run_folder / "report.html"
    html = path.read_text(encoding="utf-8")
    assert "<h1>quickstart</h1>" in html
    assert "seed 7" in html
    assert "Weak-to-strong generalization" in html
    assert CONFIG.strip() in html


def test_run_json_says_what_config_and_evidence_can_not(run_folder: Path) -> None:
    recorded = {
        "name": "renamed",
        "created": "2026-05-02 14:31 UTC",
        "toprope_version": "9.9",
        "command": "toprope climb my.yaml --device cpu",
        "machine": {"cpu": "A CPU", "cores": 2, "python": "3.11", "torch": "2.13"},
        "cost": {"tokens": 123456, "seconds": 90, "calls": 7},
        "studies": [{"name": "weak_to_strong", "seconds": 61}],
    }
    (run_folder / "run.json").write_text(json.dumps(recorded))

    html = page(run_folder)

    for text in ("renamed", "14:31", "9.9", "my.yaml", "A CPU, 2 cores", "123,456", "1 min 1 s"):
        assert text in html


def test_without_run_json_nothing_is_invented(run_folder: Path) -> None:
    html = page(run_folder)

    assert "not recorded" in html
    assert "toprope climb config.yaml" in html


def test_the_cost_of_an_arm_counts_once_however_many_numbers_it_gave(run_folder: Path) -> None:
    # 9 arms, each with 1,000 tokens on all of its rows.
    assert "9,000 in 27 prompts" in page(run_folder)


def test_a_study_that_was_done_again_counts_as_it_last_was(run_folder: Path, study) -> None:
    again = [
        row.model_copy(update={"value": 0.9, "low": 0.89, "high": 0.91})
        if (row.arm, row.metric) == ("naive", "accuracy")
        else row
        for row in study(cost=Cost(tokens=1))
    ]
    with EvidenceStore(run_folder / "evidence.sqlite", write=True) as store:
        store.record("f2", "weak_to_strong", {"seeds": 10}, again)

    html = page(run_folder)

    assert "90.0% (89.0–91.0)" in html
    assert "68.8% (67.1–70.3)" not in html
    assert "<dd>9 in 0 prompts</dd>" in html


def test_studies_of_different_settings_all_count(run_folder: Path, study) -> None:
    with EvidenceStore(run_folder / "evidence.sqlite", write=True) as store:
        store.record("f2", "weak_to_strong", {"seeds": 20}, study(dataset="arithmetic"))

    assert re.findall(r"<h3[^>]*>(\w+)</h3>", page(run_folder)) == ["cities", "arithmetic"]


def test_a_run_whose_first_study_was_killed_has_a_report_that_says_so(tmp_path: Path) -> None:
    with EvidenceStore(tmp_path / "evidence.sqlite", write=True):
        pass

    assert "No study has finished yet" in page(tmp_path)


def test_evidence_can_be_read_while_the_run_goes_on(run_folder: Path) -> None:
    with EvidenceStore(run_folder / "evidence.sqlite", write=True):
        assert build_report(run_folder).exists()


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("run.json", '{"name": ', r"run\.json isn't JSON \(line 1\)"),
        ("config.yaml", "a: [1\nb: 2", r"config\.yaml isn't YAML"),
    ],
)
def test_a_damaged_file_is_named_in_one_line(run_folder, name, text, message) -> None:
    (run_folder / name).write_text(text)

    with pytest.raises(UserError, match=message) as raised:
        build_report(run_folder)

    assert "\n" not in str(raised.value)


def test_a_folder_that_is_no_run_is_refused_and_left_alone(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no evidence at"):
        build_report(tmp_path)

    assert not list(tmp_path.iterdir())
