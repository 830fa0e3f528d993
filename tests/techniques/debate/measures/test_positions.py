"""A judge's preference for places, taken out."""

from dataclasses import replace

import numpy as np
import pytest

from toprope.techniques.debate.measures.judging import share_right
from toprope.techniques.debate.measures.positions import debiased
from toprope.techniques.debate.transcript import Transcript, Verdict, assigned, rotations

from ..playing import judged


def seated(number: int, *logits: float, bias: float = 0.0, options: int = 2) -> list[Transcript]:
    """A question in every seating, judged by an answer's merits and a liking for what is shown
    first."""
    plain = judged(number, (1.0,) + (0.0,) * (options - 1), options=options)
    found = []
    for seating in rotations(plain.question):
        scores = np.array(logits)
        scores[seating.shown[0]] += bias
        shares = tuple(map(float, np.exp(scores) / np.exp(scores).sum()))
        verdict = Verdict(shares.index(max(shares)), shares)
        found.append(replace(plain, seating=seating, verdicts=(verdict,)))
    return found


def test_what_is_thought_of_answers_is_found_under_a_strong_liking_for_a_place():
    some = [*seated(0, 0.3, 0.0, bias=5.0), *seated(1, 0.0, 0.3, bias=5.0)]
    assert [one.verdict.answer for one in some] == [0, 1, 0, 1]
    found = debiased(some)
    assert [one.verdict.answer for one in found] == [0, 0, 1, 1]
    expected = np.exp(0.3) / (1 + np.exp(0.3))
    assert found[0].verdict.probabilities == pytest.approx((expected, 1 - expected))
    assert (share_right(some), share_right(found)) == (0.5, 0.5)
    three = debiased(seated(2, 0.0, 0.4, 0.1, bias=4.0, options=3))
    assert {one.verdict.answer for one in three} == {1}


def test_a_judge_that_sees_nothing_but_places_stays_as_it_was():
    some = seated(0, 0.0, 0.0, bias=2.0)
    assert debiased(some) == some
    sure = [replace(one, verdicts=(Verdict(i, (1.0 - i, float(i)), stated=False),))
            for i, one in enumerate(some)]  # fmt: skip
    assert debiased(sure) == sure
    silent = [replace(one, verdicts=(Verdict(None, outcome="unnamed"),)) for one in some]
    assert debiased(silent) == silent


def test_games_of_a_lone_speaker_count_for_the_answer_it_argued_for_alone():
    plain = judged(0, (0.5, 0.5))
    some = [
        replace(
            plain, seating=one, verdicts=(Verdict(0, (0.6, 0.4) if one.assigned else (0.9, 0.1)),)
        )
        for one in assigned(plain.question)
    ]
    found = [one.verdict.probabilities[0] for one in debiased(some)]
    assert found == pytest.approx([0.9, 0.9, 0.6, 0.6])


def test_what_was_thought_after_earlier_rounds_stays():
    some = [
        replace(one, verdicts=(Verdict(1, (0.1, 0.9)), *one.verdicts))
        for one in seated(0, 1.0, 0.0, bias=3.0)
    ]
    assert [one.verdicts[0] for one in debiased(some)] == [Verdict(1, (0.1, 0.9))] * 2
