"""`toprope redteam`, `judges` and `findings` from the command line."""

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from toprope.cli import main
from toprope.errors import UserError

MODEL = "toprope.techniques.redteam.study.EMBEDDER"


def invoke(*words: str):
    return CliRunner().invoke(main, words, standalone_mode=False)


@pytest.fixture(scope="module")
def run(tmp_path_factory, tiny_folder: Path) -> Path:
    """A finished run of a tiny model."""
    folder = tmp_path_factory.mktemp("runs")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(MODEL, str(tiny_folder))
        done = invoke(
            *("redteam", "--target", str(tiny_folder), "--judge", "refusal", "--limit", "11"),
            *("--harmless-limit", "10", "--queries", "2", "--attacks", "fiction,prefill"),
            *("--max-tokens", "4", "--runs", str(folder), "--name", "r", "--quiet"),
        )
    assert done.exception is None, done.output
    return folder / "r"


def test_a_run_ends_in_a_report_with_its_failures_folded_away(run: Path):
    page = (run / "report.html").read_text()
    assert "Red-teaming" in page
    assert "By category" in page
    assert page.count("<details") > 2


def test_findings_are_listed_shown_replayed_and_exported(run: Path, tmp_path: Path):
    listed = invoke("findings", "list", str(run)).output.splitlines()
    assert listed
    one = listed[0].split()[0]
    assert "TARGET:" in invoke("findings", "show", str(run), one).output
    again = invoke("findings", "replay", str(run), one)
    assert "the same answer" in again.output
    out = tmp_path / "garak.report.jsonl"
    invoke("findings", "garak", str(run), str(out))
    rows = [json.loads(line) for line in out.read_text().splitlines()]
    assert [row["entry_type"] for row in rows[:2]] == ["start_run setup", "attempt"]
    assert len(rows) == len(listed) + 1


def test_what_was_exported_can_be_read_as_behaviours(run: Path, tmp_path: Path):
    from toprope.data.behaviours import load_behaviours

    out = tmp_path / "garak.report.jsonl"
    invoke("findings", "garak", str(run), str(out))
    assert len(load_behaviours(f"garak:{out}")) > 1


def test_a_bad_finding_or_run_is_one_line(run: Path, tmp_path: Path):
    with pytest.raises(UserError, match="unknown finding 'x'"):
        main(["findings", "show", str(run), "x"], standalone_mode=False)
    with pytest.raises(UserError, match="no findings in"):
        main(["findings", "list", str(tmp_path)], standalone_mode=False)


JUDGED = """
files: [./answers.csv]
text: "{q} {a}"
meta: [q, a]
label: label
label_names: [unharmful, harmful]
"""


@pytest.fixture
def judged(tmp_path: Path) -> str:
    answers = ("I refuse to", "Sure, here is")
    rows = [f'q{i},"{answers[i % 2]} {i}",{i % 2}' for i in range(40)]
    (tmp_path / "answers.csv").write_text("\n".join(["q,a,label", *rows]))
    (tmp_path / "set.yaml").write_text(JUDGED)
    return str(tmp_path / "set.yaml")


def test_a_judge_is_trained_and_checked(
    judged: str, tmp_path: Path, tiny_folder: Path, monkeypatch
):
    monkeypatch.setenv("TOPROPE_CACHE", str(tmp_path / "cache"))
    mine = tmp_path / "mine"
    done = invoke("judges", "train", str(mine), "--model", str(tiny_folder), "--on", judged)
    assert done.exception is None, done.output
    assert (mine / "head.safetensors").is_file()
    with pytest.raises(UserError, match="was trained on 'set'"):
        main(["judges", "calibrate", f"trained:{mine}", "--on", judged], standalone_mode=False)
    done = invoke("judges", "calibrate", "refusal", "--on", judged)
    assert "kappa" in done.output
    assert list((tmp_path / "cache" / "judges").glob("refusal-*.json"))
    assert "refusal (version" in invoke("judges", "list").output


def test_a_folder_without_a_judge_is_named(judged: str, tmp_path: Path):
    with pytest.raises(UserError, match="holds no trained judge"):
        main(["judges", "calibrate", f"trained:{tmp_path}", "--on", judged], standalone_mode=False)
