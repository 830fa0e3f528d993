"""The rows of one arm, against numbers worked out by hand."""

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from toprope.evidence import Evidence
from toprope.techniques.debate.arm_rows import ArmRows
from toprope.techniques.debate.arms import Rules, arms
from toprope.techniques.debate.rows import Rows
from toprope.techniques.debate.transcript import Transcript, Turn

from .playing import FIELDS, judged


def rows(
    transcripts: Sequence[Transcript], arm: str = "debate", about: dict[str, Any] | None = None
) -> dict[str, Evidence]:
    [named] = arms((arm,), Rules())
    made = Rows(FIELDS, lambda *_: np.random.default_rng(0), 1000)
    return {row.metric: row for row in ArmRows(made, named, transcripts, about or {}).evidence()}


def values(found: dict[str, Evidence], *metrics: str) -> list[float | None]:
    return [found[metric].value for metric in metrics]


def test_how_well_it_was_judged():
    found = rows(
        [
            judged(0, (0.8, 0.2), argued=(0, 1)),
            judged(1, (0.3, 0.7), argued=(0, 1)),
            judged(2, None, argued=(0, 1)),
            judged(3, (0.9, 0.1), argued=(0, 1)),
        ],
        about={f"q{i}": {"difficulty": level} for i, level in enumerate((1, 2, 2, 1))},
    )
    assert found["log_score"].value == pytest.approx(np.log([0.8, 0.3, 0.5, 0.9]).mean())
    brier = found["brier_score"]
    assert brier.value == pytest.approx((2 * 0.04 + 2 * 0.49 + 0.5 + 2 * 0.01) / 4)
    assert brier.better == "lower"
    assert found["accuracy_at_most"].value == 3 / 4
    assert values(found, "difficulty_1_accuracy", "difficulty_2_accuracy") == [1.0, 0.0]
    assert found["verdict_unnamed_rate"].value == 1 / 4


def test_a_verdict_without_probabilities_is_told():
    some = judged(0, (1.0, 0.0), argued=(0, 1))
    unstated = replace(some, verdicts=(replace(some.verdict, stated=False),))
    found = rows([unstated, judged(1, (0.8, 0.2), argued=(0, 1))])
    assert found["verdict_unstated_rate"].value == 0.5


def test_what_became_of_turns():
    outcomes = ("spoken", "cut", "empty", "refused", "spoken", "spoken", "spoken", "lost")
    some = [
        replace(
            one,
            turns=tuple(
                replace(turn, outcome=outcome)
                for turn, outcome in zip(one.turns, outcomes[4 * i :], strict=False)
            ),
        )
        for i, one in enumerate(judged(k, (0.8, 0.2), argued=(0, 1, 0, 1)) for k in range(2))
    ]
    found = rows(some)
    shares = {
        metric: row.value for metric, row in found.items() if metric.startswith(("turn", "verdict"))
    }
    names = ("cut", "empty", "refused", "lost")
    assert shares == {f"turn_{name}_rate": 1 / 8 for name in names}


def test_a_drifting_judge():
    found = rows(
        [
            judged(0, (0.5, 0.5), (0.8, 0.2), (0.6, 0.4), argued=(0, 1)),
            judged(1, (0.5, 0.5), (0.4, 0.6), (0.6, 0.4), argued=(0, 1)),
        ]
    )
    steps = values(found, "moved_to_right_in_round_1", "moved_to_right_in_round_2")
    assert steps == pytest.approx([(0.3 - 0.1) / 2, (-0.2 + 0.2) / 2])
    moved = values(found, "moved_in_round_1", "moved_in_round_2")
    assert moved == pytest.approx([(0.3 + 0.1) / 2, 0.2])


def test_each_question_counts_alike_however_many_answers_it_has():
    few = [judged(0, (1.0, 0.0), argued=(0, 1))] * 2
    many = [judged(1, (0.0, 1.0) + (0.0,) * 8, options=10, argued=range(3))] * 10
    found = rows([*few, *many])
    assert found["log_score"].value == pytest.approx(math.log(0.01) / 2)
    assert found["first_position_rate"].value == 0.5


def test_the_truth_wins_where_the_judge_names_it_however_many_oppose_it():
    by = ("x",) * 3
    found = rows(
        [
            judged(0, (0.2, 0.5, 0.3), options=3, argued=(0, 1, 2), by=by),  # lost
            judged(1, (0.6, 0.2, 0.2), options=3, argued=(0, 1, 2), by=by),  # won
            judged(2, None, options=3, argued=(0, 1, 2), by=by),  # by nobody
            judged(3, (0.1, 0.1, 0.8), options=3, argued=(0, 1), by=by[:2]),  # by nobody that spoke
            judged(4, (0.1, 0.1, 0.8), options=3, argued=(1, 2), by=by[:2]),  # nobody for it
        ]
    )
    assert found["honest_win_rate"].value == pytest.approx((0 + 1 + 0.5 + 0.5) / 4)


def test_bets_of_debates_with_more_sides_are_measured_with_the_others():
    found = rows(
        [
            judged(0, (0.5, 0.5), argued=(0, 1), bets=[(80, 90)]),
            judged(1, (0.5, 0.5), argued=(0, 1), bets=[(80, None)]),
            judged(2, (0.4, 0.3, 0.3), options=3, argued=(0, 1, 2), bets=[(76, 75, 80)]),
            judged(3, (0.4, 0.3, 0.3), options=3, argued=(0, 1, 2), bets=[(30, 30, 30)]),
        ]
    )
    given = (80, 90, 80, 76, 75, 80, 30, 30, 30)
    assert found["bet_before_round_1"].value == pytest.approx(np.mean(given))
    strictly, at_least = found["both_sure_strictly_rate"], found["both_sure_at_least_rate"]
    assert (strictly.value, at_least.value) == (1 / 4, 2 / 4)
    assert strictly.notes.startswith("1 of 4 debates")
    assert found["incoherent_bets_rate"].value == pytest.approx(2 / 3)
    assert found["bet_missing_rate"].value == pytest.approx(1 / 10)
    assert not found["incoherent_bets_rate"].notes


def test_games_in_which_something_was_never_given():
    def game(number: int, **details: Any) -> Transcript:
        steps = [{"estimate": 0.5}]
        of = {"payoff": 0, "steps": steps, "unestimated": 0, "undirected": 0, "unchecked": 0}
        some = judged(number, (0.8, 0.2), argued=(0,))
        seating = replace(some.seating, speaks=(0,), assigned=number % 2)
        return replace(some, seating=seating, details=of | details)

    found = rows([game(0, undirected=2), game(1, undirected=1), game(2), game(3, unchecked=1)])
    assert values(found, "undirected_rate", "unchecked_rate") == [1 / 2, 1 / 4]
    assert "unestimated_rate" not in found


def test_open_roles():
    def game(number: int, chose: int | None) -> Transcript:
        some = judged(number, (0.8, 0.2), argued=(0, 1))
        choice = Turn("Debater A", "debater", "Answer: A", 0, kind="choice")
        details = {"role": "open", "chose": chose}
        return replace(some, turns=(choice, *some.turns), details=details)

    found = rows([game(0, 0), game(1, 1), game(2, 0), game(3, None)], "open_debate")
    assert found["honest_choice_rate"].value == pytest.approx(2 / 3)
    assert found["unnamed_choice_rate"].value == 1 / 4
