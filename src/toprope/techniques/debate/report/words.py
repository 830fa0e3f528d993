"""What a setting of text debates shows, in plain words.

A difference is told by its interval alone; where that holds zero, the words say that nothing was
shown, and how large a difference would have been found.
"""

from collections.abc import Sequence

from toprope.evidence import Evidence
from toprope.report.text import PERCENT, capitalised, counted, in_words, listing, sentence
from toprope.techniques.debate.arm_rows import PUBLISHED_SURE
from toprope.techniques.debate.arms import BLIND, EXPERT
from toprope.techniques.debate.report.results import (
    Results,
    clear_of_zero,
    in_sentence,
    shown,
    value_text,
    verdict_on,
    with_level,
)
from toprope.techniques.debate.rows import DEBIASED, HEADLINE


def chosen(results: Results) -> str:
    """The arm that the conclusion is about; "": nobody argues."""
    row = results.get(HEADLINE)
    name = row.notes.removeprefix("of ") if row else ""
    return name if name in results.arms else ""


def overview(results: Sequence[Results]) -> list[str]:
    """Several settings, counted by what their headline's interval allows to say."""
    rows = [row for one in results if (row := one.get(HEADLINE, "gain_over_consultancy"))]
    if not rows:
        return [f"{counted(len(results), 'setting')} of debates, each told in full below."]
    above = sum(clear_of_zero(row) and (row.value or 0) > 0 for row in rows)
    below = sum(clear_of_zero(row) and (row.value or 0) < 0 for row in rows)
    return [
        f"In {above} of {counted(len(rows), 'setting')} the judge is more accurate after the "
        f"headline protocol than after consultancy, with an interval clear of zero; in {below} it "
        f"is less accurate, and in {len(rows) - above - below} neither is shown."
    ]


def story(results: Results) -> list[str]:
    """The finding, then what it must be compared with."""
    told = [
        _finding(results),
        _against_consultancy(results),
        _apart_from_places(results),
        _sides(results),
        _confidence(results),
        _drift(results),
        _persuasion(results),
        _overhead(results),
    ]
    return [paragraph for paragraph in told if paragraph]


def _finding(results: Results) -> str:
    arm = chosen(results)
    row = results.get(arm)
    if row is None:
        shares = [f"{in_sentence(one.arm)} {shown(one)}" for one in results.of("accuracy")]
        return f"{results.judge} judged, and nobody argued: accuracy {listing(shares)}."
    ends = [
        f"{value_text(end)} {how}"
        for name, how in ((BLIND, "without hearing anyone"), (EXPERT, "reading the passage itself"))
        if (end := results.get(name))
    ]
    beside = f"; it is right in {listing(ends)}" if ends else ""
    chance = row.controls.get("chance")
    by_chance = f" (by chance {100 * chance:.0f}%)" if chance is not None else ""
    untrained = row.controls.get("untrained")
    learned = (
        f" Before it learned from transcripts it was right in {PERCENT.text(untrained)}."
        if untrained is not None
        else ""
    )
    return (
        f"With {results.speaker} arguing ({in_sentence(arm)}), the judge {results.judge} is right "
        f"in {with_level(row)} of games on {counted(row.n, row.unit.removesuffix('s'))} of "
        f"{results.setting.dataset}{beside}{by_chance}. {_gap(results, arm)}"
        f"{learned}"
    )


def _gap(results: Results, arm: str) -> str:
    row = results.get(arm, "gap_closed_share")
    if row is None:
        return ""
    if row.value is None:
        return sentence(f"Which share of that gap it closes isn't given: {row.notes}")
    return f"It closes {shown(row)} of that gap."


def _against_consultancy(results: Results, prefix: str = "") -> str:
    row = results.get(HEADLINE, f"{prefix}gain_over_consultancy")
    if row is None or row.value is None:
        return ""
    name = next(iter(row.controls), "consultancy")
    told = [
        f"Against {in_sentence(name)}, the control, the judge's accuracy differs by {shown(row)}, "
        f"{verdict_on(row)}."
    ]
    share = results.get(HEADLINE, f"{prefix}gap_closed_more_share")
    if share and share.value is not None:
        told.append(
            f"The share of the gap that is closed differs by {shown(share)}, {verdict_on(share)}."
        )
    least = results.get(HEADLINE, f"{prefix}smallest_detectable_over_consultancy")
    if least and least.value is not None:
        told.append(
            f"A true difference of {value_text(least)} in accuracy would be found with 80% power."
        )
    return " ".join(told)


