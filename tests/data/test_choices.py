"""A multiple-choice question becomes two examples: its correct option, and a wrong one."""

from collections import Counter

import pytest

from toprope.data.choices import candidates
from toprope.data.config import Choices
from toprope.data.rows import Row
from toprope.errors import UserError

PATTERN = r"(?P<name>Answer\d): (?P<option>.*?)(?=\s+Answer\d: |$)"
IN_TEXT = Choices(column="options", pattern=PATTERN, correct="key")
COLUMNS = Choices(columns=("A", "B", "C"), correct="key")
LIST = Choices(column="options", correct="best", correct_is="text")
SPLIT = Choices(column="wrong", separator="; ", correct="best", correct_is="text")


def row(**values) -> Row:
    return Row("q.json", 7, "row", values)


QUESTIONS = [
    (IN_TEXT, row(options="Answer1: red  Answer2: dark blue Answer3: green", key="answer2")),
    (COLUMNS, row(A="red", B="dark blue", C="green", key="b")),
    (LIST, row(options=["red", "dark blue", "green"], best="dark blue")),
    (SPLIT, row(wrong="red; green", best="dark blue")),
]


@pytest.mark.parametrize(("choices", "question"), QUESTIONS)
def test_one_correct_and_one_wrong_option(choices, question):
    wrongs = Counter()
    for seed in range(40):
        pair = candidates(question, choices, seed=seed, key="q1")
        assert [c.text for c in pair if c.correct] == ["dark blue"]
        wrongs.update(c.text for c in pair if not c.correct)
        assert pair == candidates(question, choices, seed=seed, key="q1")
    # Both wrong options are drawn; neither in fewer than 5 of 40 throws (binomial, p < 1e-5).
    assert set(wrongs) == {"red", "green"}
    assert min(wrongs.values()) >= 5


def test_another_question_draws_for_itself():
    choices, question = QUESTIONS[1]
    drawn = {tuple(candidates(question, choices, seed=0, key=f"q{i}")) for i in range(20)}
    assert len(drawn) == 2


def test_an_option_that_repeats_the_correct_text_is_not_a_wrong_one():
    question = row(A="red", B="blue", C="red", key="A")
    for seed in range(20):
        assert {c.text for c in candidates(question, COLUMNS, seed=seed, key="q")} == {
            "red",
            "blue",
        }


@pytest.mark.parametrize(
    ("choices", "question", "message"),
    [
        (COLUMNS, row(A="x", B="y", C="z", key="D"), r"q.json row 7: .*'D' isn't among: A, B, C"),
        (COLUMNS, row(A="x", B="x", C="x", key="A"), r"row 7: a question needs two different"),
        (COLUMNS, row(A="x", B="", C="x", key="A"), r"row 7: an option is empty"),
        (COLUMNS, row(A="x", B="y", key="A"), r"unknown column 'C' in q.json row 7"),
        (COLUMNS, row(A="x", B="y", C="z", key=""), r"row 7: 'key' is empty"),
        (IN_TEXT, row(options="none here", key="Answer1"), r"row 7: no options found in 'options'"),
        (LIST, row(options="red", best="red"), r"row 7: 'options' holds no list"),
    ],
)
def test_a_question_that_makes_no_sense_is_named(choices, question, message):
    with pytest.raises(UserError, match=message):
        candidates(question, choices, seed=0, key="q")
