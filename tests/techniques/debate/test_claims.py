"""Graded solutions and first wrong steps as questions."""

import gzip
import json
import os
from pathlib import Path

import pytest

from toprope.errors import UserError
from toprope.techniques.debate.reading import load_questions

CLAIMS = """
files: [./rows.jsonl]
solutions: {columns: [weak, strong]}
question: "{question} {solution}"
without: <<.*?>>
options_are: ["yes", "no"]
answer: is_correct
answer_values: {true: "yes", false: "no"}
group: question
meta: [solver]
"""
STEPS = """
files: [./rows.jsonl]
question: input
steps: {count_from: 0}
"""


def described(folder: Path, description: str, *rows: dict) -> str:
    (folder / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    path = folder / "mine.yaml"
    path.write_text(description)
    return str(path)


def test_each_graded_solution_is_a_claim_in_the_group_of_its_problem(tmp_path: Path):
    solutions = {
        "weak": {"solution": "1+1=<<1+1=3>>3", "is_correct": False},
        "strong": {"solution": "1+1=2", "is_correct": True},
    }
    rows = [{"question": question, **solutions} for question in ("One and one?", "Two ones?")]
    found = load_questions(described(tmp_path, CLAIMS, *rows))
    first, second, third, _ = found.questions
    assert (first.text, first.right) == ("One and one? 1+1=3", "no")
    assert (second.text, second.right) == ("One and one? 1+1=2", "yes")
    assert first.group == second.group != third.group
    assert found.about[second.id] == {"solver": "strong"}


ANSWERS = r"""
files: [./rows.jsonl]
solutions: {columns: [weak, strong, other]}
where: {is_correct: false}
extract:
  - {column: truth, pattern: '.*= (?P<right>\d+)'}
  - {column: solution, pattern: '.*= (?P<proposed>\d+)', unmatched: skip}
question: question
options: [right, proposed]
answer: right
group: question
"""


def test_wrong_solutions_alone_can_make_questions_of_two_answers(tmp_path: Path):
    row = {
        "question": "One and one?",
        "truth": "1 + 1 = 2",
        "weak": {"solution": "1 + 1 = 3", "is_correct": False},
        "strong": {"solution": "1 + 1 = 2", "is_correct": True},
        "other": {"solution": "I give up", "is_correct": False},
    }
    found = load_questions(described(tmp_path, ANSWERS, row))
    [question] = found.questions
    assert (question.options, question.right) == (("2", "3"), "2")
    assert found.provenance.rows_dropped == {
        "is_correct is not false": 1,
        "solution doesn't match the pattern for proposed": 1,
    }


def test_a_column_without_a_graded_solution_is_told(tmp_path: Path):
    name = described(tmp_path, CLAIMS, {"question": "?", "weak": "2", "strong": {}})
    with pytest.raises(UserError, match=r"line 1: 'weak' holds no object with a solution"):
        load_questions(name)


@pytest.mark.parametrize(("index", "right"), [(0, 0), (1, 1), (None, 2)])
def test_the_options_are_the_steps_and_none(tmp_path: Path, index: int | None, right: int):
    row = {"input": "2 + 2 + 2", "steps": ["2 + 2 = 4", "2 + 2 = 4"], "mistake_index": index}
    (question,) = load_questions(described(tmp_path, STEPS, row)).questions
    assert question.options == ("Step 1: 2 + 2 = 4", "Step 2: 2 + 2 = 4", "No step is wrong.")
    assert question.answer == right


@pytest.mark.parametrize(
    ("changes", "complaint"),
    [
        ({"mistake_index": 2}, r"line 1: 'mistake_index' is '2', and should be .*, 0 to 1"),
        ({"mistake_index": "first"}, r"'mistake_index' is 'first'"),
        ({"steps": []}, r"line 1: 'steps' holds no list of steps"),
        ({"steps": "a, b"}, r"line 1: 'steps' holds no list of steps"),
    ],
)
def test_a_row_without_such_a_step_is_told(tmp_path: Path, changes: dict, complaint: str):
    row = {"input": "?", "steps": ["a", "b"], "mistake_index": 1} | changes
    with pytest.raises(UserError, match=complaint):
        load_questions(described(tmp_path, STEPS, row))


@pytest.mark.skipif("TOPROPE_DATA" not in os.environ, reason="needs a data folder: TOPROPE_DATA")
def test_the_step_pointed_at_in_bigbench_mistake_is_the_one_in_its_file():
    folder = Path(os.environ["TOPROPE_DATA"]) / "bigbench_mistake"
    description = Path(__file__).parents[3] / "examples" / "questions" / "bigbench_mistake.yaml"
    truth = {}
    with gzip.open(folder / "logical_deduction.jsonl.gz", "rt", encoding="utf-8") as lines:
        for row in map(json.loads, lines):
            at = row["mistake_index"]
            truth[row["input"]] = "No step is wrong." if at is None else row["steps"][at].strip()
    found = load_questions(str(description))
    tried = 0
    for question in found.questions:
        problem = question.text.removeprefix("Problem: ").rpartition("\n\nThe options")[0]
        if problem in truth:
            step = question.right
            said = step.partition(": ")[2] if step.startswith("Step ") else step
            assert said == truth[problem]
            tried += 1
    assert tried > 250
