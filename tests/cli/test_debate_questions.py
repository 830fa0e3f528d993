"""`toprope debate questions`: the list, a look into a set, and a set as a file."""

import json
from collections import Counter
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from toprope.cli.debate_questions import questions
from toprope.errors import UserError
from toprope.techniques.debate.reading import load_questions

ROWS = [
    {"text": "Kelm has 41 wells.", "q": "Wells of Kelm?", "o": ["12", "41\a"], "a": 1},
    {"text": "Dorn has 12 wells. It rained.", "q": "Wells of Dorn?", "o": ["12", "41"], "a": 0},
]
DESCRIPTION = """\
title: Wells
licence: CC0
source: made up
files: [./wells.jsonl]
question: q
passage: text
options: o
answer: a
answer_is: number
"""


@pytest.fixture(autouse=True)
def wells(folder: Path) -> None:
    Path("wells.jsonl").write_text("".join(json.dumps(one) + "\n" for one in ROWS))
    Path("wells.yaml").write_text(DESCRIPTION)


def run(*arguments: object) -> Result:
    return CliRunner().invoke(questions, list(map(str, arguments)), catch_exceptions=False)


def test_the_list_has_what_is_built_in_and_the_descriptions_found():
    Path("examples/questions").mkdir(parents=True)
    Path("examples/questions/more.yaml").write_text(DESCRIPTION.replace("Wells", "More wells"))
    Path("examples/questions/wells.yaml").write_text(DESCRIPTION.replace("Wells", "Hidden"))
    Path("ladder.yaml").write_text("name: a\nrungs: []\n")
    result = run()
    lines = result.stdout.splitlines()
    assert [line.split()[0] for line in lines] == ["passages", "data:NAME", "wells", "more"]
    assert lines[3].endswith("More wells")
    assert "Hidden" not in result.stdout
    assert "left out: unknown key 'rungs' in ladder.yaml" in result.stderr


def test_a_look_has_the_facts_and_one_question_with_all_that_there_is():
    text = run("wells").stdout
    assert "questions:   2 in 2 groups\n" in text
    assert "options:     2: 2 questions\n" in text
    assert "right one:   A: 1, B: 1\n" in text
    assert "passages:    2, 4 to 6 words, half of them below 5\n" in text
    assert "licence:     CC0\n" in text
    assert "  passage (4):\n  | Kelm has 41 wells.\n" in text
    assert "    A. 12 (1)\n  * B. 41" in text
    assert "\a" not in text
    assert "Dorn" not in text


def test_a_question_is_found_by_its_id():
    assert "| Wells of Dorn?" in run("wells", "--question", "wells/00002").stdout
    with pytest.raises(UserError, match=r"unknown question 'wells/2'.*did you mean 'wells/00002'"):
        run("wells", "--question", "wells/2")


def test_passages_are_written_and_can_be_read_again():
    result = run("--passages", 8, "--difficulty", "3,4", "--words", 300, "--to", "hard.jsonl")
    assert result.stdout.startswith("8 questions: file:hard.jsonl?")
    rows = [json.loads(line) for line in Path("hard.jsonl").read_text().splitlines()]
    assert Counter(row["difficulty"] for row in rows) == {3: 4, 4: 4}
    read = load_questions(result.stdout.split()[-1])
    made = load_questions("passages?size=8&difficulty=3,4&words=300")
    assert len(read) == 8
    for one, other in zip(read.questions, made.questions, strict=True):
        same = ("text", "options", "answer", "passage")
        assert [getattr(one, key) for key in same] == [getattr(other, key) for key in same]


def test_any_set_can_be_written_and_is_there_whole_or_not_at_all():
    result = run("data:cities", "--limit", 20, "--to", "cities.jsonl")
    read = load_questions(result.stdout.split()[-1])
    assert {one.options for one in read.questions} == {("no (false)", "yes (true)")}
    before = Path("cities.jsonl").read_text()
    with pytest.raises(UserError, match="unknown dataset 'citis'"):
        run("data:citis", "--to", "cities.jsonl")
    assert Path("cities.jsonl").read_text() == before


def test_generated_passages_are_counted_by_what_is_known_of_them():
    text = run("--passages", 8, "--words", 200).stdout
    assert "difficulty:  1: 2, 2: 2, 3: 2, 4: 2\n" in text
    assert "  proof: [" in text


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["--difficulty", "3"], "--difficulty is of generated passages: give --passages NUMBER"),
        (["wells", "--passages", "3"], "'wells' names one: give one of the two"),
        (["--to", "x.jsonl"], "name one, or give --passages NUMBER"),
        (["--passages", "3", "--difficulty", "5"], "difficulty: Input should be less than"),
        (["wels"], "unknown questions 'wels'.*did you mean 'wells'"),
    ],
)
def test_a_mistake_is_told(arguments: list[str], complaint: str):
    with pytest.raises(UserError, match=complaint):
        run(*arguments)


@pytest.mark.model
def test_lengths_are_in_a_models_tokens():
    text = run("wells", "--model", "smollm2-135m").stdout
    assert "context:     8,192 tokens" in text
    assert "tokens, half of them" in text
