"""Generated documents: the text proves one answer, and neither counting words nor guessing does."""

import re
from collections import Counter
from collections.abc import Callable
from functools import cache

import numpy as np
import pytest

from toprope.errors import UserError
from toprope.statistics import wilson
from toprope.techniques.debate.passages.generate import PassageSettings, passages
from toprope.techniques.debate.passages.language import DOMAINS, domain
from toprope.techniques.debate.passages.planting import KINDS
from toprope.techniques.debate.questions import Question
from toprope.techniques.debate.sets import QuestionSet

from .reader import Reader, sentences

LEVEL = 0.999
"""Of an answerer's interval. Forty are tried, so that all hold together at 0.96."""

Answerer = Callable[[Question], list[float]]
"""Question -> a score for each option."""


@cache
def made(difficulty: int, size: int = 450, options: int = 2, words: int = 400) -> QuestionSet:
    settings = PassageSettings(size=size, difficulty=(difficulty,), options=options, words=words)
    return passages(settings, seed=5)


def words_of(text: str) -> list[str]:
    return re.findall(r"[\w,]*\w", text.casefold())


def best_sentence(question: Question) -> list[float]:
    """The most words that a sentence with the option shares with the question."""
    asked, read = (
        set(words_of(question.text)),
        [set(words_of(s)) for s in sentences(question.passage)],
    )
    return [
        max((len(asked & s) for s in read if set(words_of(option)) <= s), default=0)
        for option in question.options
    ]


def all_sentences(question: Question) -> list[float]:
    """The words that all sentences with the option share with the question."""
    asked, read = (
        set(words_of(question.text)),
        [set(words_of(s)) for s in sentences(question.passage)],
    )
    return [
        sum(len(asked & s) for s in read if set(words_of(option)) <= s)
        for option in question.options
    ]


def near_by(question: Question) -> list[float]:
    """The question's words within 25 of the option, wherever it is."""
    asked, text = set(words_of(question.text)), words_of(question.passage)
    scores = []
    for option in map(words_of, question.options):
        at = [i for i in range(len(text)) if text[i : i + len(option)] == option]
        scores.append(sum(word in asked for i in at for word in text[max(0, i - 25) : i + 25]))
    return scores


def mentions(question: Question) -> list[float]:
    return [question.passage.count(option) for option in question.options]


def early(question: Question) -> list[float]:
    return [-question.passage.find(option) for option in question.options]


def hits(answerer: Answerer, questions: QuestionSet) -> int:
    """How often the answerer's best option is right; ties are drawn."""
    rng = np.random.default_rng(0)
    right = 0
    for question in questions.questions:
        scores = np.array(answerer(question))
        right += int(rng.choice(np.flatnonzero(scores == scores.max()))) == question.answer
    return right


@pytest.mark.parametrize("options", [2, 3, 4])
@pytest.mark.parametrize("difficulty", KINDS)
def test_a_reader_finds_the_one_answer_in_the_text(difficulty: int, options: int):
    found = made(difficulty, size=18, options=options, words=600)
    for question in found.questions:
        answer = Reader(question.passage).answer(question.text)
        assert answer.casefold() == question.right.casefold(), question
    kinds = Counter(about["kind"] for about in found.about.values())
    assert len(kinds) == len(KINDS[difficulty])


@pytest.mark.parametrize("difficulty", [2, 3, 4])
@pytest.mark.parametrize("answerer", [best_sentence, all_sentences, near_by, mentions, early])
def test_counting_words_is_no_better_than_chance(answerer: Answerer, difficulty: int):
    found = made(difficulty)
    interval = wilson(hits(answerer, found), len(found), level=LEVEL)
    assert interval.low < 0.5 < interval.high
    assert interval.high - interval.low < 0.16


def test_counting_words_answers_what_is_easy():
    # The answerer isn't at chance because it's blunt.
    assert hits(best_sentence, made(1)) > 0.9 * 450


