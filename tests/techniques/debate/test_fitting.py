"""Passages longer than a model's context: told by how much, or cut to what matters."""

from dataclasses import replace

import pytest

from toprope.errors import UserError
from toprope.techniques.debate.fitting import fitted, shortened
from toprope.techniques.debate.passages.generate import PassageSettings, passages
from toprope.techniques.debate.questions import Question
from toprope.techniques.debate.sets import QuestionSet

PARAGRAPHS = (
    "The weather was wet, and the wells overflowed.",
    "Kelm has 41 wells, as the ledger says.",
    "Nothing else was written down that year.",
    "Dorn has 12 of them. A cart overturned near Dorn in May, and its driver walked home.",
)
QUESTION = Question(
    "q1",
    "How many wells has Kelm?",
    ("12", "41"),
    1,
    "\n\n".join(PARAGRAPHS),
    source="a.csv line 2",
)


def words(text: str) -> int:
    return len(text.split())


def test_a_passage_that_fits_is_left_alone():
    questions = QuestionSet("mine", (QUESTION,))
    assert fitted(questions, count=words, room=words(QUESTION.passage), model="m") is questions


def test_a_passage_too_long_is_told_with_the_way_out():
    n = words(QUESTION.passage)
    complaint = (
        rf"'q1' \(a.csv line 2\): the passage has {n} tokens, 5 more than the {n - 5} .* 'm'"
    )
    with pytest.raises(UserError, match=complaint) as raised:
        fitted(QuestionSet("mine", (QUESTION,)), count=words, room=n - 5, model="m")
    assert "set `split`" in str(raised.value)


def test_what_shares_words_with_the_question_or_any_option_is_kept_in_order():
    kept = shortened(QUESTION, count=words, room=28)
    assert PARAGRAPHS[1] in kept
    assert PARAGRAPHS[2] not in kept
    assert kept.index(PARAGRAPHS[1]) < kept.index("Dorn has 12")
    assert "[...]" in kept
    assert words(kept) <= 28


def test_a_paragraph_that_is_itself_too_long_is_taken_by_sentences():
    kept = shortened(QUESTION, count=words, room=14)
    assert words(kept) <= 14
    assert "41 wells" in kept
    assert "driver" not in kept


def test_the_cut_does_not_depend_on_which_answer_is_right():
    questions = passages(PassageSettings(size=20, words=400)).questions
    for question in questions:
        other = replace(question, answer=1 - question.answer)
        assert shortened(question, count=words, room=150) == shortened(other, count=words, room=150)


def test_cut_passages_keep_most_of_the_proof_and_are_counted():
    found = passages(PassageSettings(size=60, words=800, difficulty=(1, 2)), seed=2)
    cut = fitted(found, count=words, room=300, model="m", split=True)
    assert max(words(q.passage) for q in cut.questions) <= 300
    kept = [
        sentence in question.passage
        for question in cut.questions
        for sentence in cut.about[question.id]["proof"]
    ]
    # A random three eighths of the paragraphs would have that share of the sentences.
    assert sum(kept) / len(kept) > 0.8
    assert all(0.2 < cut.about[q.id]["passage_kept"] <= 0.375 for q in cut.questions)
    assert cut.provenance.notes == ("60 passages cut to the 300 tokens that 'm' has room for",)
    assert "passage_kept" not in found.about[found.questions[0].id]


def test_no_room_for_a_sentence_is_told():
    with pytest.raises(UserError, match="none of its sentences fits"):
        fitted(QuestionSet("mine", (QUESTION,)), count=words, room=2, model="m", split=True)


def test_what_is_cut_twice_is_a_share_of_the_whole():
    once = fitted(QuestionSet("mine", (QUESTION,)), count=words, room=28, model="m", split=True)
    twice = fitted(once, count=words, room=14, model="n", split=True)
    left = words(twice.questions[0].passage) / words(QUESTION.passage)
    assert twice.about["q1"]["passage_kept"] == pytest.approx(left)
