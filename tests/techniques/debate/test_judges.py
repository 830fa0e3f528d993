"""Judges: what they hear, and what their words amount to."""

import asyncio

import numpy as np
import pytest

from toprope.errors import UserError
from toprope.models.chat import Reply
from toprope.techniques.debate.judges import Hearing, LocalJudge, prompt, verdict_of
from toprope.techniques.debate.questions import Question
from toprope.techniques.debate.transcript import Seating, Turn

from .playing import PASSAGE, QUESTION

TURNED = Seating((1, 0), (1, 0))
HEARING = Hearing(QUESTION.hidden(), TURNED, (Turn("Debater A", "debater", "words", 1),), 2)


def verdict(text: str):
    return verdict_of(HEARING, Reply(text, "answered" if text else "empty", tokens=4))


def test_an_answer_with_probabilities_by_the_place_shown():
    found = verdict("A: 30%\nB: 70%\nAnswer: B")
    assert (found.answer, found.probabilities) == (0, (0.7, 0.3))
    assert (found.outcome, found.round, found.tokens, found.stated) == ("answered", 2, 4, True)


def test_probabilities_alone_name_the_likelier_answer():
    assert verdict("A: 80%\nB: 20%").answer == 1
    assert verdict("A: 50%\nB: 50%").outcome == "unnamed"


def test_an_answer_alone_is_taken_as_sure_and_marked():
    found = verdict("Answer: A")
    assert (found.answer, found.probabilities, found.stated) == (1, (0.0, 1.0), False)


@pytest.mark.parametrize(
    ("text", "outcome"),
    [
        ("Both are good.", "unnamed"),
        ("Answer: C", "unnamed"),
        ("", "empty"),
        ("I'm sorry, but I can't decide", "refused"),
    ],
)
def test_no_answer_is_an_outcome_of_its_own(text: str, outcome: str):
    found = verdict(text)
    assert (found.answer, found.probabilities, found.outcome) == (None, (), outcome)


def test_an_answer_that_never_came():
    assert verdict_of(HEARING, Reply("", "timeout")).outcome == "lost"
    assert verdict_of(HEARING, Reply("", "filtered")).outcome == "refused"


def test_the_judge_reads_the_passage_only_as_an_expert():
    for name in ("judge_verdict", "judge_letter"):
        assert PASSAGE not in prompt(HEARING, name)
        assert PASSAGE in prompt(Hearing(QUESTION, TURNED), name)
        assert "A. In 1925\nB. In 1889" in prompt(HEARING, name)
        assert "Debater A (round 1): words" in prompt(HEARING, name)
        assert "{{" not in prompt(HEARING, name)


def test_a_local_judge_gives_the_letters_probabilities_by_option(tiny_model):
    three = Question("q3", "Which?", ("a", "b", "c"), 0)
    hearings = [
        HEARING,
        Hearing(QUESTION, Seating((0, 1), (0, 1))),
        Hearing(three, Seating((2, 0, 1), ())),
    ]

    async def ask():
        judge = LocalJudge(tiny_model)
        return await asyncio.gather(*map(judge, hearings))

    for hearing, found in zip(hearings, asyncio.run(ask()), strict=True):
        messages = [{"role": "user", "content": prompt(hearing, "judge_letter")}]
        n = len(hearing.seating.shown)
        [shown] = tiny_model.option_probs([messages], list("ABC")[:n])
        expected = [shown[hearing.seating.shown.index(i)] for i in range(n)]
        np.testing.assert_allclose(found.probabilities, expected, atol=1e-5)
        assert found.answer == int(np.argmax(expected))


def test_a_base_model_judges_plain_text(base_model):
    found = asyncio.run(LocalJudge(base_model)(HEARING))
    text = prompt(HEARING, "judge_letter") + "\nAnswer:"
    [shown] = base_model.option_probs([text], [" A", " B"])
    np.testing.assert_allclose(found.probabilities, shown[::-1], atol=1e-5)


def test_what_is_longer_than_the_context_says_by_how_much(tiny_model):
    long = Hearing(QUESTION, TURNED, (Turn("Debater A", "debater", "word " * 500, 1),))
    with pytest.raises(UserError, match=r"has [\d,]+ tokens, [\d,]+ too many for its context"):
        asyncio.run(LocalJudge(tiny_model)(long))