def _apart_from_places(results: Results) -> str:
    arm = chosen(results)
    row = results.get(arm, f"{DEBIASED}accuracy")
    if row is None or row.value is None:
        return ""
    others = [
        f"{in_sentence(one)} {value_text(other)}"
        for one in (*controls(results), BLIND, EXPERT)
        if (other := results.get(one, f"{DEBIASED}accuracy"))
    ]
    beside = f" ({', '.join(others)})" if others else ""
    first = results.get(arm, "first_position_rate")
    leaning = (
        f"After {in_sentence(arm)} the judge names the answer that is shown first in "
        f"{shown(first)} of games. "
        if first and first.value is not None
        else ""
    )
    against = _against_consultancy(results, DEBIASED)
    return (
        f"{leaning}With that leaning taken out (the answer likeliest over all seatings), "
        f"{in_sentence(arm)} makes it right in {shown(row)}{beside}. {against}"
    ).strip()


def _sides(results: Results) -> str:
    told = []
    for arm in (chosen(results), *controls(results)):
        honest, other = (results.get(arm, f"{side}_win_rate") for side in ("honest", "dishonest"))
        if honest is None or honest.value is None:
            continue
        wrong = f", and who argues for a wrong one {shown(other)}" if other else ""
        told.append(
            f"In {in_sentence(arm)}, who argues for the right answer wins {shown(honest)} of games"
            f"{wrong}."
        )
    return " ".join(told)


def _confidence(results: Results) -> str:
    arm = _first_with(results, "both_sure_strictly_rate")
    bets = results.numbered(arm, r"bet_before_round_(\d+)")
    if not bets:
        return ""
    (first, before), (last, after) = bets[0], bets[-1]
    told = [
        f"In {in_sentence(arm)}, debaters bet in private, before round {first}, {shown(before)} on "
        "average that they win"
    ]
    rise = results.get(arm, f"bet_rise_round_{first}_to_{last}")
    if rise and rise.value is not None and last > first:
        told.append(f", and {shown(after)} before round {last}: a rise of {shown(rise)}")
    strictly, at_least = (
        results.get(arm, f"both_sure_{how}_rate") for how in ("strictly", "at_least")
    )
    told.append(
        f". In the end both bet above 75% in {shown(strictly)} of games (published: "
        f"{100 * PUBLISHED_SURE[0]:.1f}%), and 75% or more in {shown(at_least)} "
        f"({100 * PUBLISHED_SURE[1]:.1f}%)"
    )
    incoherent = results.get(arm, "incoherent_bets_rate")
    if incoherent and incoherent.value is not None:
        told.append(f"; two bets sum to over 100% in {shown(incoherent)}")
    return "".join(told) + "."


def _drift(results: Results) -> str:
    arm = chosen(results)
    if len(results.numbered(arm, r"right_probability_after_round_(\d+)")) < 2:
        arm = _first_with(results, "right_probability_after_round_1")
    rounds = results.numbered(arm, r"right_probability_after_round_(\d+)")
    if len(rounds) < 2:
        return ""
    (first, before), (last, after) = rounds[0], rounds[-1]
    start = f"after round {first}" if first else "before anyone spoke"
    return (
        f"In {in_sentence(arm)}, the judge's probability of the right answer is {shown(before)} "
        f"{start} and {shown(after)} after round {last}."
    )


def _persuasion(results: Results) -> str:
    told = []
    for row in results.setting.rows:
        if row.metric != "persuasion_slope":
            continue
        per = in_words(row.notes.partition(";")[0])
        if row.value is None:
            what = f"Whether a more persuasive {in_sentence(row.arm)} makes the judge more accurate"
            told.append(sentence(f"{what} isn't given: {row.notes.rpartition('; ')[2]}"))
        else:
            told.append(
                f"Among variants of {in_sentence(row.arm)}, accuracy changes with persuasiveness "
                f"by {shown(row)} {per}, {verdict_on(row)}."
            )
    return " ".join(told)


def _overhead(results: Results) -> str:
    row: Evidence | None = results.get("all", "framework_overhead")
    if row is None or row.value is None:
        return ""
    return (
        f"{capitalised(value_text(row))} of the models' time was spent outside of them, over "
        f"{counted(row.n, 'game')} (a measured total, without chance)."
    )


def controls(results: Results) -> list[str]:
    """The consultancy that the headline is held against, if there is one."""
    row = results.get(HEADLINE, "gain_over_consultancy")
    return list(row.controls) if row else []


def _first_with(results: Results, metric: str) -> str:
    """The headline's arm if it has a metric, else the first that has; "": none."""
    having = [arm for arm in results.arms if results.measured(arm, metric)]
    return chosen(results) if chosen(results) in having else next(iter(having), "")
