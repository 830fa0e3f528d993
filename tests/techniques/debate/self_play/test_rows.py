"""The rows of self-play, against numbers worked out by hand."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from toprope.evidence import Evidence
from toprope.models.preferences import DpoTraining
from toprope.techniques.debate.arms import Rules, arms
from toprope.techniques.debate.questions import Question
from toprope.techniques.debate.rows import Rows
from toprope.techniques.debate.self_play.loop import TRAINED, UNTRAINED, Lesson, Stage
from toprope.techniques.debate.self_play.pairs import Drafts
from toprope.techniques.debate.self_play.rows import SelfPlayRows
from toprope.techniques.debate.self_play.scores import debiased_right
from toprope.techniques.debate.transcript import Transcript, Turn, Verdict, assigned, rotations

from ..playing import FIELDS

PROOF = "w <v_quote>w a w</v_quote> w"
"""For "a", in five words."""
BLIND, DEBATE, CONSULTANCY = arms(("blind", "debate", "consultancy"), Rules())
QUESTIONS = [Question(f"q{i}", "Which?", ("a", "b"), i % 2) for i in range(4)]


def verdict(first: float) -> Verdict:
    return Verdict(int(first < 0.5), (first, 1 - first))


def debates(
    right: Sequence[float], text: str = "w w", quotes: int = 0, by: Sequence[str] = ("x", "x")
):
    """A game a question and seating, in which the right answer has the probability given; by: who
    argues for the first option, and the second."""
    found = []
    for question, share in zip(QUESTIONS, right, strict=True):
        turns = tuple(
            Turn(
                f"Debater {'AB'[i]}",
                "debater",
                text,
                i,
                by=by[i],
                verified=quotes,
                unverified=i,
            )
            for i in (0, 1)
        )
        first = share if question.answer == 0 else 1 - share
        for seating in rotations(question):
            found.append(Transcript("debate", question, seating, turns, (verdict(first),)))
    return found


def consultancies(honest: Sequence[float], dishonest: float):
    """The right answer's probability where it's argued for, and where the other is."""
    found = []
    for question, share in zip(QUESTIONS, honest, strict=True):
        for seating in assigned(question):
            of = share if seating.assigned == question.answer else dishonest
            turn = Turn("Consultant", "consultant", "w w", seating.assigned)
            first = of if question.answer == 0 else 1 - of
            found.append(Transcript("consultancy", question, seating, (turn,), (verdict(first),)))
    return found


def lesson() -> Lesson:
    def drafts(i: int, ratings: tuple[float, ...]) -> Drafts:
        texts = ("one", "two words", "three more words")[: len(ratings)]
        about = f"t{i}", f"t{i}", "Debater A", 0, 1, i < 2, "prompt"
        return Drafts(*about, texts, ratings, quoted="two words", tokens=10 * i, calls=i)

    some = [drafts(0, (0.2, 0.6)), drafts(1, (0.5, 0.5)), drafts(2, (0.9, 0.3)), drafts(3, ())]
    pairs = [pair for one in some if (pair := one.pair(0.1))]
    return Lesson(
        some, 0.1, pairs, DpoTraining((0.7, 0.5), (0.0, 1.0), (0.0, 0.2), 99, 1.0), Path("x")
    )


@pytest.fixture(scope="module")
def rows() -> dict[tuple[str, str], Evidence]:
    blind = [
        Transcript("blind", question, seating, (), (verdict(0.4),))
        for question in QUESTIONS
        for seating in rotations(question)
    ]
    duel = [
        *debates((0.8, 0.8, 0.8, 0.8), by=(TRAINED, UNTRAINED)),
        *debates((0.8, 0.8, 0.4, 0.4), by=(UNTRAINED, TRAINED)),
    ]
    stages = [
        Stage(BLIND, 0, blind),
        Stage(DEBATE, 0, debates((0.6, 0.4, 0.4, 0.4))),
        Stage(CONSULTANCY, 0, consultancies((0.8, 0.8, 0.8, 0.8), 0.4)),
        Stage(DEBATE, 1, debates((0.7, 0.7, 0.7, 0.3), PROOF, 3), lesson(), duel),
        Stage(CONSULTANCY, 1, consultancies((0.8, 0.8, 0.8, 0.4), 0.4), lesson()),
    ]
    made = Rows(FIELDS | {"study": "self_play"}, lambda *of: np.random.default_rng(0), 1000)
    found = list(SelfPlayRows(made, stages, {}).evidence())
    table = {(row.arm, row.metric): row for row in found}
    assert len(table) == len(found)
    return table


@pytest.mark.parametrize(
    ("arm", "metric", "value"),
    [
        ("blind", "accuracy", 0.5),
        ("debate", "accuracy", 1 / 4),
        ("debate_trained_1", "accuracy", 3 / 4),
        ("debate_trained_1", "accuracy_gain", 1 / 2),
        ("consultancy_trained_1", "accuracy_gain", 3 / 8 - 4 / 8),
        ("headline", "accuracy_gain", 1 / 2),
        ("headline", "accuracy_gain_over_consultancy", 1 / 2 + 1 / 8),
        ("debate_trained_1", "debiased_accuracy_gain", 3 / 4 - 1 / 4),
        ("consultancy", "debiased_accuracy", 1 / 2),  # after each answer that was argued for
        ("consultancy_trained_1", "debiased_accuracy", 3 / 8),
        ("headline", "debiased_accuracy_gain_over_consultancy", 1 / 2 + 1 / 8),
        ("headline", "right_probability_gain_over_consultancy", 0.15 + 0.4 / 8),
        ("debate_trained_1", "right_probability_gain", 0.6 - 0.45),
        ("debate_trained_1", "speech_words_change", 3),
        ("debate_trained_1", "verified_quotes_a_speech", 3),
        ("debate_trained_1", "verified_quotes_change", 3),
        ("debate_trained_1", "unverified_quotes_a_speech", 1 / 2),
        # The first debater's quotes hold its answer after training: "a" stands for it.
        ("debate", "quotes_answer_rate", 0),
        ("debate_trained_1", "quotes_answer_rate", 1 / 2),
        ("debate_trained_1", "quotes_answer_change", 1 / 2),
        ("debate_trained_1", "declined_change", 0),
        # For the first option it wins where that is right; for the second, of the last two
        # questions the judge gets one for it, and of the first two one more.
        ("debate_trained_1", "win_rate_over_untrained", (2 / 4 + 2 / 4) / 2),
        ("debate_trained_1", "honest_win_rate_over_untrained", (1 + 1 / 2) / 2),
        ("debate_trained_1", "dishonest_win_rate_over_untrained", (0 + 1 / 2) / 2),
        (
            "debate_trained_1",
            "side_probability_over_untrained",
            ((0.8 + 0.2) / 2 + (0.2 + 0.8 + 0.6 + 0.4) / 4) / 2,
        ),
        ("consultancy_trained_1", "persuasiveness_change", -1 / 8),
        ("consultancy_trained_1", "side_probability_change", -0.4 / 8),
        ("debate_trained_1", "draft_rating", (0.4 + 0.5 + 0.6) / 3),
        ("debate_trained_1", "draft_spread", (0.4 + 0.0 + 0.6) / 3),
        ("debate_trained_1", "pair_rate", 2 / 4),
        ("debate_trained_1", "pair_honest_rate", 1 / 2),
        ("debate_trained_1", "pair_quoted_rate", 1 / 2),
        ("debate_trained_1", "pair_words_difference", (1 - 1) / 2),
    ],
)
def test_values_are_those_worked_out_by_hand(rows, arm: str, metric: str, value: float):
    assert rows[arm, metric].value == pytest.approx(value)


def test_over_its_seatings_a_judge_with_a_favourite_place_has_an_answer():
    def judged(question: Question, *first_places: float) -> list[Transcript]:
        """The probabilities of what is shown first."""
        return [
            Transcript(
                "debate", question, seating, (), (verdict(p if seating.shown[0] == 0 else 1 - p),)
            )
            for seating, p in zip(rotations(question), first_places, strict=True)
        ]

    some = [
        *judged(QUESTIONS[0], 0.9, 0.8),  # of its first, right option: 0.9 and 0.2
        *judged(QUESTIONS[1], 0.9, 0.8),
        *judged(QUESTIONS[2], 0.8, 0.8),
    ]
    right_N, units = debiased_right(some)
    assert right_N.tolist() == [1.0, 0.0, 0.5]
    assert units == ["q0", "q1", "q2"]


def test_a_gain_is_held_against_the_other_protocols_and_the_papers(rows):
    gain = rows["debate_trained_1", "accuracy_gain"]
    assert gain.controls == {"untrained": 0.0, "consultancy": pytest.approx(-1 / 8)}
    assert (gain.baseline, rows["consultancy_trained_1", "accuracy_gain"].baseline) == (0.04, 0.0)
    assert rows["debate_trained_1", "accuracy"].controls == {
        "chance": 0.5,
        "blind": 0.5,
        "untrained": 0.25,
    }


def test_the_agent_score_is_of_who_argued(rows):
    before = np.log(0.6) - np.log(0.4)
    debate = (before - 3 * before) / 4
    after = (3 - 1) * (np.log(0.7) - np.log(0.3)) / 4
    assert rows["debate_trained_1", "agent_score_gain"].value == pytest.approx(after - debate)
    # Honest: log 0.8, once log 0.4; dishonest: log 0.6 of the wrong answer, before and after.
    change = (np.log(0.4) - np.log(0.8)) / 4
    assert rows["consultancy_trained_1", "agent_score_gain"].value == pytest.approx(change)
    scored = rows["consultancy", "agent_score_difference"].value
    assert scored == pytest.approx(np.log(0.8) - np.log(0.6))


def test_the_conclusion_says_what_the_interval_allows_and_with_which_power(rows):
    notes = rows["headline", "accuracy_gain"].notes
    assert "the interval holds zero" in notes
    least = rows["headline", "smallest_detectable_gain"]
    assert f"a true difference of {100 * least.value:.1f} points" in notes
    drafting = rows["debate_trained_1", "draft_rating"].cost
    assert (drafting.tokens, drafting.calls) == (10 + 20 + 30, 1 + 2 + 3)
    assert rows["debate_trained_1", "pair_rate"].notes == (
        "2 pairs of 4 turns, 2 learned from; loss 0.7 -> 0.5, agreed 0 -> 1"
    )


def test_where_no_question_differs_the_power_is_not_known():
    same = debates((0.6,) * 4)
    lone = consultancies((0.8,) * 4, 0.4)
    stages = [
        Stage(DEBATE, 0, same),
        Stage(CONSULTANCY, 0, lone),
        Stage(DEBATE, 1, same, lesson()),
        Stage(CONSULTANCY, 1, lone, lesson()),
    ]
    made = Rows(FIELDS | {"study": "self_play"}, lambda *of: np.random.default_rng(0), 1000)
    found = {(r.arm, r.metric): r for r in SelfPlayRows(made, stages, {}).evidence()}
    assert found["headline", "smallest_detectable_gain"].value is None
    assert "power isn't known" in found["headline", "accuracy_gain"].notes
    refused = [replace(one, turns=(replace(one.turns[0], outcome="refused"),)) for one in same]
    stages[2] = replace(stages[2], transcripts=refused)
    found = {(r.arm, r.metric): r for r in SelfPlayRows(made, stages, {}).evidence()}
    assert found["debate_trained_1", "declined_change"].value == 1.0
