"""The section on text debates: which protocols help a judge that doesn't see the passage.

Nothing is measured here: every number is a row of evidence (see `debate/rows.py`).
"""

from collections.abc import Sequence
from dataclasses import replace

from toprope.evidence import Evidence
from toprope.report.figures import ReferenceLine
from toprope.report.page import Highlight, Section, Table
from toprope.report.sections import (
    fingerprints_detail,
    interval_row,
    measurement_limits,
    notes_detail,
)
from toprope.report.settings import by_setting
from toprope.report.text import PERCENT
from toprope.techniques.debate.arms import BLIND, EXPERT, KINDS
from toprope.techniques.debate.report.drawn import (
    DIFFERENCE,
    POINTS_OF_ACCURACY,
    card,
    intervals,
    not_measurable,
    table,
)
from toprope.techniques.debate.report.figures import OUTCOMES, figures
from toprope.techniques.debate.report.results import (
    Results,
    arm_name,
    levels,
    shown,
    value_text,
)
from toprope.techniques.debate.report.words import chosen, overview, story
from toprope.techniques.debate.rows import DEBIASED, HEADLINE

TITLE = "Debate"

_LIMITS = (
    "The judge is a model that doesn't see the passage, in the place of a person who doesn't know "
    "the subject. People err otherwise, and are persuaded by other things.",
    "One model argues on every side, by one wording of each prompt. Debaters that were trained to "
    "win, or stronger ones, may help or mislead the judge more.",
    "Accuracies are means over all seatings of a question: each answer is shown in each place and "
    "speaks in each place. A judge that follows places rather than words then comes out near "
    "chance; the debiased accuracies leave that leaning out.",
    "A quote is verified if its words stand in the passage. That doesn't make it to the point.",
)

_JUDGING = (
    ("accuracy", "Accuracy"),
    ("debiased_accuracy", "Apart from places"),
    ("accuracy_at_most", "If verdicts without an answer were right"),
    ("log_score", "Log score"),
    ("brier_score", "Brier score"),
    ("calibration_error", "Calibration error"),
    ("first_position_rate", "Names the answer shown first"),
)
_GAPS = (
    ("gain_over_blind", "Gain over blind"),
    ("gap_closed_share", "Share of the gap closed"),
    ("debiased_gain_over_blind", "Gain, apart from places"),
    ("debiased_gap_closed_share", "Share, apart from places"),
)
_SIDES = (
    ("honest_win_rate", "Arguing for the right answer wins"),
    ("dishonest_win_rate", "For a wrong one wins"),
    ("agent_score_difference", "Agent score difference"),
    ("honest_elo", "Elo of the right side"),
    ("persuasiveness_rate", "Persuasiveness"),
    ("elo", "Elo among variants"),
    ("persuasion_slope", "Accuracy over persuasiveness"),
    ("honest_choice_rate", "Chooses the right answer"),
    ("prover_payoff_honest", "Honest prover's payoff"),
    ("prover_payoff_dishonest", "Dishonest prover's payoff"),
)


def section(evidence: Sequence[Evidence]) -> Section:
    """The section for all text debates of a run, which may hold several settings."""
    settings = by_setting(evidence)
    results = [Results(setting) for setting in settings]
    whole = _setting(results[0]) if len(results) == 1 else _several(results)
    kinds = [
        kind for kind in KINDS if any(arm.startswith(kind) for one in results for arm in one.arms)
    ]
    told = "\n".join(
        f"{arm_name(kind)}: {KINDS[kind].about} ({KINDS[kind].source})" for kind in kinds
    )
    return replace(
        whole,
        title=TITLE,
        limits=[*_LIMITS, *measurement_limits(evidence)],
        details=[
            ("What each protocol is", told),
            *notes_detail(settings),
            *fingerprints_detail(settings),
        ],
    )


def _setting(results: Results) -> Section:
    return Section(
        title=results.setting.name,
        summary=story(results),
        highlights=_highlights(results),
        figures=figures(results),
        tables=_tables(results),
    )


def _several(results: Sequence[Results]) -> Section:
    """All settings side by side, then each in full."""
    return Section(
        title="",
        summary=overview(results),
        figures=[
            *_compared(results, "gain_over_consultancy", "over consultancy"),
            *_compared(results, "debiased_gain_over_consultancy", "over it, apart from places"),
        ],
        tables=[_overview(results)],
        subsections=[_setting(one) for one in results],
    )


def _compared(results: Sequence[Results], metric: str, over: str):
    found = [(one, row) for one in results if (row := one.get(HEADLINE, metric))]
    rows = [interval_row(row, f"{one.setting.name}: {_chosen_name(one)}") for one, row in found]
    return intervals(
        f"Judge's gain {over}, by setting",
        rows,
        DIFFERENCE,
        levels([row for _, row in found], paired="question") if found else "",
        numbers=POINTS_OF_ACCURACY,
        lines=[ReferenceLine(0, "consultancy")],
    )


def _overview(results: Sequence[Results]) -> Table:
    lines = []
    for one in results:
        arm = chosen(one)
        lines.append(
            [
                one.setting.name,
                _chosen_name(one),
                *(shown(one.get(name)) for name in (arm, BLIND, EXPERT)),
                shown(one.get(arm, "gap_closed_share")),
                shown(one.get(HEADLINE, "gain_over_consultancy")),
                value_text(one.get(HEADLINE, "smallest_detectable_over_consultancy")),
            ]
        )
    columns = (
        "Setting",
        "Headline",
        "Accuracy",
        "Blind",
        "Expert",
        "Gap closed",
        "Over consultancy",
        "Smallest detectable",
    )
    return Table("All settings", columns, lines, numeric=frozenset(range(2, 8)))


