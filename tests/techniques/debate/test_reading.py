"""Questions from files and descriptions: what is read, what is refused and where."""

import json
import os
from collections import Counter
from pathlib import Path

import pytest

from toprope.errors import UserError
from toprope.techniques.debate.reading import load_questions

PASSAGE = "Kelm has 41 wells.\n\nDorn has 12."


def written(folder: Path, *rows: dict, name: str = "mine.jsonl") -> str:
    path = folder / name
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return f"file:{path}"


def row(**changes) -> dict:
    plain = {"article": PASSAGE, "question": "Wells of Kelm?", "options": ["12", "41"]}
    return plain | {"answer": "41"} | changes


def test_a_file_of_hidden_passage_questions(tmp_path: Path):
    address = written(tmp_path, row(), row(question="Of Dorn?", answer="12"), row(article="No."))
    found = load_questions(f"{address}?passage=article&options=options")
    first, second, third = found.questions
    assert (first.text, first.options, first.answer) == ("Wells of Kelm?", ("12", "41"), 1)
    assert first.passage == PASSAGE
    assert first.source.endswith("mine.jsonl line 1")
    assert second.right == "12"
    # Questions on one passage are resampled together.
    assert first.group == second.group != third.group
    assert (found.name, found.provenance.rows_read) == ("mine", 3)


@pytest.mark.parametrize(
    ("said", "kind"),
    [("41", "text"), ("b", "letter"), ("B", "letter"), (1, "number"), (2, "number from 1")],
)
def test_every_way_to_say_which_option_is_right(tmp_path: Path, said, kind: str):
    address = written(tmp_path, row(answer=said))
    found = load_questions(f"{address}?options=options&answer_is={kind}")
    assert found.questions[0].right == "41"


def test_options_in_columns_are_named_by_them(tmp_path: Path):
    path = tmp_path / "mine.csv"
    path.write_text("question,A,B,key\nWhich?,red,blue,b\n", encoding="utf-8")
    found = load_questions(f"file:{path}?options=A,B&answer=key&answer_is=name")
    assert (found.questions[0].options, found.questions[0].right) == (("red", "blue"), "blue")


def test_an_answer_is_read_exactly_before_letter_case_is_passed_over(tmp_path: Path):
    address = written(tmp_path, row(options=["us", "US"], answer="US"))
    assert load_questions(f"{address}?options=options").questions[0].answer == 1


@pytest.mark.parametrize(
    ("bad", "complaint"),
    [
        (row(options=["41"]), r"mine\.jsonl line 2 has 1 option: a debate needs two"),
        (row(answer=""), r"mine\.jsonl line 2: no answer: 'answer' is empty"),
        (row(answer=None), r"line 2: no answer"),
        (row(answer="13"), r"line 2: the answer '13' .* is none of the 2 options: 12 \| 41"),
        (row(options=["41", "41"]), r"line 2 has the same option twice"),
        (row(options=["41", " "]), r"line 2: an option is empty"),
        (row(options="41 or 12"), r"line 2: 'options' holds no list of options"),
        (row(question=" "), r"line 2 has no text"),
        (row(article=""), r"line 2: the passage is empty"),
        ({"question": "?", "answer": "1"}, r"unknown column '.*' in .*line 2"),
    ],
)
def test_what_is_no_question_is_named_by_file_and_line(tmp_path: Path, bad: dict, complaint: str):
    address = written(tmp_path, row(question="Fine?"), bad)
    with pytest.raises(UserError, match=complaint) as raised:
        load_questions(f"{address}?passage=article&options=options")
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        ("", "give one of `options`, `options_are` and `steps`"),
        ("?options=options&answers=a", "unknown option 'answers'.*did you mean 'answer'"),
        ("?options=options&answer_is=place", "answer_is: Input should be 'text', 'name'"),
        ("?options=option", "unknown column 'option'.*did you mean 'options'"),
    ],
)
def test_a_bad_address_is_told(tmp_path: Path, options: str, complaint: str):
    with pytest.raises(UserError, match=complaint):
        load_questions(written(tmp_path, row()) + options)


def test_a_question_twice_is_there_once_and_not_at_all_where_its_answers_differ(tmp_path: Path):
    rows = [row(), row(options=["41", "12"]), row(question="A?"), row(question="a?", answer="12")]
    found = load_questions(f"{written(tmp_path, *rows)}?options=options")
    assert [q.text for q in found.questions] == ["Wells of Kelm?"]
    dropped = {"repeated question": 1, "the same question with two answers": 2}
    assert found.provenance.examples_dropped == dropped


def test_a_limit_takes_whole_groups_and_answers_in_proportion(tmp_path: Path):
    rows = [
        row(article=f"{i // 2}", question=f"{i}?", answer=("12", "41")[i % 2]) for i in range(40)
    ]
    found = load_questions(f"{written(tmp_path, *rows)}?options=options&passage=article", limit=10)
    assert Counter(q.answer for q in found.questions) == {0: 5, 1: 5}
    assert set(Counter(q.group for q in found.questions).values()) == {2}
    with pytest.raises(UserError, match="limit 1: too small for any whole group"):
        load_questions(f"{written(tmp_path, *rows)}?options=options&passage=article", limit=1)


def test_settings_of_the_built_in_passages_are_in_the_name():
    found = load_questions("passages?difficulty=2,4&words=300", limit=6, seed=1)
    assert [found.about[q.id]["difficulty"] for q in found.questions] == [2, 4] * 3
    with pytest.raises(UserError, match=r"unknown option 'lenght'.*known: difficulty, options"):
        load_questions("passages?lenght=3")
    with pytest.raises(UserError, match=r"difficulty: Input should be less than or equal to 4"):
        load_questions("passages?difficulty=5")
    with pytest.raises(UserError, match=r"unknown questions 'pasages'.*did you mean 'passages'"):
        load_questions("pasages")


EXAMPLES = Path(__file__).parents[3] / "examples" / "questions"
SETS = {
    # Rows as counted by Python's json module alone; questions; options.
    "bigbench_mistake": (2186, 1536, range(3, 17)),
    "gsm8k_answers": (1319, 2936, (2,)),
    "gsm8k_claims": (1319, 3988, (2,)),
    "gsm8k_claims_reference": (1319, 3988, (2,)),
    "strategyqa_facts": (2290, 2140, (2,)),
}


def test_every_description_is_tried():
    assert {path.stem for path in EXAMPLES.glob("*.yaml")} == set(SETS)


@pytest.mark.skipif("TOPROPE_DATA" not in os.environ, reason="needs a data folder: TOPROPE_DATA")
@pytest.mark.parametrize("name", SETS)
def test_a_description_reads_its_set(name: str):
    found = load_questions(str(EXAMPLES / f"{name}.yaml"))
    rows, questions, options = SETS[name]
    assert (found.provenance.rows_read, len(found)) == (rows, questions)
    assert {len(q.options) for q in found.questions} <= set(options)
    assert len({q.id for q in found.questions}) == len(found)
    answers = Counter(q.answer for q in found.questions)
    if name == "gsm8k_answers":
        assert set(answers) == {0}  # two columns in this order; seatings swap them
    elif options == (2,):
        assert answers[0] == answers[1]
    has_passages = name in ("gsm8k_answers", "gsm8k_claims_reference", "strategyqa_facts")
    assert all(bool(q.passage) is has_passages for q in found.questions)
