"""The section on sparse MNIST: does a debate over a digit help a judge that sees a few pixels?

Irving, Christiano and Amodei 2018 (arXiv 1805.00899). Nothing is measured here: every number is a
row of evidence (see `debate/mnist/rows.py`).
"""

from collections.abc import Sequence
from dataclasses import replace

from toprope.evidence import Evidence
from toprope.report.figures import IntervalRow, ReferenceLine
from toprope.report.page import Figure, Highlight, Section
from toprope.report.sections import of_parts
from toprope.report.settings import by_setting
from toprope.report.text import PERCENT, counted
from toprope.techniques.debate.mnist.arms import Arm
from toprope.techniques.debate.report.digit_games import kept
from toprope.techniques.debate.report.digits import Found, arm_name, rules_name
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
    clear_of_zero,
    levels,
    shown,
    verdict_on,
    with_level,
)
from toprope.techniques.debate.rows import HEADLINE

__all__ = ["kept", "section"]

TITLE = "Debate over digits (sparse MNIST)"

_GAINS = {
    "gain_over_random": "over random pixels",
    "gain_over_free": "over no commitment",
    "gain_over_liar_second": "over the liar second",
    "gain_over_untrained": "over untrained agents",
    "gain_over_search": "over the search",
}
_COLUMNS = (
    ("accuracy", "Judge's accuracy"),
    *((metric, f"Gain {over}") for metric, over in _GAINS.items()),
    ("honest_win_rate", "Single games that the truth wins"),
)

_LIMITS = (
    "The digits are small pictures and the judge a small network: what is shown is that rules of a "
    "game let a judge who sees little use players who see all. It isn't shown that words do the "
    "same.",
    "Without commitment the liar may claim any other digit in the end, so the truth has to beat "
    "nine answers at once, not one: the two kinds of rules don't ask the judge the same.",
    "The players see the judge and search against it. Stronger play may favour either side.",
    "What the judge believes of fewer pixels than it was trained on is a guide to a game's "
    "picture, and settles nothing.",
)


def section(evidence: Sequence[Evidence]) -> Section:
    """The section for all debates over digits of a run, which may hold several settings."""
    parts = [_setting(Found(setting)) for setting in by_setting(evidence)]
    return of_parts(TITLE, evidence, _LIMITS, parts)


def _setting(found: Found) -> Section:
    return Section(
        title=found.setting.name,
        summary=_story(found),
        highlights=_highlights(found),
        figures=[
            *(figure for k in found.pixels for figure in _accuracy(found, k)),
            *(figure for metric in _GAINS for figure in _gains(found, metric)),
        ],
        tables=[
            *(
                part
                for k in found.pixels
                for part in table(
                    counted(k, "pixel"),
                    found,
                    _COLUMNS,
                    arms=found.of_pixels(k),
                    name=rules_name,
                    main=found.chosen,
                )
            ),
            *not_measurable(found, arm_name),
        ],
    )


# --- in words ---


def _story(found: Found) -> list[str]:
    told = [_finding(found), *(_of_pixels(found, k) for k in found.pixels), _agents(found)]
    return [paragraph for paragraph in told if paragraph]


def _finding(found: Found) -> str:
    row, arm = found.get(HEADLINE), Arm.named(found.chosen)
    if row is None or row.value is None or arm is None:
        return "No finding can be stated: the headline's accuracy couldn't be measured."
    alone, gain = found.alone(arm.pixels), found.get(found.chosen, "gain_over_random")
    beside = f"; on as many random pixels it is right for {shown(alone)}" if alone else ""
    more = (
        f". The debate gains {shown(gain)}, {verdict_on(gain)}"
        if gain and gain.value is not None
        else ""
    )
    commitment = (
        "committed to a lie: the worst of nine counts"
        if arm.rules and arm.rules.precommit
        else "free to claim any other digit in the end"
    )
    return (
        f"A judge that sees {arm.pixels} pixels, which an honest player and a liar pick in turn, "
        f"sides with the truth for {with_level(row)} of the digits ({_order(arm)}, "
        f"{commitment}){beside}{more}. {_published(row, alone)}"
    ).strip()


def _published(row: Evidence, alone: Evidence | None) -> str:
    """How an accuracy stands to the publication's, and what that one was gained over."""
    if row.baseline is None or row.low is None or row.high is None:
        return ""
    stands = "within that interval"
    if row.baseline < row.low:
        stands = "below that interval"
    elif row.baseline > row.high:
        stands = "above that interval"
    over = f", up from {PERCENT.text(alone.baseline)}," if alone and alone.baseline else ""
    return f"The published {PERCENT.text(row.baseline)}{over} is {stands}."


