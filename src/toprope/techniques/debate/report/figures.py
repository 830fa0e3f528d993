"""The figures of one setting of text debates."""

from collections.abc import Sequence
from dataclasses import replace

from toprope.evidence import Evidence
from toprope.report.figures import IntervalRow, ReferenceLine, Series
from toprope.report.page import Figure
from toprope.report.text import DECIMAL
from toprope.techniques.debate.arm_rows import PUBLISHED_SURE
from toprope.techniques.debate.arms import BLIND, CONTROLS, EXPERT, KINDS
from toprope.techniques.debate.report.drawn import (
    DIFFERENCE,
    MOST_CURVES,
    POINTS_OF_ACCURACY,
    curve,
    curves,
    intervals,
    labelled,
    told_apart,
)
from toprope.techniques.debate.report.results import (
    BETS,
    ELO,
    Results,
    arm_name,
    levels,
)
from toprope.techniques.debate.report.words import chosen, controls
from toprope.techniques.debate.rows import DEBIASED

OUTCOMES = (
    *((f"turn_{one}_rate", f"Turns {one}") for one in ("cut", "empty", "refused", "lost")),
    ("verdict_unnamed_rate", "Verdicts that name no answer"),
    *((f"verdict_{one}_rate", f"Verdicts {one}") for one in ("refused", "empty", "lost")),
    ("verdict_unstated_rate", "Verdicts without probabilities"),
    ("unverified_quotes_rate", "Quotes not in the passage"),
    ("dishonest_gives_in_rate", "Speeches for a wrong answer that name another alone"),
)


def figures(results: Results) -> list[Figure]:
    return [
        *_accuracy(results, "", "Judge accuracy by protocol"),
        *_accuracy(results, DEBIASED, "Judge accuracy, apart from where answers are shown"),
        *_gains(results),
        *_shares(results),
        *_bets(results),
        *_sure(results),
        *_drift(results),
        *_winners(results),
        *_persuasion(results),
        *_difficulty(results),
        *_outcomes(results),
    ]


def _accuracy(results: Results, prefix: str, title: str) -> list[Figure]:
    rows = results.of(f"{prefix}accuracy")
    drawn = [
        replace(one, kind="reference") if row.arm in CONTROLS else one
        for one, row in zip(labelled(rows, main=chosen(results)), rows, strict=True)
    ]
    ends = {row.arm: row.value for row in rows if row.arm in CONTROLS and row.value is not None}
    chances = _chances(rows)
    lines = [ReferenceLine(value, arm) for arm, value in ends.items()]
    lines += [ReferenceLine(chance, "chance") for chance in sorted(chances)[:1]]
    gap = (ends[BLIND], ends[EXPERT]) if len(ends) == 2 else None
    caption = levels(rows)
    if gap:
        caption += " Shaded: the gap between the blind judge and the one that reads the passage."
    if prefix:
        caption += " The answer that is likeliest over all seatings of a question counts."
    return intervals(
        title, drawn, "share of verdicts that are right", caption, lines=lines, shaded=gap
    )


def _chances(rows: Sequence[Evidence]) -> set[float]:
    return {row.controls["chance"] for row in rows if "chance" in row.controls}


def _gains(results: Results) -> list[Figure]:
    rows = results.of("gain_over_blind")
    return intervals(
        "Gain over the blind judge",
        labelled(rows, main=chosen(results)),
        DIFFERENCE,
        levels(rows, paired="question"),
        numbers=POINTS_OF_ACCURACY,
        lines=[ReferenceLine(0, "blind")],
    )


def _shares(results: Results) -> list[Figure]:
    rows = results.of("gap_closed_share")
    return intervals(
        "Share of the gap from blind to expert that is closed",
        labelled(rows, main=chosen(results)),
        "(protocol less blind) / (expert less blind)",
        levels(rows),
        lines=[ReferenceLine(0, BLIND), ReferenceLine(1, EXPERT)],
        as_shares=True,
    )


def _few(results: Results, pattern: str) -> list[str]:
    """The arms that have a metric: the headline's first, then those without variants, and no more
    than can be told apart."""
    having = [arm for arm in results.arms if results.numbered(arm, pattern)]
    main = chosen(results)
    having.sort(key=lambda arm: (arm != main, arm not in KINDS))
    return having[:MOST_CURVES]


