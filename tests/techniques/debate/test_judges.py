"""Judges: what they hear, and what their words amount to."""

import asyncio
from dataclasses import replace

import numpy as np
import pytest

from toprope.errors import UserError
from toprope.models.chat import Reply
from toprope.techniques.debate import judges
from toprope.techniques.debate.judges import ASKED, Asked, Hearing, LocalJudge, prompt, verdict_of
from toprope.techniques.debate.questions import Question
from toprope.techniques.debate.transcript import Seating, Turn, rotations

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


@pytest.mark.parametrize("asked", ["verdict", "letter", "answer"])
def test_the_judge_reads_the_passage_only_as_an_expert(asked: Asked):
    assert PASSAGE not in prompt(HEARING, asked)
    assert PASSAGE in prompt(Hearing(QUESTION, TURNED), asked)
    assert "Debater A (round 1): words" in prompt(HEARING, asked)
    assert "{{" not in prompt(HEARING, asked)
    # A small model repeats an answer that it is shown; whoever names a letter has to know it.
    assert ("A. In 1925\nB. In 1889" in prompt(HEARING, asked)) == (asked != "answer")


def test_a_judge_is_told_of_what_there_is_and_asked_last():
    """A small model answers what it read last: after the words, the question."""
    blind, expert = prompt(Hearing(QUESTION.hidden(), TURNED), "letter"), Hearing(QUESTION, TURNED)
    assert blind.startswith(f"Question: {QUESTION.text}")
    assert "speak" not in prompt(expert, "letter")
    quoting = Turn("Debater A", "debater", "<v_quote>words</v_quote>", 1, verified=1)
    quoted = prompt(replace(HEARING, turns=(quoting,)), "letter")
    assert "<v_quote> was checked" in quoted
    assert "<v_quote> was checked" not in prompt(HEARING, "letter")
    assert quoted.index("words</v_quote>") < quoted.index(QUESTION.text)


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
        messages = [{"role": "user", "content": prompt(hearing, "letter")}]
        n = len(hearing.seating.shown)
        [shown] = tiny_model.option_probs([messages], list("ABC")[:n])
        expected = [shown[hearing.seating.shown.index(i)] for i in range(n)]
        np.testing.assert_allclose(found.probabilities, expected, atol=1e-5)
        assert found.answer == int(np.argmax(expected))


def test_a_local_judge_gives_the_probabilities_of_the_answers_own_words(tiny_model):
    three = Question("q3", "Which?", ("a town", "Paris is a town", "no"), 0)
    hearings = [HEARING, Hearing(QUESTION, Seating((0, 1), (0, 1)))]
    hearings += [Hearing(three, Seating(order, ())) for order in ((2, 0, 1), (0, 1, 2))]

    async def ask():
        judge = LocalJudge(tiny_model, "answers")
        return await asyncio.gather(*map(judge, hearings))

    for hearing, found in zip(hearings, asyncio.run(ask()), strict=True):
        messages = [{"role": "user", "content": prompt(hearing, "answer")}]
        # The pass that reads each answer for itself; a long one isn't the less likely for it.
        options = hearing.question.options
        [expected] = tiny_model.option_probs([messages], options, length="mean")
        np.testing.assert_allclose(found.probabilities, expected, atol=1e-4)
        assert found.answer == int(np.argmax(expected))
    ways = {LocalJudge(tiny_model, by).fingerprint for by in ("letters", "answers")}
    assert len(ways) == 2


def test_seatings_that_ask_alike_are_read_once(tiny_model, monkeypatch):
    read: list[int] = []
    usual = type(tiny_model).option_probs

    def counted(self, prompts, options, **more):
        read.append(len(prompts))
        return usual(self, prompts, options, **more)

    monkeypatch.setattr(type(tiny_model), "option_probs", counted)
    other = replace(QUESTION, text="Who built it?")
    alike = [Hearing(one, order) for one in (QUESTION, other) for order in rotations(one)]
    judge = LocalJudge(tiny_model, "answers")

    async def ask():
        return await asyncio.gather(*map(judge, alike))

    found = asyncio.run(ask())
    assert (sum(read), len(found)) == (2, 4)
    assert found[0] == found[1] != found[2] == found[3]


@pytest.mark.parametrize("by", ["letters", "answers"])
def test_other_words_to_the_judge_make_another_judge(tiny_model, by, monkeypatch):
    """So that no verdict that was kept is taken for one that is asked for otherwise."""
    before = LocalJudge(tiny_model, by).fingerprint
    monkeypatch.setattr(judges, "prompt_text", lambda package, name: f"{name}, in other words")
    assert LocalJudge(tiny_model, by).fingerprint != before


@pytest.mark.parametrize("by", ["letters", "answers"])
def test_what_fills_the_context_to_its_end_is_read_and_no_more(tiny_model, by):
    """With the longest answer to follow."""

    def heard(n: int) -> Hearing:
        return Hearing(QUESTION, TURNED, (Turn("Debater A", "debater", "a " * n, 1),))

    judge = LocalJudge(tiny_model, by)
    said = {"letters": ["A", "B"], "answers": QUESTION.options}[by]
    longest = max(len(tiny_model.continuation(one)) for one in said)
    name = ASKED[by]

    def tokens(n: int) -> int:
        return len(tiny_model.tokens([{"role": "user", "content": prompt(heard(n), name)}]))

    fits = max(n for n in range(500) if tokens(n) + longest <= tiny_model.context)
    assert asyncio.run(judge(heard(fits))).tokens == tokens(fits)
    with pytest.raises(UserError, match="too many for its context"):
        asyncio.run(judge(heard(fits + 1)))


def test_a_base_model_judges_plain_text(base_model):
    found = asyncio.run(LocalJudge(base_model)(HEARING))
    text = prompt(HEARING, "letter") + "\nAnswer:"
    [shown] = base_model.option_probs([text], [" A", " B"])
    np.testing.assert_allclose(found.probabilities, shown[::-1], atol=1e-5)
    found = asyncio.run(LocalJudge(base_model, "answers")(HEARING))
    text = prompt(HEARING, "answer") + "\nAnswer:"
    said = [f" {one}" for one in QUESTION.options]
    [expected] = base_model.option_probs([text], said, length="mean")
    np.testing.assert_allclose(found.probabilities, expected, atol=1e-4)


def test_what_is_longer_than_the_context_says_by_how_much(tiny_model):
    long = Hearing(QUESTION, TURNED, (Turn("Debater A", "debater", "word " * 500, 1),))
    with pytest.raises(UserError, match=r"has [\d,]+ tokens, [\d,]+ too many for its context"):
        asyncio.run(LocalJudge(tiny_model)(long))
