"""Outcomes: nothing that went wrong is lost from sight."""

from dataclasses import replace

import pytest

from toprope.techniques.debate.measures.outcomes import gives_in, outcomes, quotes_answer
from toprope.techniques.debate.questions import Question
from toprope.techniques.debate.transcript import Turn, Verdict

from ..playing import judged


def test_every_outcome_is_counted():
    turns = (
        Turn("Debater A", "debater", "words", 0, verified=2, tokens=5),
        Turn("Debater B", "debater", "w", 1, outcome="cut", unverified=1, tokens=7),
        Turn("Debater A", "debater", "", 0, outcome="empty"),
    )
    verdicts = (Verdict(0, (1.0, 0.0), tokens=3), Verdict(0, (1.0, 0.0), stated=False, tokens=4))
    one = replace(judged(0), turns=turns, verdicts=verdicts)
    found = outcomes([one, judged(1, None)])
    assert found.turns == {"spoken": 1, "cut": 1, "empty": 1}
    assert found.verdicts == {"answered": 1, "unnamed": 1}
    assert (found.unstated, found.verified, found.unverified, found.tokens) == (1, 2, 1, 19)


@pytest.mark.parametrize(
    ("position", "text", "expected"),
    [
        (0, "It is 14: <v_quote>The tower had 14 wells.</v_quote>", True),
        (1, "It is 57: <v_quote>The tower had 14 wells.</v_quote>", False),
        (0, "It is 14: <u_quote>The tower had 14 wells.</u_quote>", False),
        (0, "14. <v_quote>The tower had 140 wells.</v_quote>", False),
        (0, "<v_quote>It is old.</v_quote> And <v_quote>there\nare 14.</v_quote>", True),
        (2, "<v_quote>There were Many\nSmall wells.</v_quote>", True),
        (0, "The tower had 14 wells.", False),
        (None, "<v_quote>The tower had 14 wells.</v_quote>", False),
    ],
)
def test_who_quotes_words_with_its_answer_in_them(position, text: str, expected: bool):
    question = Question("q", "How many wells?", ("14", "57", "many small wells."), 0)
    assert quotes_answer(question, Turn("Debater", "debater", text, position)) == expected


@pytest.mark.parametrize(
    ("position", "text", "expected"),
    [
        (1, "There were 14 wells.", True),
        (0, "There were 14 wells.", False),
        (1, "Not 14: 57 wells.", False),
        (1, "140 wells, 1,142 sheep, 3.14 miles, 14.5 days", False),
        (1, "There were 14, and so it is 14.", True),
        (1, "Nobody knows.", False),
        (None, "There were 14 wells.", False),
    ],
)
def test_who_names_the_other_answer_alone_gives_in(position, text: str, expected: bool):
    question = Question("q", "How many wells?", ("14", "57"), 0)
    assert gives_in(question, Turn("Debater", "debater", text, position)) == expected
