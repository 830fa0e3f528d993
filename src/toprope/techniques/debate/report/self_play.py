"""The section on self-play: does a debater that is trained to win make its judge more accurate?

Nothing is measured here: every number is a row of evidence (see `debate/self_play/rows.py`).
"""

import re
from collections.abc import Sequence
from dataclasses import replace

from toprope.evidence import Evidence
from toprope.report.figures import IntervalRow, ReferenceLine
from toprope.report.page import Figure, Highlight, Section
from toprope.report.sections import of_parts
from toprope.report.settings import by_setting
from toprope.report.text import counted, listing
from toprope.techniques.debate.arms import BLIND, CONTROLS, EXPERT
from toprope.techniques.debate.report.before_after import kept
from toprope.techniques.debate.report.drawn import (
    DIFFERENCE,
    POINTS_OF_ACCURACY,
    card,
    intervals,
    labelled,
    not_measurable,
    table,
)
from toprope.techniques.debate.report.results import (
    Results,
    clear_of_zero,
    levels,
    shown,
    stage_name,
    value_text,
    verdict_on,
    with_level,
)
from toprope.techniques.debate.rows import HEADLINE

__all__ = ["kept", "section"]

TITLE = "Self-play: debaters trained to win"
DEBATE, CONSULTANCY = "debate", "consultancy"

_LIMITS = (
    "The judge rates what is learned from: a gain before this judge need not be one before another "
    "judge, or a person.",
    "Debater and consultant learn from as many pairs, made the same way; whether either had "
    "converged isn't measured.",
    "Longer speeches, more quotes that aren't in the passage and wins for wrong answers are signs "
    "that training found the judge's weaknesses. That none of them shows doesn't prove that it "
    "didn't.",
)

_ACCURACIES = (
    ("accuracy", "Accuracy"),
    ("accuracy_gain", "Gain over untrained"),
    ("accuracy_gain_last", "Gain of this training"),
    ("right_probability_gain", "Probability of the right answer, gain"),
    ("agent_score_gain", "Agent score, gain"),
)
_CHANGES = {
    "speech_words_change": "words of a speech",
    "verified_quotes_change": "quotes of a speech that are in the passage",
    "unverified_quotes_change": "quotes of a speech that aren't in the passage",
    "quotes_answer_change": "speeches that quote words with their answer in them",
    "declined_change": "speeches refused or empty",
    "persuasiveness_change": "verdicts for the consultant's answer",
}
_SPEECHES = (
    ("speech_words", "Words of a speech"),
    ("speech_words_change", "Change"),
    ("verified_quotes_a_speech", "Quotes in the passage, of a speech"),
    ("verified_quotes_change", "Change"),
    ("unverified_quotes_a_speech", "Quotes not in the passage, of a speech"),
    ("unverified_quotes_change", "Change"),
    ("quotes_answer_rate", "Quotes words with its answer in them"),
    ("quotes_answer_change", "Change"),
    ("declined_change", "Refused or empty, change"),
    ("persuasiveness_change", "Persuasiveness, change"),
    ("side_probability_change", "Probability of its side, change"),
)
_DUELS = (
    ("win_rate_over_untrained", "All"),
    ("honest_win_rate_over_untrained", "Arguing for the right answer"),
    ("dishonest_win_rate_over_untrained", "For a wrong one"),
    ("side_probability_over_untrained", "Probability of its side"),
)
_LESSONS = (
    ("draft_rating", "Mean rating of drafts"),
    ("draft_spread", "From a turn's worst to its best"),
    ("pair_rate", "Turns that gave a pair"),
    ("pair_honest_rate", "Pairs for the right answer"),
    ("pair_quoted_rate", "Preferred draft quotes what supports its answer most"),
    ("pair_words_difference", "Preferred draft longer by"),
)