def _chosen_name(results: Results) -> str:
    return arm_name(chosen(results)) if chosen(results) else "none"


def _highlights(results: Results) -> list[Highlight]:
    arm = chosen(results)
    others = [one for one in results.arms if "consultancy" in one and one != arm][:1]
    cards = [
        card(arm_name(name), number, main=name == arm)
        for name in (arm, *others, BLIND, EXPERT)
        if (number := results.measured(name))
    ]
    share = results.measured(arm, "gap_closed_share")
    if share:
        cards.append(card("Gap closed", share))
    elif results.get(arm, "gap_closed_share"):
        cards.append(Highlight("Gap closed", "none given", "see below"))
    return cards


def _tables(results: Results) -> list[Table]:
    main = chosen(results)
    return [
        *table("How well the judge judges", results, _JUDGING, main=main),
        *_learned(results),
        *table("Against the blind and the expert judge", results, _GAPS, main=main),
        *_headline(results),
        *table("Who wins, and by what", results, _SIDES, main=main),
        *table("Private bets", results, _bets(results), main=main),
        *table("The judge's mind, round by round", results, _drift(results), main=main),
        *table("By difficulty of the question", results, _difficulties(results), main=main),
        *table("What became of turns, verdicts and quotes", results, OUTCOMES, main=main),
        _costs(results),
        *not_measurable(results),
    ]


def _learned(results: Results) -> list[Table]:
    """A trained judge, beside itself before it learned from transcripts."""
    lines = [
        [arm_name(row.arm), shown(row), PERCENT.text(row.controls["untrained"])]
        for row in results.of("accuracy")
        if "untrained" in row.controls
    ]
    if not lines:
        return []
    columns = ("", "Accuracy, after learning", "Before")
    caption = "What the judge learned from transcripts"
    return [Table(caption, columns, lines, numeric=frozenset({1, 2}))]


def _headline(results: Results) -> list[Table]:
    rows = [
        [name, shown(plain), shown(apart)]
        for metric, name in (
            ("gain_over_consultancy", "Gain over consultancy"),
            ("gap_closed_more_share", "More of the gap closed than by consultancy"),
            ("smallest_detectable_over_consultancy", "Smallest detectable over consultancy"),
            ("smallest_detectable_over_blind", "Smallest detectable over blind"),
        )
        if (plain := results.get(HEADLINE, metric))
        for apart in [results.get(HEADLINE, f"{DEBIASED}{metric}")]
    ]
    if not rows:
        return []
    caption = f"{arm_name(chosen(results))}, named before the run, against its controls"
    columns = ("", "Accuracy", "Apart from places")
    return [Table(caption, columns, _exact(rows), numeric=frozenset({1, 2}))]


def _exact(rows: Sequence[list[str]]) -> list[list[str]]:
    """Without intervals where there is none: a smallest detectable difference is a calculation."""
    return [
        [name, *(cell.partition(" (")[0] if "detectable" in name else cell for cell in cells)]
        for name, *cells in rows
    ]


def _bets(results: Results) -> list[tuple[str, str]]:
    rounds = _numbers(results, r"bet_before_round_(\d+)")
    rises = [
        (f"bet_rise_round_{a}_to_{b}", f"Rise, round {a} to {b}")
        for a in rounds
        for b in rounds
        if a < b
    ]
    return [
        *((f"bet_before_round_{k}", f"Before round {k}") for k in rounds),
        *rises,
        ("both_sure_strictly_rate", "Both above 75%"),
        ("both_sure_at_least_rate", "Both at 75% or more"),
        ("incoherent_bets_rate", "Sum over 100%"),
    ]


def _drift(results: Results) -> list[tuple[str, str]]:
    rounds = _numbers(results, r"right_probability_after_round_(\d+)")
    return [
        *(
            (
                f"right_probability_after_round_{k}",
                f"Right answer, after round {k}" if k else "Right answer, before",
            )
            for k in rounds
        ),
        *((f"moved_to_right_in_round_{k}", f"Towards it in round {k}") for k in rounds if k),
        *((f"moved_in_round_{k}", f"Moved in round {k}") for k in rounds if k),
    ]


def _difficulties(results: Results) -> list[tuple[str, str]]:
    levels = _numbers(results, r"difficulty_(\d+)_accuracy")
    return [(f"difficulty_{k}_accuracy", f"Difficulty {k}") for k in levels]


def _numbers(results: Results, pattern: str) -> list[int]:
    return sorted({k for arm in results.arms for k, _ in results.numbered(arm, pattern)})


def _costs(results: Results) -> Table:
    lines = [
        [
            arm_name(row.arm),
            f"{row.cost.tokens:,}",
            f"{row.cost.calls:,}",
            f"{row.cost.seconds:,.0f}",
        ]
        for row in results.of("accuracy")
    ]
    columns = ("", "Tokens", "Calls", "Seconds")
    return Table("What it took", columns, lines, numeric=frozenset({1, 2, 3}))
