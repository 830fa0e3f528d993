"""From a study's evidence to its section of the report.

A technique may say in its own words what its numbers mean: a function `section(evidence) ->
Section` in `toprope.techniques.STUDY.report`. It's looked up when a report holds that study, so
nothing is registered and no technique is imported that isn't needed. A technique's further
studies have theirs in `toprope.techniques.TECHNIQUE.report.STUDY`. Any other study gets the generic
section: every number in a figure and in a table.

A function `kept(artifacts) -> list[Section]` beside it shows what the study left in the run's
`artifacts` folder, such as transcripts: subsections behind the numbers.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from toprope.evidence import Evidence
from toprope.report.figures import IntervalRow, ReferenceLine, interval_plot
from toprope.report.measured import measured_text
from toprope.report.page import Figure, Highlight, Section, Table
from toprope.report.settings import Setting, by_setting, model_title
from toprope.report.text import (
    PERCENT,
    capitalised,
    counted,
    format_for,
    in_words,
    level_name,
    listing,
    sentence,
)
from toprope.study import STUDIES

# How many results the generic summary tells in words; the rest are in the table.
_TOLD = 5

_TRUTH = {
    "ground_truth": "known labels",
    "human": "people's judgements",
    "model": "a model's judgements, which have errors of their own",
}


def section_for(study: str, evidence: Sequence[Evidence], artifacts: Path | None = None) -> Section:
    """The section for one study's evidence, in the technique's own words where it has them.

    Args:
        artifacts: the run's folder of them, for techniques that show what they kept.
    """
    own = _own(study)
    shown = own.section(evidence) if own else generic_section(evidence)
    if artifacts is None or not hasattr(own, "kept"):
        return shown
    return replace(shown, subsections=[*shown.subsections, *own.kept(artifacts)])


def by_target(
    title: str,
    evidence: Sequence[Evidence],
    limits: Sequence[str],
    of_target: Callable[[str, Sequence[Evidence]], Section],
) -> Section:
    """A technique's section: of its one target; of several, a line each, and what is under it.

    Args:
        of_target: what there is to say of a target, from its rows.
    """
    targets = list(dict.fromkeys(row.target for row in evidence))
    parts = [of_target(target, [r for r in evidence if r.target == target]) for target in targets]
    return of_parts(title, evidence, limits, parts)


def of_parts(
    title: str, evidence: Sequence[Evidence], limits: Sequence[str], parts: Sequence[Section]
) -> Section:
    """A technique's section: its one part; of several, the first line of each, and it under it."""
    settings = by_setting(evidence)
    whole = parts[0]
    if len(parts) > 1:
        whole = Section(title, [part.summary[0] for part in parts], subsections=parts)
    return replace(
        whole,
        title=title,
        limits=[*limits, *measurement_limits(evidence)],
        details=[*notes_detail(settings), *fingerprints_detail(settings)],
    )


def row_of(rows: Sequence[Evidence], arm: str, metric: str) -> Evidence | None:
    """The first row of an arm and metric that could be measured."""
    found = [r for r in rows if (r.arm, r.metric) == (arm, metric) and r.value is not None]
    return found[0] if found else None


def shares_highlighted(
    rows: Sequence[Evidence], wanted: Sequence[tuple[str, str, str]]
) -> list[Highlight]:
    """Shares to take away, the first of all those wanted as the main one.

    Args:
        wanted: a label, an arm and a metric each; those that weren't measured are left out.
    """
    return [
        Highlight(
            label,
            PERCENT.text(row.value or 0.0),
            f"{PERCENT.text(row.low or 0.0)} to {PERCENT.text(row.high or 0.0)} "
            f"({level_name([row.level])})",
            main=(label, arm, metric) == wanted[0],
        )
        for label, arm, metric in wanted
        if (row := row_of(rows, arm, metric))
    ]


def generic_section(evidence: Sequence[Evidence]) -> Section:
    """A section for any study: its results in words, a figure for each metric, and a table."""
    settings = by_setting(evidence)
    metrics = list(dict.fromkeys(row.metric for row in evidence))
    return Section(
        title=capitalised(in_words(evidence[0].study)),
        summary=[_what_was_measured(evidence), *_results_in_words(settings)],
        figures=[_figure(metric, settings) for metric in metrics],
        tables=[_table(settings)],
        limits=measurement_limits(evidence),
        details=[*notes_detail(settings), *fingerprints_detail(settings)],
    )


def measurement_limits(evidence: Sequence[Evidence]) -> list[str]:
    """What no study's numbers say: what their intervals don't cover, and whose truth it is."""
    measured = [row for row in evidence if row.value is not None]
    limits = []
    if measured:
        levels = level_name(row.level for row in measured)
        units = listing(sorted({row.unit for row in measured}))
        limits.append(
            f"The {levels} intervals come from resampling {units}: they cover that source of "
            "chance in this run, and say nothing of other data, prompts or models."
        )
    judged = sorted({row.truth for row in evidence} - {"ground_truth"})
    if judged:
        limits.append(f"Some numbers are measured against {listing([_TRUTH[t] for t in judged])}.")
    missing = len(evidence) - len(measured)
    if missing:
        verb = "wasn't" if missing == 1 else "weren't"
        limits.append(f"{counted(missing, 'number')} {verb} measurable; the notes say why.")
    return limits