def section(evidence: Sequence[Evidence]) -> Section:
    """The section for all self-play of a run, which may hold several settings."""
    parts = [_setting(Results(setting)) for setting in by_setting(evidence)]
    return of_parts(TITLE, evidence, _LIMITS, parts)


def _setting(results: Results) -> Section:
    main, stages = _last(results, DEBATE), _stages(results)
    return Section(
        title=results.setting.name,
        summary=_story(results),
        highlights=_highlights(results),
        figures=[*_accuracy(results), *_gains(results), *_duels(results)],
        tables=[
            *table("Judge accuracy", results, _ACCURACIES, arms=stages, name=stage_name, main=main),
            *table("What became of speeches", results, _SPEECHES, arms=stages, name=stage_name),
            *table("Wins over the untrained model", results, _DUELS, arms=stages, name=stage_name),
            *table(
                "What was learned from, on training questions", results, _LESSONS, name=stage_name
            ),
            *not_measurable(results, stage_name),
        ],
    )


def _stages(results: Results) -> list[str]:
    """The controls, then debate and consultancy, each from before to after its trainings."""
    of = (*CONTROLS, DEBATE, CONSULTANCY)
    return [
        arm for kind in of for arm in results.arms if re.fullmatch(rf"{kind}(_trained_\d+)?", arm)
    ]


def _last(results: Results, protocol: str) -> str:
    """The stage after the last training."""
    trained = [arm for arm in results.arms if re.fullmatch(rf"{protocol}_trained_\d+", arm)]
    return trained[-1] if trained else protocol


# --- in words ---


def _story(results: Results) -> list[str]:
    told = [_finding(results), _power(results), _speeches(results), _wins(results)]
    return [paragraph for paragraph in told if paragraph]


def _finding(results: Results) -> str:
    stage = _last(results, DEBATE)
    before, after = results.get(DEBATE), results.get(stage)
    gain = results.get(HEADLINE, "accuracy_gain")
    if not (before and after and gain and gain.value is not None):
        return f"No finding can be stated for {results.speaker}: no gain could be measured."
    times = stage.rpartition("_")[2]
    told = (
        f"Before {results.speaker} was trained to win, the judge {results.judge} was right in "
        f"{shown(before)} of debates on {results.setting.dataset}; after "
        f"{counted(int(times), 'training')} in {shown(after)}: a difference of {with_level(gain)}, "
        f"{verdict_on(gain)}."
    )
    other = results.get(HEADLINE, "accuracy_gain_over_consultancy")
    if other and other.value is not None:
        told += (
            f" Over what the same training does for consultancy, that is {shown(other)}, "
            f"{verdict_on(other)}."
        )
    return told


def _power(results: Results) -> str:
    least = [
        (results.get(HEADLINE, f"smallest_detectable_gain{of}"), what)
        for of, what in (("", "gain"), ("_over_consultancy", "difference of the two gains"))
    ]
    told = [
        f"a true {what} of {value_text(row)}"
        for row, what in least
        if row and row.value is not None
    ]
    ends = [f"{arm} {shown(row)}" for arm in (BLIND, EXPERT) if (row := results.get(arm))]
    parts = [f"With 80% power, {listing(told)} would be found."] if told else []
    parts += [f"The same judge without debates: {listing(ends)}."] if ends else []
    return " ".join(parts)


def _speeches(results: Results) -> str:
    """Which changes of speeches stand clear of zero, and which don't; some are signs of reward
    hacking."""
    told = []
    for protocol in (DEBATE, CONSULTANCY):
        stage = _last(results, protocol)
        rows = [(what, results.get(stage, metric)) for metric, what in _CHANGES.items()]
        changed = [f"{what} by {shown(row)}" for what, row in rows if row and clear_of_zero(row)]
        same = [
            what for what, row in rows if row and row.value is not None and not clear_of_zero(row)
        ]
        if not (changed or same):
            continue
        shifts = (
            f"changed, clear of zero: {listing(changed)}"
            if changed
            else "nothing changed clear of zero"
        )
        rest = f"; not clear of zero: {listing(same)}" if same else ""
        told.append(f"In {stage_name(stage)[:1].lower() + stage_name(stage)[1:]}, {shifts}{rest}.")
    return f"What became of speeches. {' '.join(told)}" if told else ""


