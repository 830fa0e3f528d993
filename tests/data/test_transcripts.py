"""Reading transcripts: what is public in them, and which file is meant."""

from dataclasses import asdict
from pathlib import Path

import pytest

from toprope.data.transcripts import file_of, heard, posed, rendered
from toprope.errors import UserError
from toprope.techniques.debate import debaters
from toprope.techniques.debate.questions import Question
from toprope.techniques.debate.transcript import Private, Transcript, Turn, rotations

from .transcript_lines import game, write


def test_what_is_read_is_what_everyone_hears(tmp_path: Path):
    path = write(tmp_path / "debate.jsonl", [game("q1", "Is it so?", "It is.", shown=[1, 0])])
    [one] = heard(Path(path))
    assert (one.id, one.text, one.options) == ("q1", "Is it so?", "A. yes\nB. no")
    assert one.words == "Debater A (round 1): It is."
    assert "secret" not in str(asdict(one))
    assert "93" not in str(asdict(one))


def test_a_debates_own_transcripts_are_read_as_its_judge_reads_them(tmp_path: Path):
    question = Question("q", "Which?", ("this", "that"), 0)
    turns = (
        Turn("Debater A", "debater", "", 0, 1, "bet", private=Private(80.0)),
        Turn("Debater A", "debater", "It is <v_quote>this</v_quote>.", 0, 1),
        Turn("Debater B", "debater", "", 1, 1, outcome="empty"),
        Turn("Judge", "judge", "Why?", None, 1, "question"),
        Turn("Debater A", "debater", "For that.", 0, 2),
    )
    kept = Transcript("debate", question, rotations(question)[1], turns).as_json()
    [one] = heard(Path(write(tmp_path / "debate.jsonl", [kept])))
    assert one.words == debaters.rendered(turns) == rendered(turns)
    assert one.options == "A. that\nB. this"


@pytest.mark.parametrize(
    ("line", "complaint"),
    [
        ("{", r"debate\.jsonl line 2 is no transcript of a debate"),
        ('{"question": 1}', r"line 2 is no transcript"),
        ("[1]", r"line 2 is no transcript"),
    ],
)
def test_a_bad_line_is_named(tmp_path: Path, line: str, complaint: str):
    path = Path(write(tmp_path / "debate.jsonl", [game("q", "So?", "Yes.")]))
    path.write_text(path.read_text() + line + "\n")
    with pytest.raises(UserError, match=complaint) as raised:
        list(heard(path))
    assert "\n" not in str(raised.value)


def test_a_file_that_is_not_there(tmp_path: Path):
    with pytest.raises(UserError, match=r"can't read .*none\.jsonl: No such file"):
        list(heard(tmp_path / "none.jsonl"))


def test_of_a_runs_folder_the_debate_is_meant(tmp_path: Path):
    with pytest.raises(UserError, match="no debates in"):
        file_of(str(tmp_path))
    for name in ("consultancy", "blind"):
        write(tmp_path / "artifacts/debate/x" / "transcripts" / f"{name}.jsonl", [])
    with pytest.raises(UserError, match=r"several files .*blind\.jsonl, .*consultancy\.jsonl"):
        file_of(str(tmp_path))
    wanted = write(tmp_path / "artifacts/debate/x/transcripts/debate.jsonl", [])
    assert str(file_of(str(tmp_path))) == wanted
    write(tmp_path / "artifacts/debate/y/transcripts/debate.jsonl", [])
    with pytest.raises(UserError, match=r"several files .*x/transcripts/debate\.jsonl, .*y/trans"):
        file_of(str(tmp_path))


@pytest.mark.parametrize(
    ("text", "question"),
    [
        ("Question: Is it?\nAnswer:", "Is it?"),
        ("Q: Is it? A:", "Is it?"),
        ("It is.\nQuestion: Is this true?\nAnswer:", "It is.\nQuestion: Is this true?"),
        ("The answer is option A", "The answer is option A"),
    ],
)
def test_a_prompt_as_a_question(text: str, question: str):
    assert posed(text) == question
