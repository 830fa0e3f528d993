"""The numbers of a guard in words, figures and tables."""

from collections.abc import Callable, Sequence
from functools import partial

from toprope.evidence import Evidence
from toprope.report.figures import IntervalRow, ReferenceLine, Series, interval_plot, line_plot
from toprope.report.measured import measured_text
from toprope.report.page import Figure, Highlight, Section, Table
from toprope.report.sections import by_target, interval_row, row_of, shares_highlighted
from toprope.report.settings import model_title
from toprope.report.text import PERCENT, capitalised, in_words, level_name
from toprope.techniques.redteam.measures import CORRECTED, RAW
from toprope.techniques.safeguards.measures import BINS, BY_CATEGORY, HARM_AT

BARE = "undefended"
AT = "stopped_at_"

_LIMITS = (
    "What the attacks listed don't find may be there: a low rate says what they found, with the "
    "queries given, not that the guard can't be passed.",
    "A success is what the judge calls one, and the guard learned from the same judge's scores: "
    "harm that the judge doesn't see, neither does.",
    "Harmless requests are those of the sets named; other traffic may be stopped more often.",
)


def section(evidence: Sequence[Evidence]) -> Section:
    """The section for all safeguards evidence of a run."""
    return by_target("Safeguards", evidence, _LIMITS, _of_target)


def _of_target(target: str, rows: Sequence[Evidence]) -> Section:
    arm = _attacked(rows)
    return Section(
        title=model_title(target),
        summary=_story(target, arm, rows),
        highlights=_highlights(arm, rows),
        figures=[
            *_families(arm, rows),
            *_curve(rows),
            *_refusals(arm, rows),
            *_calibration(rows),
        ],
        tables=[_kinds(rows), _rates(rows), *_categories(rows)],
    )


def _attacked(rows: Sequence[Evidence]) -> str:
    """The kind of guard that was attacked."""
    arms = [row.arm.split("/")[0] for row in rows if row.arm.endswith("/campaign")]
    return next((arm for arm in arms if arm not in (BARE, "hardened")), "")


def _story(target: str, arm: str, rows: Sequence[Evidence]) -> list[str]:
    name = model_title(target)
    bare, held = row_of(rows, f"{BARE}/campaign", RAW), row_of(rows, f"{arm}/campaign", RAW)
    told = []
    if bare and held:
        told.append(
            f"Behind the guard ({_kind(arm)}) an adaptive campaign made {name} do what it should "
            f"have declined for {measured_text(held)} of the requests held out, as judged; without "
            f"it, for {measured_text(bare)}."
        )
    finds = [row_of(rows, one, "finds_per_1000_queries") for one in (arm, BARE)]
    if all(finds):
        told.append(
            f"Of 1,000 queries {measured_text(finds[0])} were finds behind the guard, and "
            f"{measured_text(finds[1])} without it."
        )
    caught = row_of(rows, arm, "harm_stopped")
    if caught:
        told.append(
            f"Of the harmful answers that the bare model gave to the trial's attacks it stops "
            f"{measured_text(caught)}."
        )
    for row in rows:
        if (row.arm, row.metric) == (arm, "added_refusals"):
            told.append(
                f"Of the harmless requests of {row.dataset} it stops {measured_text(row)} that the "
                "model answers."
            )
    return told or [f"A guard for {name} was made; it wasn't attacked."]


def _highlights(arm: str, rows: Sequence[Evidence]) -> list[Highlight]:
    wanted = [
        ("Campaign, guarded", f"{arm}/campaign", RAW),
        ("Campaign, undefended", f"{BARE}/campaign", RAW),
        ("Harm stopped", arm, "harm_stopped"),
        ("Added refusals", arm, "added_refusals"),
        ("Compute", arm, "compute_overhead"),
        ("Time", arm, "latency_overhead"),
    ]
    return shares_highlighted(rows, wanted)


def _families(arm: str, rows: Sequence[Evidence]) -> list[Figure]:
    shown = [row for row in rows if row.metric == CORRECTED and "/" in row.arm]
    drawn: list[IntervalRow] = [
        interval_row(row, f"{_family(row.arm)}, {_kind(row.arm.split('/')[0])}")
        for row in sorted(shown, key=lambda row: row.arm.split("/")[1])
    ]
    if not drawn:
        return []
    plot = partial(
        interval_plot,
        drawn,
        x_label="share, with the judge's errors taken out",
        numbers=PERCENT,
        reference_lines=[ReferenceLine(0.044, "4.4%, Sharma et al. 2025")],
    )
    caption = (
        "Families and requests that nothing was trained on. "
        f"Whiskers: {level_name(row.level for row in shown)} intervals."
    )
    return [Figure("Attack success with the guard and without", plot, caption)]


def _curve(rows: Sequence[Evidence]) -> list[Figure]:
    """Harm stopped against harmless exchanges stopped, for every classifier."""
    series = _series(rows, AT, lambda told: float(told.removesuffix("%")) / 100)
    if not series:
        return []
    plot = partial(
        line_plot,
        series,
        x_label="share of unseen harmless exchanges stopped",
        y_label="share of harmful exchanges stopped",
        y_numbers=PERCENT,
    )
    caption = "Each classifier alone, by its own ranking of exchanges that it never saw."
    return [Figure("Harm stopped against refusals added", plot, caption)]


