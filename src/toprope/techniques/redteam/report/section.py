"""The numbers of red-teaming in words, figures and a table."""

from collections.abc import Sequence
from functools import partial

from toprope.evidence import Evidence
from toprope.report.figures import IntervalRow, ReferenceLine, Series, interval_plot, line_plot
from toprope.report.measured import measured_text
from toprope.report.page import Figure, Highlight, Section, Table
from toprope.report.sections import by_target, interval_row, row_of, shares_highlighted
from toprope.report.settings import model_title
from toprope.report.text import PERCENT, capitalised, in_words, level_name
from toprope.techniques.redteam.measures import CORRECTED, RAW

HIT = "hit_at_"

_NAMES = {
    "direct": "Asked plainly (search half)",
    "direct_held_out": "Asked plainly (held-out half)",
    "best_template": "Best template alone (held-out half)",
    "campaign": "Adaptive campaign (held-out half)",
    "gcg": "GCG",
    "pair": "PAIR",
    "tap": "TAP",
    "best_of_n": "Best of N, one try",
}

_LIMITS = (
    "A success is what the judge calls one. Its errors against people are taken out on average, as "
    "far as the sets that it was calibrated on are like this target's answers; a single finding "
    "may be wrong. Read a few.",
    "The attacks are those listed, with the budget given. What they don't find may be there: a "
    "low rate says what this campaign found, not that the model is safe.",
    "The campaign's corrected rate counts what the judge flagged and is right about, and adds "
    "nothing for what it missed.",
)


def section(evidence: Sequence[Evidence]) -> Section:
    """The section for all red-teaming evidence of a run."""
    return by_target("Red-teaming", evidence, _LIMITS, _of_target)


def _of_target(target: str, rows: Sequence[Evidence]) -> Section:
    return Section(
        title=model_title(target),
        summary=_story(target, rows),
        highlights=_highlights(rows),
        figures=_figures(rows),
        tables=[_table(rows)],
    )


def _story(target: str, rows: Sequence[Evidence]) -> list[str]:
    name = model_title(target)
    campaign, corrected = row_of(rows, "campaign", RAW), row_of(rows, "campaign", CORRECTED)
    refused = [row for row in rows if row.metric == "over_refusal"]
    told = []
    if campaign and corrected:
        told.append(
            f"Under an adaptive campaign {name} did what it should have declined for "
            f"{measured_text(corrected)} of the behaviours held out; before the judge's errors are "
            f"taken out, {measured_text(campaign)}."
        )
    plain, best = row_of(rows, "direct_held_out", RAW), row_of(rows, "best_template", RAW)
    if plain:
        told.append(f"Asked plainly, it did so for {measured_text(plain)} of them (as judged).")
    if best:
        gain = row_of(rows, "campaign", "gain_over_best_template")
        more = f" The campaign's rate is higher by {measured_text(gain)}." if gain else ""
        told.append(
            f"The best single template of the search half succeeds on {measured_text(best)}.{more}"
        )
    for row in refused:
        told.append(
            f"Of the harmless requests of {row.dataset}, it refused {measured_text(row)} "
            "(as the refusal judge has it)."
        )
    return told or [f"{name} was attacked; no campaign was finished."]


def _highlights(rows: Sequence[Evidence]) -> list[Highlight]:
    wanted = [
        ("Campaign", "campaign", CORRECTED),
        ("Asked plainly", "direct_held_out", CORRECTED),
        ("Best template", "best_template", CORRECTED),
    ]
    wanted += [("Over-refusal", r.arm, r.metric) for r in rows if r.metric == "over_refusal"][:1]
    return shares_highlighted(rows, wanted)


def _figures(rows: Sequence[Evidence]) -> list[Figure]:
    shown = [row for row in rows if row.metric == CORRECTED]
    refused = [row for row in rows if row.metric == "over_refusal_corrected"]
    figures = []
    if shown:
        plain = row_of(rows, "direct", CORRECTED)
        lines = [ReferenceLine(plain.value, "plainly")] if plain and plain.value is not None else []
        drawn: list[IntervalRow] = [interval_row(row, _name(row.arm)) for row in shown]
        drawn += [interval_row(row, f"Over-refusal: {row.dataset}") for row in refused]
        figures.append(
            Figure(
                "Attack success by family, and over-refusal",
                partial(
                    interval_plot,
                    drawn,
                    x_label="share, with the judge's errors taken out",
                    numbers=PERCENT,
                    reference_lines=lines,
                ),
                "A family's rate is over all its members, one try each, on the search half. "
                f"Whiskers: {level_name(row.level for row in shown)} intervals.",
            )
        )
    hits = sorted(
        (int(row.metric.removeprefix(HIT)), row) for row in rows if row.metric.startswith(HIT)
    )
    if len(hits) > 1:
        curve = Series(
            "Campaign",
            [k for k, _ in hits],
            [row.value or 0.0 for _, row in hits],
            [row.low or 0.0 for _, row in hits],
            [row.high or 0.0 for _, row in hits],
        )
        flat = [
            Series(_name(arm), [hits[0][0], hits[-1][0]], [row.value or 0.0] * 2, kind="control")
            for arm in ("direct_held_out", "best_template")
            if (row := row_of(rows, arm, RAW))
        ]
        figures.append(
            Figure(
                "Success against queries spent",
                partial(
                    line_plot,
                    [curve, *flat],
                    x_label="queries of the target, for a behaviour",
                    y_label="share of behaviours with a success, as judged",
                    y_numbers=PERCENT,
                ),
                "Beside it what a single query brings: plainly, and by the best template.",
            )
        )
    return figures


def _table(rows: Sequence[Evidence]) -> Table:
    """Every family, the held-out arms and over-refusal, raw and corrected, in one table."""
    lines = []
    for row in rows:
        if row.metric not in (RAW, "over_refusal"):
            continue
        other = row_of(rows, row.arm, f"{row.metric}_corrected")
        harmless = row.metric == "over_refusal"
        lines.append(
            [
                f"Over-refusal: {row.dataset}" if harmless else _name(row.arm),
                measured_text(row),
                measured_text(other) if other else "",
                f"{row.cost.calls:,}",
                f"{row.n:,} {'requests' if harmless else row.unit}",
            ]
        )
    columns = ("", "As judged", "Judge's errors taken out", "Queries", "n")
    return Table(
        "Attack success rates and over-refusal", columns, lines, numeric=frozenset({1, 2, 3, 4})
    )


def _name(arm: str) -> str:
    return _NAMES.get(arm, capitalised(in_words(arm)))