def _curves(results: Results, pattern: str, arms: Sequence[str] = ()) -> list[Series]:
    named = arms or _few(results, pattern)
    return told_apart([curve(arm_name(arm), results.numbered(arm, pattern)) for arm in named])


def _bets(results: Results) -> list[Figure]:
    series = _curves(results, r"bet_before_round_(\d+)")[: MOST_CURVES - 1]
    if not series:
        return []
    ends = (min(one.x[0] for one in series), max(one.x[-1] for one in series))
    even = Series("Even", ends, (50.0, 50.0), kind="diagnostic")
    return curves(
        "How sure debaters are to win, round by round",
        [*series, even],
        "before round",
        "mean private bet",
        "Two sides that both knew their chances would bet 50% on average. Band: 95% interval by "
        "question; all are in the table.",
        y_numbers=BETS,
    )


def _sure(results: Results) -> list[Figure]:
    measures = (
        ("both_sure_strictly_rate", "both above 75%"),
        ("both_sure_at_least_rate", "both at 75% or more"),
        ("incoherent_bets_rate", "bets sum to over 100%"),
    )
    rows = [
        replace(one, label=f"{one.label}: {what}")
        for arm in _few(results, r"bet_before_round_(\d+)")[:2]
        for metric, what in measures
        if (row := results.get(arm, metric))
        for one in labelled([row])
    ]
    return intervals(
        "Overconfidence",
        rows,
        "share of games, by the last bets",
        "Published: Prasad and Nguyen 2025 (arXiv 2505.19184), of larger models; which of the two "
        "depends on whether exactly 75% counts.",
        lines=[
            ReferenceLine(PUBLISHED_SURE[0], "published, above 75%"),
            ReferenceLine(PUBLISHED_SURE[1], "published, 75% or more"),
        ],
    )


def _drift(results: Results) -> list[Figure]:
    return curves(
        "The judge's drift",
        _curves(results, r"right_probability_after_round_(\d+)"),
        "after round (0: before anyone spoke)",
        "the judge's probability of the right answer",
        "Band: 95% interval by question; all are in the table.",
        y_numbers=DECIMAL,
    )


def _winners(results: Results) -> list[Figure]:
    rows: list[IntervalRow] = []
    for arm in results.arms:
        for side, whose in (("honest", "right"), ("dishonest", "wrong")):
            row = results.get(arm, f"{side}_win_rate")
            if row:
                [one] = labelled([row])
                kind = "result" if side == "honest" else "diagnostic"
                rows.append(replace(one, kind=kind, label=f"{one.label}: for the {whose} answer"))
    return intervals(
        "How often the judge follows who argues",
        rows,
        "share of games won",
        "A protocol helps as far as arguing for the right answer wins more often.",
        lines=[ReferenceLine(0.5, "even")] if _chances(results.of("accuracy")) == {0.5} else [],
    )


def _persuasion(results: Results) -> list[Figure]:
    points = [
        (elo.value, accuracy)
        for arm in results.arms
        if (elo := results.measured(arm, "elo")) and (accuracy := results.get(arm))
    ]
    points.sort(key=lambda one: one[0])
    return curves(
        "Accuracy against persuasiveness",
        [curve("Variants of debate", points)] if points else [],
        "Elo among the variants (the plain one at 0)",
        "judge accuracy",
        "Slopes, with their intervals, are in the text and the table.",
        x_numbers=ELO,
    )


def _difficulty(results: Results) -> list[Figure]:
    pattern = r"difficulty_(\d+)_accuracy"
    wanted = (chosen(results), *CONTROLS, *controls(results))
    arms = [arm for arm in wanted if results.numbered(arm, pattern)]
    return curves(
        "Accuracy by difficulty",
        _curves(results, pattern, arms),
        "difficulty of the question",
        "judge accuracy",
        "Band: 95% interval by question; all are in the table.",
    )


def _outcomes(results: Results) -> list[Figure]:
    """Of the headline's arm and its control; all are in the table."""
    rows = [
        replace(one, label=f"{one.label}: {what[:1].lower()}{what[1:]}")
        for arm in (chosen(results), *controls(results))
        for metric, what in OUTCOMES
        if (row := results.get(arm, metric))
        for one in labelled([row])
    ]
    return intervals(
        "What became of turns, verdicts and quotes",
        rows,
        "share of turns, verdicts or quotes",
        "Those that didn't occur aren't drawn; other protocols are in the table.",
    )