@pytest.mark.parametrize("options", [2, 3])
@pytest.mark.parametrize("difficulty", KINDS)
def test_the_blind_are_at_chance(difficulty: int, options: int):
    found = made(difficulty, size=448 if options == 2 else 180, options=options)
    n = len(found)
    assert Counter(q.answer for q in found.questions) == dict.fromkeys(range(options), n // options)
    # The right number is as often the smallest as it is any other, among those of each place.
    numeric = [q for q in found.questions if q.right.replace(",", "").isdecimal()]
    if len(numeric) == len(found):
        ranks = Counter(
            (q.answer, sum(_number(o) < _number(q.right) for o in q.options)) for q in numeric
        )
        assert set(ranks.values()) == {n // options**2}
    for guess in (len, str, lambda option: option[::-1]):
        right = sum(max(q.options, key=guess) == q.right for q in found.questions)
        interval = wilson(right, n, level=LEVEL)
        assert interval.low < 1 / options < interval.high


def _number(text: str) -> int:
    return int(text.replace(",", ""))


def test_no_text_is_there_twice():
    found = passages(PassageSettings(size=300, words=200))
    assert len({q.passage for q in found.questions}) == 300
    for question in passages(PassageSettings(size=4, words=4000, options=4)).questions:
        read = sentences(question.passage)
        assert len(set(read)) == len(read)


@pytest.mark.parametrize("words", [200, 900, 4000])
def test_a_document_has_the_length_asked_for(words: int):
    found = passages(PassageSettings(size=40, words=words))
    lengths = [len(question.passage.split()) for question in found.questions]
    # A title of 8 words or fewer, and the rest of the sentence that reaches the length.
    assert words <= min(lengths) <= max(lengths) <= words + 35


def test_what_is_said_of_a_question_is_in_its_passage():
    found = passages(PassageSettings(size=120, per_document=3, words=900))
    for question in found.questions:
        about = found.about[question.id]
        assert about["proof"]
        assert set(about["proof"]).isdisjoint(about["misleading"])
        assert set(about["proof"] + about["misleading"]) <= set(sentences(question.passage))
        assert about["misleading"]
    grouped = Counter(q.group for q in found.questions)
    assert set(grouped.values()) == {3}
    assert len({(q.group, q.passage) for q in found.questions}) == len(grouped)


def test_difficulty_is_graded_by_hops_by_what_misleads_and_by_distance():
    means = {
        key: [
            np.mean([measure(about) for about in made(d, size=150, words=600).about.values()])
            for d in KINDS
        ]
        for key, measure in {
            "hops": lambda about: about["hops"],
            "misleading": lambda about: len(about["misleading"]),
            "words apart": lambda about: about["words_apart"],
        }.items()
    }
    for key, by_difficulty in means.items():
        assert by_difficulty == sorted(by_difficulty), key
    near, far = means["words apart"][1], means["words apart"][2]
    assert near < 60
    assert far > 200


def test_the_seed_decides_and_a_larger_set_goes_on_from_a_smaller_one():
    few, many = (passages(PassageSettings(size=n), seed=3) for n in (10, 25))
    assert many.questions[:10] == few.questions
    assert passages(PassageSettings(size=10), seed=3).fingerprint == few.fingerprint
    other = passages(PassageSettings(size=10), seed=4)
    assert {q.passage for q in other.questions}.isdisjoint(q.passage for q in few.questions)


def test_several_questions_of_one_document_are_all_answered_by_it():
    found = passages(PassageSettings(size=16, per_document=4, words=1500, options=3))
    for question in found.questions:
        assert Reader(question.passage).answer(question.text) == question.right.casefold()


def test_every_domain_is_written_about():
    titles = {q.passage.split("\n")[0].split(" of the ")[0] for q in made(1).questions}
    assert len(titles) >= len(DOMAINS) - 1
    assert all(len(domain(name).sources) >= 4 for name in DOMAINS)


def test_a_document_that_is_too_short_for_its_questions_is_told():
    with pytest.raises(UserError, match=r"need \d+ words, and 200 are asked for"):
        passages(PassageSettings(size=4, difficulty=(4,), words=200, per_document=4))


def test_the_hardest_questions_have_each_option_told_of_an_entity_with_a_like_name():
    tried = 0
    for question in made(4, size=60, words=600).questions:
        reader = Reader(question.passage)
        about = made(4, size=60, words=600).about[question.id]
        if about["kind"] == "bridge_sum":
            continue
        told = {
            (fact["value"], fact["entity"])
            for attribute in reader.domain.attributes
            for fact in reader.facts(attribute.clauses)
        }
        for option in question.options:
            entities = [words_of(entity) for value, entity in told if value == option]
            first, second = entities
            assert len(set(first) ^ set(second)) <= 2, question
        tried += 1
    assert tried > 20


def test_no_number_of_a_document_has_two_meanings():
    found = passages(PassageSettings(size=32, per_document=4, words=1200, options=4))
    for passage in {q.passage for q in found.questions}:
        reader = Reader(passage)
        values = [
            {fact["value"] for fact in reader.facts(attribute.clauses)}
            for attribute in reader.domain.attributes
        ]
        assert sum(map(len, values)) == len(set().union(*values))
        assert sum(map(bool, values)) > 1