def _calibration(rows: Sequence[Evidence]) -> list[Figure]:
    """The share of harm against the score, for every classifier."""
    series = _series(rows, HARM_AT, lambda told: float(told) + 0.5 / BINS)
    if not series:
        return []
    plot = partial(
        line_plot,
        [*series, Series("As high as there is harm", [0.0, 1.0], [0.0, 1.0], kind="diagnostic")],
        x_label="score, in ten ranges",
        y_label="share of harm among such exchanges",
        y_numbers=PERCENT,
    )
    caption = (
        "The trial's exchanges, harmful ones of the bare target and unseen harmless ones: the "
        "share depends on how many there are of each. Bands by request; ranges with exchanges of "
        "one request alone aren't drawn."
    )
    return [Figure("Calibration: is there as much harm as the score says?", plot, caption)]


def _series(rows: Sequence[Evidence], prefix: str, place: Callable[[str], float]) -> list[Series]:
    """What a metric is at several places, which its names end with, by arm."""
    points: dict[str, list[tuple[float, Evidence]]] = {}
    for row in rows:
        if row.metric.startswith(prefix) and row.value is not None:
            points.setdefault(row.arm, []).append((place(row.metric.removeprefix(prefix)), row))
    return [
        Series(
            _kind(arm),
            [at for at, _ in some],
            [row.value or 0.0 for _, row in some],
            [row.low or 0.0 for _, row in some],
            [row.high or 0.0 for _, row in some],
        )
        for arm, found in points.items()
        if len(some := sorted(found, key=lambda point: point[0])) > 1
    ]


def _refusals(arm: str, rows: Sequence[Evidence]) -> list[Figure]:
    shown = [row for row in rows if row.metric == "added_refusals" and row.arm == arm]
    if not shown:
        return []
    plot = partial(
        interval_plot,
        [interval_row(row, row.dataset) for row in shown],
        x_label="share of a set's requests that the guard stops and the model answers",
        numbers=PERCENT,
        reference_lines=[ReferenceLine(0.0038, "0.38%, Sharma et al. 2025")],
    )
    return [
        Figure(
            "Refusals that the guard adds",
            plot,
            "Harmless sets that nothing was trained on; `framed`: some of them, put under the "
            "trial's attacks. Exact intervals (Clopper and Pearson).",
        )
    ]


def _kinds(rows: Sequence[Evidence]) -> Table:
    """Every kind of guard at the thresholds set in training."""
    kinds = list(dict.fromkeys(row.arm for row in rows if row.metric == "harm_stopped"))
    metrics = (
        "harm_stopped",
        "switched_harmful_answers_stopped",
        "switched_harmless_answers_stopped",
        "compute_overhead",
        "latency_overhead",
    )
    lines = []
    for kind in kinds:
        found = [row_of(rows, kind, metric) for metric in metrics]
        plain = [
            row
            for row in rows
            if (row.arm, row.metric) == (kind, "added_refusals") and row.dataset != "framed"
        ]
        added = sum((row.value or 0.0) * row.n for row in plain) / max(
            1, sum(row.n for row in plain)
        )
        lines.append(
            [
                _kind(kind),
                measured_text(found[0]) if found[0] else "",
                PERCENT.text(added),
                *(measured_text(row) if row else "" for row in found[1:]),
            ]
        )
    columns = (
        "",
        "Harm stopped",
        "Refusals added, all plain sets",
        "Harmful answers after harmless prompts stopped",
        "Harmless answers after harmful prompts stopped",
        "Compute",
        "Time",
    )
    return Table("Kinds of guards", columns, lines, numeric=frozenset({1, 2, 3, 4, 5, 6}))


def _rates(rows: Sequence[Evidence]) -> Table:
    lines = []
    for row in rows:
        if row.metric != RAW or "/" not in row.arm:
            continue
        other = row_of(rows, row.arm, CORRECTED)
        kind = row.arm.split("/")[0]
        lines.append(
            [
                _family(row.arm),
                _kind(kind),
                measured_text(row),
                measured_text(other) if other else "",
                f"{row.n:,} {row.unit}",
            ]
        )
    columns = ("", "Guard", "As judged", "Judge's errors taken out", "n")
    return Table("Attack success rates", columns, lines, numeric=frozenset({2, 3, 4}))


def _categories(rows: Sequence[Evidence]) -> list[Table]:
    lines = [
        [
            in_words(row.arm.split("/", 1)[1]),
            _kind(row.arm.split("/")[0]),
            measured_text(row),
            f"{row.n:,} {row.unit}",
        ]
        for row in sorted(rows, key=lambda row: row.arm.split("/", 1)[-1])
        if row.metric == BY_CATEGORY
    ]
    if not lines:
        return []
    columns = ("", "Guard", "As judged, every attack once", "n")
    return [Table("By category of the requests", columns, lines, numeric=frozenset({2, 3}))]


def _family(arm: str) -> str:
    return capitalised(in_words(arm.split("/")[1]))


def _kind(arm: str) -> str:
    return in_words(arm)
