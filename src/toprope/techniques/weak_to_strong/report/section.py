"""The weak-to-strong section of the report: its words, figures, tables and limits.

The protocol and its terms are those of Burns et al. 2023 (arXiv 2312.09390); the limits follow
their section 6. Nothing is measured here: every number is a row of evidence.
"""

from collections.abc import Sequence
from dataclasses import replace
from functools import partial

from toprope.evidence import Evidence
from toprope.report.figures import IntervalRow, ReferenceLine, interval_plot
from toprope.report.measured import Measured, measured_text
from toprope.report.page import Figure, Highlight, Section, Table
from toprope.report.sections import (
    fingerprints_detail,
    interval_row,
    measurement_limits,
    notes_detail,
)
from toprope.report.settings import by_setting
from toprope.report.text import DECIMAL, MINUS, level_name
from toprope.techniques.weak_to_strong.report.results import (
    ARMS,
    DEBATE_CONTROLS,
    REFERENCES,
    Results,
    arm_name,
)
from toprope.techniques.weak_to_strong.report.words import overview, story

# Beyond this a figure shows a whisker's direction only: a small gap makes intervals endless.
_PGR_RANGE = (-1.0, 2.0)

_LIMITS = (
    "The models are small, and what is trained of them is a head on frozen activations (or LoRA "
    "adapters, where the configuration says so). Larger models, trained in full, may generalize "
    "otherwise.",
    "One machine, and one wording of each prompt: repeating a run with other seeds varies neither.",
    "The errors of a weak model aren't those of people. A future model may imitate its human "
    "supervisors' errors better than this student imitates its supervisor's, and then recover "
    "less (imitation saliency: Burns et al. 2023, section 6).",
    "Both models have read text like these tasks, written by people who could do them. What goes "
    "beyond people may be harder to elicit (pretraining leakage: the same section).",
    "Methods are compared by whether their intervals overlap. That is cautious for two methods, "
    "whose difference may be real although the intervals overlap; among many methods, one may "
    "stand apart by chance.",
)


def section(evidence: Sequence[Evidence]) -> Section:
    """The section for all weak-to-strong evidence of a run, which may hold several settings."""
    settings = by_setting(evidence)
    results = [Results(setting) for setting in settings]
    shown = _setting(results[0], "") if len(results) == 1 else _several(results)
    arms = [arm for arm in ARMS if any(row.arm == arm for row in evidence)]
    return replace(
        shown,
        title="Weak-to-strong generalization",
        limits=[*_LIMITS, *measurement_limits(evidence)],
        details=[
            ("What each arm is", "\n".join(f"{arm_name(arm)}: {ARMS[arm][1]}" for arm in arms)),
            *notes_detail(settings),
            *fingerprints_detail(settings),
        ],
    )


def _setting(results: Results, title: str) -> Section:
    """One setting told in full."""
    return Section(
        title=title,
        summary=story(results),
        highlights=_highlights(results),
        figures=_figures(results),
        tables=_tables(results),
    )


def _several(results: Sequence[Results]) -> Section:
    """All settings side by side, then each told in full."""
    return Section(
        title="",
        summary=overview(results),
        figures=_overview_figures(results),
        tables=[_overview_table(results)],
        subsections=[_setting(each, each.setting.name) for each in results],
    )


def _highlights(results: Results) -> list[Highlight]:
    """The numbers to take away: what was recovered, and the three accuracies that it's made of."""
    pgr = results.measured("headline", "pgr")
    recovered = (
        Highlight("Gap recovered (PGR)", pgr.value_text, _span(pgr), main=True)
        if pgr
        else Highlight("Gap recovered (PGR)", "none given", "see below", main=True)
    )
    names = {"headline": "Student", "supervisor": "Supervisor", "ceiling": "Ceiling"}
    rows = [(name, results.measured(arm)) for arm, name in names.items()]
    return [
        recovered,
        *(Highlight(name, row.value_text, _span(row)) for name, row in rows if row),
    ]


def _span(number: Measured) -> str:
    return f"{number.span} ({level_name([number.row.level])})"


def _figures(results: Results) -> list[Figure]:
    """Accuracy of all arms, then the PGR of each method where there is one to give."""
    if not results.arms:
        return []
    figures = [_accuracy_figure(results)]
    if any(results.measured(arm, "pgr") for arm in results.methods):
        figures.append(_pgr_by_method(results))
    return figures


def _accuracy_figure(results: Results) -> Figure:
    rows = [_accuracy_row(results, arm) for arm in results.arms]
    ends = [(arm, row) for arm in REFERENCES if (row := results.measured(arm))]
    draw = partial(
        interval_plot,
        rows,
        x_label=f"accuracy on the test set of {results.setting.dataset}",
        reference_lines=[ReferenceLine(row.value, arm) for arm, row in ends],
        shaded=(ends[0][1].value, ends[1][1].value) if len(ends) == 2 else None,
    )
    caption = f"{_whiskers(results)} The shaded part is the gap between supervisor and ceiling."
    return Figure("Accuracy of the supervisor, the student and its controls", draw, caption)


def _accuracy_row(results: Results, arm: str) -> IntervalRow:
    row = results.accuracy(arm)
    drawn = interval_row(row, _label(results, arm))
    kind = "reference" if arm in REFERENCES else drawn.kind
    return replace(drawn, kind=kind, emphasis=arm == results.chosen)


def _label(results: Results, arm: str) -> str:
    is_headline = arm == results.chosen != "headline"
    return f"{arm_name(arm)} (headline)" if is_headline else arm_name(arm)


