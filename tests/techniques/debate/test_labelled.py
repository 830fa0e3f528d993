"""A labelled dataset as questions of a debate, and its debates as the dataset's again."""

import json
from pathlib import Path

import pytest

from toprope.data import load
from toprope.data.debated import joined
from toprope.errors import UserError
from toprope.techniques.debate.reading import load_questions
from toprope.techniques.debate.transcript import Transcript, Turn, rotations


def test_every_example_is_a_question_with_its_id_group_and_answer():
    data = load("cities", limit=20, seed=3)
    found = load_questions("data:cities", limit=20, seed=3)
    assert [one.id for one in found.questions] == [one.id for one in data.examples]
    for question, example in zip(found.questions, data.examples, strict=True):
        assert question.options == ("no (false)", "yes (true)")
        assert question.answer == example.label
        assert question.unit == example.group
        assert question.passage == ""
        assert example.text == f"{question.text}\nAnswer:"
        assert found.about[question.id]["city"] == example.group
    assert found.name == "cities"


def test_an_option_is_said_once_where_label_and_answer_are_one_word(tmp_path: Path):
    path = tmp_path / "reviews.csv"
    rows = [f"film {i},{'yes' if i % 2 else 'no'}" for i in range(8)]
    path.write_text("\n".join(["text,label", *rows]))
    found = load_questions(f"data:file:{path}?labels=no,yes")
    assert {one.options for one in found.questions} == {("no", "yes")}


def test_debates_about_the_questions_are_joined_to_the_examples(tmp_path: Path):
    path = tmp_path / "debate.jsonl"
    turn = Turn("Debater A", "debater", "It is so.", 0)
    games = [
        Transcript("debate", one, seating, (turn,)).as_json()
        for one in load_questions("data:cities", limit=20).questions
        for seating in rotations(one)
    ]
    path.write_text("".join(json.dumps(game) + "\n" for game in games))
    data = load("cities", limit=20)
    found = joined(data, [str(path)], fewest=20)
    assert found.data.examples == data.examples
    assert found.left_out == 0
    assert len(found.said) == 2


def test_an_unknown_dataset_is_told():
    with pytest.raises(UserError, match="unknown dataset 'citis': did you mean 'cities'"):
        load_questions("data:citis")
