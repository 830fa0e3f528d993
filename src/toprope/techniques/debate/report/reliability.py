"""How often the judge is right, against how sure it is: a figure, and a table of the same."""

from collections.abc import Mapping, Sequence
from typing import Any

from toprope.data.seeding import named_rng
from toprope.report.figures import Series
from toprope.report.page import Table
from toprope.report.text import PERCENT, capitalised
from toprope.statistics import Interval, bootstrap_clustered
from toprope.techniques.debate.measures.judging import correct, probability
from toprope.techniques.debate.report.drawn import curves, told_apart
from toprope.techniques.debate.report.results import arm_name, in_sentence
from toprope.techniques.debate.transcript import Transcript

BINS = 10
RESAMPLES = 2000


def calibration(arms: Mapping[str, Sequence[Transcript]]) -> dict[str, Any]:
    """`figures` and `tables` of a section, of the arms given.

    Ranges with answers on a single question have no interval, and aren't drawn.
    """
    found = {name: _ranges(name, games) for name, games in arms.items()}
    found = {name: ranges for name, ranges in found.items() if ranges}
    series = told_apart(
        [
            Series(
                capitalised(in_sentence(name)),
                [sure for sure, _, _ in ranges],
                [right.value for _, _, right in ranges],
                [right.low for _, _, right in ranges],
                [right.high for _, _, right in ranges],
            )
            for name, ranges in found.items()
        ]
    )
    least = min((one.x[0] for one in series), default=0.5)
    ideal = Series("As sure as right", (least, 1.0), (least, 1.0), kind="diagnostic")
    figures = curves(
        "Calibration: is the judge right as often as it is sure?",
        [*series, ideal] if series else [],
        "how sure the judge is of its answer",
        "share of those answers that are right",
        "Sureness is the probability of the answer that the judge names, in ten ranges. Below the "
        "straight line it is surer than it is right. Band: 95% interval by question; all are in "
        "the table.",
        x_numbers=PERCENT,
    )
    rows = [
        [
            arm_name(name),
            f"{PERCENT.text(sure)}",
            PERCENT.with_interval(right.value, right.low, right.high),
            f"{n:,}",
            f"{right.n:,}",
        ]
        for name, ranges in found.items()
        for sure, n, right in ranges
    ]
    columns = ("", "Mean sureness", "Right (interval)", "Answers", "Questions")
    table = Table("Calibration", columns, rows, numeric=frozenset({1, 2, 3, 4}))
    return {"figures": figures, "tables": [table] if rows else []}


def _ranges(name: str, games: Sequence[Transcript]) -> list[tuple[float, int, Interval]]:
    """Mean sureness, answers, and the share that is right, of each range."""
    ranges: dict[int, list[Transcript]] = {}
    for game in games:
        if game.verdict.answer is not None:
            sure = probability(game, game.verdict.answer)
            ranges.setdefault(min(int(BINS * sure), BINS - 1), []).append(game)
    return [
        (sum(_sure(game) for game in some) / len(some), len(some), _right(name, place, some))
        for place, some in sorted(ranges.items())
        if len({game.question.unit for game in some}) > 1
    ]


def _sure(game: Transcript) -> float:
    return probability(game, game.verdict.answer or 0)


def _right(name: str, place: int, some: Sequence[Transcript]) -> Interval:
    return bootstrap_clustered(
        [correct(game) for game in some],
        [game.question.unit for game in some],
        rng=named_rng(0, "reliability", name, str(place)),
        resamples=RESAMPLES,
    )
