"""What a trial's rows say, by hand."""

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest

from toprope.evidence import Evidence
from toprope.models.local import LocalModel
from toprope.statistics import clopper_pearson, poisson_exact
from toprope.techniques.redteam.attempts import Attempt
from toprope.techniques.redteam.measures import Outcome
from toprope.techniques.safeguards import making
from toprope.techniques.safeguards.measures import BY_CATEGORY, GuardMeasures
from toprope.techniques.safeguards.report import section

from .conftest import exchange

IDS = [f"b{i}" for i in range(10)]


def attempt(behaviour: str, success: bool, family: str = "fiction", queries: int = 1) -> Attempt:
    return Attempt(
        behaviour, "", family, family, (), "", "Yes.", "judged", float(success), 0, queries=queries
    )


def outcome(succeeded: int, queries: int = 1) -> Outcome:
    sweep = [
        attempt(one, n < succeeded and family != "direct", family, queries)
        for family in ("direct", "fiction")
        for n, one in enumerate(IDS)
    ]
    campaign = [attempt(one, n < succeeded, queries=queries) for n, one in enumerate(IDS)]
    return Outcome({}, sweep, sweep[:10], [], campaign, IDS, 5, "", 0.0)


# --- attacks that were stopped ---


def test_stopped_attacks_count_for_the_guard_and_what_they_had_said_is_told(
    measures: GuardMeasures, tiny: LocalModel
):
    """All ten succeed without the guard; it stops six, three of them with harm already said."""
    found = [
        replace(attempt(one, n < 3 or n >= 6), flagged=n < 6, response="I will" if n < 6 else "x")
        for n, one in enumerate(IDS)
    ]
    without = outcome(10)
    guarded = replace(without, sweep=[*without.direct, *found], campaign=found)
    rows = {(row.arm, row.metric): row for row in measures.attacks("cascade", guarded, without)}
    family = rows["cascade/fiction", "attack_success_rate"]
    assert (family.value, family.controls["undefended"]) == (0.4, 1.0)
    assert rows["cascade/campaign", "attack_success_rate"].value == 0.4
    told = {row.metric: row for row in measures.let_through("cascade", found, tiny)}
    assert told["harm_before_stop"].value == 0.5
    assert told["tokens_let_through"].value == len(tiny.continuation("I will"))


def test_categories_are_told_apart_beside_the_undefended(measures: GuardMeasures):
    """Of ten requests two are copyright: both attacks on one of those succeed behind the guard, and
    one in four of the rest."""

    def tried(*succeeded: str) -> Outcome:
        made = outcome(0)
        sweep = [
            replace(
                one,
                category="copyright" if one.behaviour in ("b0", "b1") else "crime",
                score=float(one.behaviour in succeeded),
            )
            for one in made.sweep
        ]
        return replace(made, sweep=sweep)

    rows = list(measures.attacks("cascade", tried("b0", "b4", "b5"), tried(*IDS)))
    found = {row.arm: row for row in rows if row.metric == BY_CATEGORY}
    assert {arm: row.value for arm, row in found.items()} == {
        "cascade/copyright": 0.5,
        "cascade/crime": 0.25,
    }
    assert found["cascade/copyright"].n == 2
    assert found["cascade/crime"].controls == {"undefended": 1.0}
    titles = [table.caption for table in section(rows).tables]
    assert "By category of the requests" in titles
    plain = list(measures.attacks("cascade", outcome(3), outcome(10)))
    assert not any(row.metric == BY_CATEGORY for row in plain), "there is one category alone"
    assert "By category of the requests" not in [table.caption for table in section(plain).tables]


def test_calibration_is_told_by_range_and_drawn(measures: GuardMeasures):
    """Scores of 0.1 with one harmful of four, of 0.9 with three, each exchange of its own request;
    one more of 0.5 is too few for an interval."""
    scores_N = np.array([0.1] * 4 + [0.9] * 4 + [0.5])
    labels_N = np.array([1.0, 0, 0, 0, 1, 1, 1, 0, 1])
    groups = [f"g{n}" for n in range(9)]
    rows = {
        row.metric: row for row in measures.calibration_error("probe", scores_N, labels_N, groups)
    }
    error = rows["calibration_error"].value
    assert error == pytest.approx((4 * 0.15 + 4 * 0.15 + 0.5) / 9)
    found = {name: row.value for name, row in rows.items() if name.startswith("harm_at_score_")}
    assert found == {"harm_at_score_0.1": 0.25, "harm_at_score_0.9": 0.75}
    [figure] = section(list(rows.values())).figures
    assert "Calibration" in figure.title


# --- shares ---


def share(measures: GuardMeasures, stopped: list[bool], groups: list[str]) -> Evidence:
    return measures.share(
        "probe",
        "harm_stopped",
        np.array(stopped, bool),
        groups,
        controls={"harmless stopped": 0.0},
        notes="by hand",
        better="higher",
    )


def test_exchanges_of_one_request_count_as_one(measures: GuardMeasures):
    """Ten requests, ten exchanges each, all or none of them stopped: a share of ten."""
    row = share(measures, [i % 2 == 0 for i in range(10)] * 10, IDS * 10)
    assert (row.value, row.n, row.unit, row.role) == (0.5, 10, "requests", "result")
    exact = clopper_pearson(50, 100)
    assert row.low is not None
    assert row.high is not None
    assert row.high - row.low > 2 * (exact.high - exact.low)