def _wins(results: Results) -> str:
    stage = _last(results, DEBATE)
    rows = [
        results.get(stage, f"{side}win_rate_over_untrained")
        for side in ("", "honest_", "dishonest_")
    ]
    if not rows[0] or rows[0].value is None:
        return ""
    return (
        f"Against the untrained model the trained one wins {shown(rows[0])} of debates (even: "
        f"50%): {shown(rows[1])} arguing for the right answer, {shown(rows[2])} for a wrong one."
    )


def _highlights(results: Results) -> list[Highlight]:
    wanted = [
        ("Gain of debate", HEADLINE, "accuracy_gain"),
        ("Over consultancy's gain", HEADLINE, "accuracy_gain_over_consultancy"),
        ("Debate, untrained", DEBATE, "accuracy"),
        ("Debate, trained", _last(results, DEBATE), "accuracy"),
    ]
    return [
        card(label, number, main=metric == "accuracy_gain")
        for label, arm, metric in wanted
        if (number := results.measured(arm, metric))
    ]


# --- figures ---


def _accuracy(results: Results) -> list[Figure]:
    rows = [row for arm in _stages(results) if (row := results.get(arm))]
    drawn = [
        replace(one, kind="reference") if row.arm in CONTROLS else one
        for one, row in zip(
            labelled(rows, stage_name, main=_last(results, DEBATE)), rows, strict=True
        )
    ]
    lines = [
        ReferenceLine(row.value, row.arm)
        for row in rows
        if row.arm in CONTROLS and row.value is not None
    ]
    chances = [row.controls["chance"] for row in rows if "chance" in row.controls]
    lines += [ReferenceLine(chance, "chance") for chance in chances[:1]]
    return intervals(
        "Judge accuracy before and after each training",
        drawn,
        "share of test verdicts that are right",
        levels(rows),
        lines=lines,
    )


def _gains(results: Results) -> list[Figure]:
    rows = [row for arm in _stages(results) if (row := results.get(arm, "accuracy_gain"))]
    drawn = labelled(rows, stage_name, main=_last(results, DEBATE))
    other = results.get(HEADLINE, "accuracy_gain_over_consultancy")
    if other:
        drawn += labelled([other], lambda arm: "Debate's gain less consultancy's")
    published = {row.baseline for row in rows if row.baseline}
    lines = [ReferenceLine(0, "untrained"), *(ReferenceLine(at, "published") for at in published)]
    caption = levels(rows, paired="question")
    if published:
        caption += (
            " Published: debate, of Arnesen, Rein and Michael 2024 (arXiv 2409.16636), with larger "
            "models; they found no gain for consultancy."
        )
    return intervals(
        "Gain in accuracy over the untrained model",
        drawn,
        DIFFERENCE,
        caption,
        numbers=POINTS_OF_ACCURACY,
        lines=lines,
    )


def _duels(results: Results) -> list[Figure]:
    drawn: list[IntervalRow] = []
    for arm in results.arms:
        for side, whose in (("honest_", "for the right answer"), ("dishonest_", "for a wrong one")):
            row = results.get(arm, f"{side}win_rate_over_untrained")
            if row:
                [one] = labelled([row], stage_name)
                kind = "result" if side == "honest_" else "diagnostic"
                drawn.append(replace(one, kind=kind, label=f"{one.label}: {whose}"))
    return intervals(
        "Wins of the trained over the untrained model",
        drawn,
        "share of debates won",
        "Training that finds better arguments wins more where it's right; training that finds the "
        "judge's weaknesses wins on either side.",
        lines=[ReferenceLine(0.5, "even")],
    )
