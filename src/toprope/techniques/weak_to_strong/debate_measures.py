"""What debates bring, as evidence: of the supervisor that reads them, and of the student that it
teaches.

Both are held against their like without debates, and with the debates of other examples. All three
share halves, test items, folds and each resampling, so that differences are paired.
"""

from collections.abc import Iterator

from toprope.data.debated import Debated
from toprope.evidence import Evidence
from toprope.statistics import Interval, ratio_is_measurable
from toprope.techniques.weak_to_strong.debates import CONTROLS, SHUFFLED, WITHOUT
from toprope.techniques.weak_to_strong.measures import Measures

LITTLE = (
    "the ceiling isn't clear of the supervisor without debates: there is no gap to recover, and "
    "no share of it is given"
)


def debate_evidence(measures: Measures, debated: Debated) -> Iterator[Evidence]:
    """The controls' accuracies, what debates gain, and how much of one gap each student recovers:
    that from the supervisor without debates to the ceiling, the same for all."""
    method = measures.headline[0]
    about = (
        f"an ensemble of {len(debated.said)}, each of a debate about every example; "
        f"{debated.left_out} examples weren't debated and are left out"
    )
    for arm in ("supervisor", "headline"):
        notes = method if arm == "headline" else ""
        for control in CONTROLS:
            name = f"{arm}_{control}"
            yield measures.row(
                name,
                "control",
                "accuracy",
                measures.mean(measures.outcome.correct(name)),
                cost=measures.outcome.costs[name],
                notes=notes,
            )
    yield from _gains(measures, "supervisor", "supervisor", notes=about)
    yield from _gains(measures, "headline", method, notes=method)
    yield from _of_one_gap(measures, method)


def _gains(measures: Measures, arm: str, student: str, *, notes: str) -> Iterator[Evidence]:
    """How much more often right it is than its like."""
    without, shuffled = (f"{arm}_{control}" for control in CONTROLS)

    def over(one: str, other: str) -> Interval:
        return measures.over_seeds([one, other], lambda a: a[one] - a[other])

    yield measures.row(
        arm,
        "result",
        "gain_over_no_debates",
        over(student, without),
        controls={shuffled: over(shuffled, without).value},
        notes=notes,
    )
    yield measures.row(
        arm,
        "result",
        "gain_over_shuffled_debates",
        over(student, shuffled),
        controls={without: over(without, shuffled).value},
        notes=notes,
    )


def _of_one_gap(measures: Measures, method: str) -> Iterator[Evidence]:
    plain = f"supervisor_{WITHOUT}"
    gap = measures.over_seeds([plain, "ceiling"], lambda a: a["ceiling"] - a[plain])
    yield measures.row("ceiling", "diagnostic", "gap_without_debates", gap)
    if not (ratio_is_measurable(gap) and gap.value > 0):
        yield measures.row("headline", "result", "pgr_of_plain_gap", None, notes=LITTLE)
        return

    def share(student: str, zero: str) -> Interval:
        return measures.over_seeds(
            [plain, "ceiling", student, zero],
            lambda a: (a[student] - a[zero]) / (a["ceiling"] - a[plain]),
        )

    without, shuffled = f"headline_{WITHOUT}", f"headline_{SHUFFLED}"
    controls = {one: share(one, plain) for one in (without, shuffled)}
    for name, interval in controls.items():
        yield measures.row(name, "control", "pgr_of_plain_gap", interval, notes=method)
    yield measures.row(
        "headline",
        "result",
        "pgr_of_plain_gap",
        share(method, plain),
        controls={name: interval.value for name, interval in controls.items()},
        notes=method,
    )
    yield measures.row(
        "headline",
        "result",
        "pgr_gained_by_debates",
        share(method, without),
        controls={shuffled: share(shuffled, without).value},
        notes=method,
    )
