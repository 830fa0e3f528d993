"""The trained judge as protocols meet it."""

import asyncio
from dataclasses import dataclass, field, replace

import numpy as np
import pytest

from toprope.errors import UserError
from toprope.models.heads import Head, softmax
from toprope.techniques.debate.judges import Hearing, letter_prompt, letters
from toprope.techniques.debate.protocols.blind import Blind
from toprope.techniques.debate.protocols.debate import Debate
from toprope.techniques.debate.protocols.stage import Players
from toprope.techniques.debate.questions import Question
from toprope.techniques.debate.trained.judge import HeadScorer, TrainedJudge
from toprope.techniques.debate.transcript import Seating, Turn, Verdict

from ..playing import QUESTION, debater, play

THREE = Question("q3", "Which?", ("red", "green", "blue"), 2)
TURN = Turn("Debater A", "debater", "It is so.", 1)
HEARINGS = [
    Hearing(QUESTION.hidden(), Seating((1, 0), (1, 0)), (TURN,), 2),
    Hearing(QUESTION.hidden(), Seating((0, 1), (0, 1))),
    Hearing(THREE, Seating((2, 0, 1), ()), (TURN,), 1),
]


@dataclass(frozen=True)
class Saying:
    """A scorer whose scores are a function of the prompt; it keeps what it was asked."""

    score: float = 0.0
    heard: list[list] = field(default_factory=list)
    fingerprint: str = "saying"

    def scores(self, prompts, n, *, progress=None):
        self.heard.append(list(prompts))
        return np.tile(np.arange(n) * self.score, (len(prompts), 1))


def head(model, seed: int) -> HeadScorer:
    rng, d = np.random.default_rng(seed), model.d_model
    return HeadScorer(model, 3, Head(np.zeros(d), np.ones(d), rng.normal(size=(d, 1)), np.zeros(1)))


def judge_of(model, words=None, blind=None) -> TrainedJudge:
    made = words or head(model, 0), blind or head(model, 1)
    return TrainedJudge(model, *made, about=None)  # type: ignore[arg-type]


def ask(judge: TrainedJudge, hearings: list[Hearing]) -> list[Verdict]:
    async def all_at_once() -> list[Verdict]:
        return await asyncio.gather(*map(judge, hearings))

    return asyncio.run(all_at_once())


def test_each_option_has_the_heads_score_of_its_letter_behind_what_was_heard(tiny_model):
    judge = judge_of(tiny_model)
    for hearing, scorer, found in zip(
        HEARINGS, (judge.words, judge.blind, judge.words), ask(judge, HEARINGS), strict=True
    ):
        prompt, tokens = letter_prompt(tiny_model, hearing, judge="")
        n = len(hearing.question.options)
        ends = [hearing.seating.letter(option) for option in range(n)]
        states = [
            tiny_model.activations([prompt], [3], prefills=[letter]).layers[3] for letter in ends
        ]
        assert isinstance(scorer, HeadScorer)
        scores = scorer.head.logits(np.concatenate(states))[:, 0]
        np.testing.assert_allclose(found.probabilities, softmax(scores[None])[0], atol=1e-4)
        assert found.answer == int(np.argmax(scores))
        assert (found.round, found.tokens) == (hearing.round, tokens)


def test_a_base_model_is_read_at_letters_behind_a_space(base_model):
    judge = judge_of(base_model)
    [found] = ask(judge, HEARINGS[:1])
    prompt, _ = letter_prompt(base_model, HEARINGS[0], judge="")
    assert letters(base_model, 2) == [" A", " B"]
    assert isinstance(judge.words, HeadScorer)
    assert isinstance(prompt, str)
    scores = [
        judge.words.head.logits(base_model.activations([prompt + one], [3]).layers[3])[0, 0]
        for one in (" B", " A")
    ]
    np.testing.assert_allclose(found.probabilities, softmax(np.array([scores]))[0], atol=1e-4)


def test_what_is_asked_at_once_is_read_together_by_who_was_trained_for_it(tiny_model):
    words, blind = Saying(), Saying()
    ask(judge_of(tiny_model, words, blind), HEARINGS * 2)
    assert [len(some) for some in words.heard] == [4]
    assert [len(some) for some in blind.heard] == [2]


def test_before_anyone_spoke_and_in_the_blind_protocol_the_scorer_of_questions_alone_is_asked(
    tiny_model,
):
    sure, unsure = Saying(score=5.0), Saying()
    players = Players(judge_of(tiny_model, sure, unsure), (debater(lambda view: "So it is."),))
    seating = Seating((0, 1), (0, 1))
    spoken = play(Debate(rounds=1, each_round=True), seating, players)
    assert [max(one.probabilities) > 0.9 for one in spoken.verdicts] == [False, True]
    assert play(Blind(), seating, players).verdict.probabilities == (0.5, 0.5)


def test_turns_without_words_are_read_as_the_question_alone(tiny_model):
    blind = Saying()
    ask(
        judge_of(tiny_model, Saying(), blind),
        [replace(HEARINGS[0], turns=(replace(TURN, text=""),))],
    )
    assert len(blind.heard) == 1
    assert "says nothing" not in str(blind.heard)


def test_an_expert_with_a_passage_and_no_words_is_asked_as_one_who_heard_something(tiny_model):
    words, blind = Saying(), Saying()
    ask(judge_of(tiny_model, words, blind), [replace(HEARINGS[1], question=QUESTION)])
    assert (len(words.heard), len(blind.heard)) == (1, 0)


def test_what_is_longer_than_the_context_says_by_how_much(tiny_model):
    long = replace(HEARINGS[0], turns=(replace(TURN, text="word " * 500),))
    with pytest.raises(UserError, match=r"'q' has [\d,]+ tokens, [\d,]+ too many for its context"):
        ask(judge_of(tiny_model), [long])


def test_the_fingerprint_is_of_both_scorers(tiny_model):
    found = {
        judge_of(tiny_model, head(tiny_model, a), head(tiny_model, b)).fingerprint
        for a, b in ((0, 1), (2, 1), (0, 2), (0, 1))
    }
    assert len(found) == 3