def _pgr_by_method(results: Results) -> Figure:
    rows = [(arm, row) for arm in results.arms if (row := results.get(arm, "pgr"))]
    drawn = [
        replace(interval_row(row, _label(results, arm)), emphasis=arm == results.chosen)
        for arm, row in rows
    ]
    baselines = {row.baseline for _, row in rows if row.baseline is not None}
    return _pgr_figure("Performance gap recovered, by method", drawn, baselines)


def _pgr_figure(title: str, rows: Sequence[IntervalRow], baselines: set[float]) -> Figure:
    ends = [end for row in rows for end in (row.low, row.high) if end is not None]
    beyond = min(ends) < _PGR_RANGE[0] or max(ends) > _PGR_RANGE[1]
    draw = partial(
        interval_plot,
        rows,
        x_label="performance gap recovered (PGR)",
        numbers=DECIMAL,
        x_range=_PGR_RANGE if beyond else None,
        reference_lines=[
            ReferenceLine(0, "supervisor"),
            ReferenceLine(1, "ceiling"),
            *(ReferenceLine(value, "literature") for value in sorted(baselines)),
        ],
    )
    caption = (
        f"PGR = (student {MINUS} supervisor) / (ceiling {MINUS} supervisor): 0 is no better than "
        "the supervisor, 1 as good as training on true labels."
    )
    if baselines:
        caption += (
            " Literature: the figure to beat, which Burns et al. 2023 report of larger models."
        )
    return Figure(title, draw, caption)


def _whiskers(results: Results) -> str:
    rows = [results.accuracy(arm) for arm in results.arms if results.measured(arm)]
    repeats = " or ".join(dict.fromkeys(f"{row.n:,} {row.unit}" for row in rows))
    return f"Whiskers: {level_name(row.level for row in rows)} intervals over {repeats}."


def _tables(results: Results) -> list[Table]:
    if not results.arms:
        return []
    tables = [_accuracy_table(results)]
    if any(results.get(arm, "misfit") for arm in results.arms):
        tables.append(_follows_table(results))
    if results.get("supervisor", "gain_over_no_debates"):
        tables.append(_debates_table(results))
    return tables


def _accuracy_table(results: Results) -> Table:
    arms = results.arms
    rows = []
    for arm in arms:
        accuracy, pgr = results.accuracy(arm), results.get(arm, "pgr")
        role = "reference" if arm in REFERENCES else accuracy.role
        numbers = (measured_text(accuracy), measured_text(pgr), f"{accuracy.n:,} {accuracy.unit}")
        rows.append((_label(results, arm), *numbers, role))
    return Table(
        "Accuracy and performance gap recovered",
        ("Arm", "Accuracy (interval)", "PGR (interval)", "n", "Role"),
        rows,
        numeric=frozenset({1, 2, 3}),
        strong=frozenset(i for i, arm in enumerate(arms) if arm == results.chosen),
    )


def _follows_table(results: Results) -> Table:
    metrics = ("misfit", "agreement_where_supervisor_right", "agreement_where_supervisor_wrong")
    arms = [arm for arm in results.arms if any(results.get(arm, metric) for metric in metrics)]
    rows = [
        (_label(results, arm), *(measured_text(results.get(arm, metric)) for metric in metrics))
        for arm in arms
    ]
    return Table(
        "How the student follows its supervisor",
        ("Method", "Disagrees", "Agrees where it's right", "Agrees where it's wrong"),
        rows,
        numeric=frozenset({1, 2, 3}),
        strong=frozenset(i for i, arm in enumerate(arms) if arm == results.chosen),
    )


def _debates_table(results: Results) -> Table:
    """What the supervisor and its student have of debates, beside their like."""
    rows = []
    for arm, name in (("supervisor", "Supervisor"), ("headline", "Headline method")):
        gains = [results.get(arm, f"gain_over_{what}_debates") for what in ("no", "shuffled")]
        accuracies = [results.get(one) for one in _with_controls(arm)]
        rows.append((name, *map(measured_text, (*accuracies, *gains))))
    shares = [results.get(one, "pgr_of_plain_gap") for one in _with_controls("headline")]
    gained = results.get("headline", "pgr_gained_by_debates")
    rows.append(("PGR of the gap without debates", *map(measured_text, (*shares, gained)), ""))
    return Table(
        "What debates bring to the supervisor, and to the student that it teaches",
        ("", "With", "Without", "Others' debates", "With, less without", "With, less others'"),
        rows,
        numeric=frozenset(range(1, 6)),
    )


def _with_controls(arm: str) -> list[str]:
    return [arm, *(f"{arm}_{control}" for control in DEBATE_CONTROLS)]


def _overview_figures(results: Sequence[Results]) -> list[Figure]:
    """The headline's PGR in every setting, where there is one to give in any."""
    rows = [(each, row) for each in results if (row := each.get("headline", "pgr"))]
    if all(row.value is None for _, row in rows):
        return []
    baselines = {row.baseline for _, row in rows if row.baseline is not None}
    drawn = [interval_row(row, each.setting.name) for each, row in rows]
    return [_pgr_figure("PGR of the headline method, by setting", drawn, baselines)]


def _overview_table(results: Sequence[Results]) -> Table:
    columns = ("Setting", "PGR", "Headline method", "Supervisor", "Ceiling", "Gap")
    rows = []
    for each in results:
        accuracies = [measured_text(each.get(arm)) for arm in ("headline", *REFERENCES)]
        gap, pgr = each.get("ceiling", "gap"), each.get("headline", "pgr")
        rows.append((each.setting.name, measured_text(pgr), *accuracies, measured_text(gap)))
    return Table("All settings, with intervals", columns, rows, numeric=frozenset(range(1, 6)))