def _order(arm: Arm) -> str:
    return f"the liar {'first' if arm.rules and arm.rules.liar_first else 'second'}"


def _of_pixels(found: Found, pixels: int) -> str:
    """Accuracy by rules, and what commitment and order change."""
    arms = [arm for arm in found.by_search(pixels) if found.measured(arm)]
    if not arms:
        return ""
    shares = "; ".join(f"{rules_name(arm).lower()} {shown(found.get(arm))}" for arm in arms)
    told = [f"With {pixels} pixels: {shares}."]
    for metric in ("gain_over_free", "gain_over_liar_second"):
        for arm in arms:
            row = found.get(arm, metric)
            if row and row.value is not None:
                told.append(
                    f"{rules_name(arm)} gains {shown(row)} {_GAINS[metric]}, {verdict_on(row)}."
                )
    return " ".join(told)


def _agents(found: Found) -> str:
    """Under the headline's rules, or those that agents played first; the others counted."""
    arms = [arm for name in found.arms if (arm := Arm.named(name)) and arm.by == "agents"]
    chosen = Arm.named(found.chosen)
    arms.sort(
        key=lambda arm: chosen is None or (arm.pixels, arm.rules) != (chosen.pixels, chosen.rules)
    )
    told = [
        (arm.name, row)
        for arm in arms
        if (row := found.get(arm.name, "gain_over_untrained")) and row.value is not None
    ]
    if not told:
        return ""
    name, row = told[0]
    clear = sum(clear_of_zero(gain) and (gain.value or 0) > 0 for _, gain in told)
    search = found.get(name, "gain_over_search")
    beside = f" Against the search that is {shown(search)}." if search else ""
    return (
        f"Agents that learned by self-play, without search ({arm_name(name)}): "
        f"{shown(found.get(name))}, over the untrained ones {shown(row)}, "
        f"{verdict_on(row)}.{beside} In {clear} of "
        f"{counted(len(told), 'kind')} of games their gain is clear of zero."
    )


def _highlights(found: Found) -> list[Highlight]:
    cards = []
    for pixels in sorted(found.pixels, reverse=True):
        arms = [found.chosen] if found.chosen in found.by_search(pixels) else []
        for name in (*(arms or found.by_search(pixels)[:1]), Arm(pixels, None, "random").name):
            number = found.measured(name)
            if number is None:
                continue
            what = "judge alone" if name.endswith("_random") else "debate"
            label = f"{counted(pixels, 'pixel')}, {what}"
            cards.append(card(label, number, main=name == found.chosen))
    return cards


# --- figures ---


def _accuracy(found: Found, pixels: int) -> list[Figure]:
    rows = [row for arm in found.of_pixels(pixels) if (row := found.get(arm))]
    drawn = [
        _with_judges(found, row, one)
        for row, one in zip(rows, labelled(rows, rules_name, main=found.chosen), strict=True)
    ]
    lines = [
        ReferenceLine(
            row.baseline, "published alone" if row.arm.endswith("_random") else "published"
        )
        for row in rows
        if row.baseline is not None
    ]
    caption = f"{levels(rows)} Light dots: single judges."
    if lines:
        caption += (
            " Published: Irving et al. 2018, committed and the liar first, and random pixels."
        )
    return intervals(
        f"Judge's accuracy with {counted(pixels, 'pixel')}",
        drawn,
        "share of digits won by the truth",
        caption,
        lines=lines,
    )


def _with_judges(found: Found, row: Evidence, drawn: IntervalRow) -> IntervalRow:
    seeds = found.numbered(row.arm, r"seed_(\d+)_accuracy")
    points = tuple(one.value for _, one in seeds if one.value is not None)
    return replace(drawn, points=points if len(points) > 1 else ())


def _gains(found: Found, metric: str) -> list[Figure]:
    rows = found.of(metric)
    published = sorted({row.baseline for row in rows if row.baseline is not None})
    return intervals(
        f"Gain {_GAINS[metric]}",
        labelled(rows, arm_name, main=found.chosen),
        DIFFERENCE,
        levels(rows, paired="image and judge"),
        numbers=POINTS_OF_ACCURACY,
        lines=[ReferenceLine(0, "no gain"), *(ReferenceLine(at, "published") for at in published)],
    )