def notes_detail(settings: Sequence[Setting]) -> list[tuple[str, str]]:
    """The notes recorded with the numbers, for a folded part of the page, if there are any."""
    lines = [
        f"{_arm(row, setting)}, {in_words(row.metric)}: {sentence(row.notes)}"
        for setting in settings
        for row in setting.rows
        if row.notes.strip()
    ]
    return [("Notes recorded with the numbers", "\n".join(dict.fromkeys(lines)))] if lines else []


def fingerprints_detail(settings: Sequence[Setting]) -> list[tuple[str, str]]:
    """What exactly was measured, for who wants to check: a folded part of the page."""
    lines = []
    for setting in settings:
        splits = listing(sorted({row.split for row in setting.rows} - {""})) or "none"
        models = f"overseer {setting.overseer or 'none'}, target {setting.target}"
        data = f"dataset {setting.dataset or 'none'}, split {splits}"
        lines.append(f"{models}, {data}, configuration {setting.config_hash}")
    return [("Models, data and fingerprints", "\n".join(lines))]


def interval_row(row: Evidence, label: str) -> IntervalRow:
    """A row of evidence as a row of a figure."""
    return IntervalRow(label, row.value, row.low, row.high, kind=row.role, note=row.notes)


def _own(study: str) -> Any:
    """The study's own module, or None."""
    # The name comes from a file: only a plain name may become part of an import.
    if not study.isidentifier():
        return None
    parts = STUDIES.get(study, "").split(".")
    technique = parts[2] if parts[:2] == ["toprope", "techniques"] else study
    package = f"toprope.techniques.{technique}"
    module = f"{package}.report" if technique == study else f"{package}.report.{study}"
    try:
        if find_spec(package) is None or find_spec(module) is None:
            return None
    except ModuleNotFoundError:
        return None
    return import_module(module)


def _what_was_measured(evidence: Sequence[Evidence]) -> str:
    overseers = listing(sorted({model_title(row.overseer) for row in evidence if row.overseer}))
    targets = listing(sorted({model_title(row.target) for row in evidence if row.target}))
    models = f" of {targets}" if targets else ""
    models += f", overseen by {overseers}" if overseers else ""
    arms = len({row.arm for row in evidence})
    datasets = sorted({row.dataset for row in evidence if row.dataset})
    on = f" on {listing(datasets)}" if datasets else ""
    return f"{counted(len(evidence), 'measurement')} in {counted(arms, 'arm')}{on}{models}."


def _results_in_words(settings: Sequence[Setting]) -> list[str]:
    results = [
        (setting, row)
        for setting in settings
        for row in setting.rows
        if row.role == "result" and row.value is not None
    ]
    told = []
    for setting, row in results[:_TOLD]:
        numbers = format_for(row.metric)
        controls = [f"{in_words(name)} {numbers.text(at)}" for name, at in row.controls.items()]
        beside = f" Its controls: {listing(controls)}." if controls else ""
        told.append(f"{_arm(row, setting)}: {in_words(row.metric)} {measured_text(row)}.{beside}")
    if len(results) > _TOLD:
        told.append(f"The other {counted(len(results) - _TOLD, 'result')} are in the table.")
    return told


def _figure(metric: str, settings: Sequence[Setting]) -> Figure:
    rows = [(setting, row) for setting in settings for row in setting.rows if row.metric == metric]
    baselines = {row.baseline for _, row in rows if row.baseline is not None}
    draw = partial(
        interval_plot,
        [interval_row(row, _arm(row, setting)) for setting, row in rows],
        x_label=in_words(metric) + _direction(rows[0][1]),
        numbers=format_for(metric),
        reference_lines=[ReferenceLine(at, "baseline") for at in sorted(baselines)],
    )
    return Figure(
        capitalised(in_words(metric)),
        draw,
        f"Whiskers: {level_name(row.level for _, row in rows)} intervals.",
    )


def _direction(row: Evidence) -> str:
    return "" if row.better == "neither" else f" ({row.better} is better)"


def _table(settings: Sequence[Setting]) -> Table:
    rows = [
        [
            _arm(row, setting),
            row.role,
            in_words(row.metric),
            measured_text(row),
            ", ".join(
                f"{in_words(name)} {format_for(row.metric).text(value)}"
                for name, value in row.controls.items()
            ),
            f"{row.n:,} {row.unit}",
        ]
        for setting in settings
        for row in setting.rows
    ]
    columns = ("Arm", "Role", "Metric", "Value (interval)", "Controls", "n")
    return Table("All measurements", columns, rows, numeric=frozenset({3, 5}))


def _arm(row: Evidence, setting: Setting) -> str:
    name = capitalised(in_words(row.arm))
    return f"{name} ({setting.name})" if setting.name else name