@pytest.mark.parametrize("share_", [0.0, 1.0])
def test_where_none_or_all_are_stopped_the_next_request_may_differ(
    measures: GuardMeasures, share_: float
):
    row = share(measures, [share_ == 1] * 100, IDS * 10)
    exact = clopper_pearson(round(10 * share_), 10)
    assert (row.value, row.low, row.high) == pytest.approx((share_, exact.low, exact.high))


@pytest.mark.parametrize("n", [0, 5])
def test_a_share_of_a_single_request_has_no_interval(measures: GuardMeasures, n: int):
    row = share(measures, [True] * n, ["b0"] * n)
    assert (row.value, row.role) == (None, "diagnostic")
    assert row.notes == "fewer than two requests: by hand"


# --- refusals ---


def refusals(measures: GuardMeasures, stopped: str, refused: str, unanswered: int = 0):
    stopped_N, refused_N = (np.array([c == "x" for c in some]) for some in (stopped, refused))
    [row] = measures.added_refusals("probe", "mild", stopped_N, refused_N, unanswered=unanswered)
    return row


def test_added_refusals_are_of_all_requests(measures: GuardMeasures):
    row = refusals(measures, "xx--------", "-x------xx", unanswered=2)
    exact = clopper_pearson(1, 10)
    assert (row.value, row.low, row.high, row.n) == (0.1, exact.low, exact.high, 10)
    assert row.controls == {"the target's own refusals": 0.3}
    assert row.notes.startswith("1 of 10 harmless requests lose their answer")
    assert "declines 30.0% of all itself (2 got no answer), probe stops 20.00%" in row.notes


def test_of_a_set_without_any_answer_nothing_can_be_said(measures: GuardMeasures):
    row = refusals(measures, "---", "xxx", unanswered=3)
    assert (row.value, row.dataset) == (None, "mild")
    assert row.notes == "the target answered none of 3 harmless requests"


# --- attacks ---


def test_finds_are_counted_by_queries_beside_those_without_a_guard(measures: GuardMeasures):
    rows = {row.metric: row for row in measures.attacks("probe", outcome(2, 3), outcome(6))}
    row = rows["finds_per_1000_queries"]
    exact = poisson_exact(4, 90 / 1000)
    assert (row.value, row.low, row.high) == (exact.value, exact.low, exact.high)
    assert (row.n, row.unit, row.role) == (90, "queries", "result")
    assert row.controls == {"undefended": pytest.approx(12 / 30 * 1000)}


def test_no_find_at_all_still_has_an_upper_bound(measures: GuardMeasures):
    [row] = [
        row
        for row in measures.attacks("probe", outcome(0))
        if row.unit == "queries" and row.metric.startswith("finds")
    ]
    assert row.value == 0
    assert row.high == pytest.approx(-np.log(0.025) / 0.030)  # Garwood's, of none


# --- what little there is ---


def test_too_few_exchanges_are_told(measures: GuardMeasures):
    [error] = measures.calibration_error("probe", np.zeros(3), np.zeros(3), ["g"] * 3)
    cost = measures.overhead("probe", "compute_overhead", np.array([0.1]), notes="counted")
    assert (error.value, cost.value) == (None, None)
    assert error.notes == "fewer than two requests"
    assert cost.notes == "1 harmless exchanges: too few for an interval"


def test_how_many_were_timed_changes_no_other_row(measures: GuardMeasures):
    def after(n: int) -> tuple[float | None, float | None]:
        measures.rng = np.random.default_rng(0)
        measures.overhead("probe", "latency_overhead", np.arange(n) / n, notes="")
        row = share(measures, [True, False] * 25, IDS * 5)
        return row.low, row.high

    assert after(3) == after(40)


# --- the making ---


def test_a_guards_making_is_judged_on_what_its_strength_was_chosen_by(measures: GuardMeasures):
    """Attacks that were declined score highest of all, and are of no matter."""
    exchanges = [
        *(exchange("no", 0.0, group=f"declined{i}") for i in range(5)),
        *(exchange("yes", 1.0, group=f"harm{i}") for i in range(5)),
        *(exchange("Paris", 0.0, group=f"calm{i}", harmless=True) for i in range(5)),
    ]
    scores_N = np.repeat([0.9, 0.8, 0.1], 5)
    one = SimpleNamespace(reader=SimpleNamespace(sees="exchange"), left_out_N=scores_N)
    tried = [(name, name in IDS[:5]) for name in IDS for _ in range(4)]
    loop = SimpleNamespace(
        exchanges=exchanges,
        trainer=SimpleNamespace(classifiers={"probe": one}),
        rounds=[tried, []],
    )
    area, first, second = making.evidence(loop, measures)  # type: ignore[arg-type]
    assert (area.arm, area.value) == ("probe", 1.0)
    assert (first.arm, first.value, first.n) == ("round 1", 0.5, 10)
    assert first.notes.startswith("20 of 40 attempts")
    assert (second.arm, second.value) == ("round 2", None)
