"""Questions: what can't be debated is said in one line; places turn and truth stays."""

import pytest

from toprope.errors import UserError
from toprope.techniques.debate.questions import Question


@pytest.mark.parametrize(
    ("options", "answer", "complaint"),
    [
        (("yes",), 0, "1 option: a debate needs two"),
        ((), 0, "0 options: a debate needs two"),
        (("yes", "no"), 2, "no right answer: 'answer' is 2"),
        (("yes", "no"), -1, "no right answer"),
        (("yes", "no"), None, "no right answer: 'answer' is None"),
        (("yes", " yes "), 0, "the same option twice"),
        (("yes", " "), 0, "an empty option"),
    ],
)
def test_what_cannot_be_debated(options, answer, complaint: str):
    with pytest.raises(UserError, match=complaint) as error:
        Question("q7", "Is it?", options, answer, source="set.jsonl")
    assert "question 'q7' of set.jsonl" in str(error.value)


def test_there_are_letters_for_26_options():
    assert len(Question("q", "Which?", tuple(map(str, range(26))), 1).options) == 26
    with pytest.raises(UserError, match="27 options, and there are letters for 26"):
        Question("q", "Which?", tuple(map(str, range(27))), 1)


def test_what_is_hidden_and_what_is_kept_as_json():
    question = Question("q", "Which?", ("a", "b"), 1, passage="secret", group="g", source="s")
    assert question.hidden().passage == ""
    assert Question.of_json(question.as_json()) == question
    assert (question.unit, Question("q", "Which?", ("a", "b"), 1).unit) == ("g", "q")
