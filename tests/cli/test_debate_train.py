"""`toprope debate train-judge` from the command line."""

import json
from pathlib import Path

import pytest

from toprope.models.local import LocalModel
from toprope.techniques.debate.trained.keeping import load_judge

from ..techniques.debate.trained.lessons import lessons


@pytest.fixture
def transcripts(folder: Path) -> Path:
    """Thirty questions, in which the words of who is right give it away."""
    lines = [json.dumps(one.as_json()) + "\n" for one in lessons(30)]
    (folder / "debate.jsonl").write_text("".join(lines))
    return folder / "debate.jsonl"


def test_a_judge_is_trained_kept_and_told_beside_its_controls(
    toprope, refused, transcripts: Path, tiny_folder: Path, tiny_model: LocalModel
) -> None:
    command = ("debate", "train-judge", transcripts, "--model", tiny_folder, "--to", "j", "--quiet")
    lines = toprope(*command).output.splitlines()
    assert lines[0] == "60 transcripts of 30 questions (debate)"
    said = {line[:20].strip(): line[20:] for line in lines[2:]}
    assert list(said) == [
        *("what was said", "the question alone", "told a wrong truth", "words gain", "chance"),
        "the judge is in j",
    ]
    assert said["chance"] == " 0.500"
    judge = load_judge(Path("j"), lambda name: tiny_model)
    assert f" {judge.about.expected.words.accuracy} " in said["what was said"]
    assert judge.about.expected.words.accuracy.value > judge.about.expected.blind.accuracy.value
    assert "name a new folder" in refused(*command)


def test_too_few_questions(refused, folder: Path, tiny_folder: Path) -> None:
    lines = [json.dumps(one.as_json()) + "\n" for one in lessons(5)]
    Path("few.jsonl").write_text("".join(lines))
    line = refused("debate", "train-judge", "few.jsonl", "--model", tiny_folder, "--quiet")
    assert "20" in line
    assert "5" in line
