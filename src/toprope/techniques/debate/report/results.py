"""One setting's rows of evidence, found by arm and metric, and how each number is written."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

from toprope.evidence import Evidence
from toprope.report.measured import NOT_MEASURABLE, Measured, measured
from toprope.report.settings import Setting, model_title
from toprope.report.text import (
    DECIMAL,
    PERCENT,
    POINTS,
    Format,
    capitalised,
    format_for,
    in_words,
    level_name,
)
from toprope.techniques.debate.arms import CONTROLS, VARIANTS
from toprope.techniques.debate.rows import HEADLINE

BETS = Format(suffix="%", digits=1)
BET_POINTS = Format(suffix=" points", digits=1)
ELO = Format(digits=0)

# The formats of metrics, by a pattern of their names; the first that fits.
_FORMATS = (
    (r"bet_before_.*", BETS),
    (r"bet_rise_.*", BET_POINTS),
    (r"(honest_)?elo", ELO),
    (r".*words.*|.*payoff.*|(un)?verified_quotes_(a_speech|change)", DECIMAL),
    (r".*(gap_closed_more_share|gain_over_.*|smallest_detectable_.*|accuracy_gain.*)", POINTS),
    (r"(declined|quotes_answer|persuasiveness)_change|persuasion_slope", POINTS),
    (r".*_over_untrained", PERCENT),
    (r"pair_honest_rate|pair_quoted_rate|pair_rate|framework_overhead|accuracy_at_most", PERCENT),
    (r"(log|brier)_score|calibration_error|agent_score_.*|draft_.*", DECIMAL),
    (r"(right|side)_probability_.*|moved_.*", DECIMAL),
)


@dataclass(frozen=True)
class Results:
    """What was measured of one judge, with one model arguing, on one set of questions."""

    setting: Setting

    @cached_property
    def _rows(self) -> dict[tuple[str, str], Evidence]:
        return {(row.arm, row.metric): row for row in self.setting.rows}

    def get(self, arm: str, metric: str = "accuracy") -> Evidence | None:
        return self._rows.get((arm, metric))

    def measured(self, arm: str, metric: str = "accuracy") -> Measured | None:
        return measured(self.get(arm, metric))

    def of(self, metric: str) -> list[Evidence]:
        """The rows of a metric, in the order of the arms."""
        return [row for arm in self.arms if (row := self.get(arm, metric))]

    def numbered(self, arm: str, pattern: str) -> list[tuple[int, Evidence]]:
        """An arm's measured rows whose metric has a number in it, such as a round, by that number.

        Args:
            pattern: a regular expression of the whole metric, with a group for the number.
        """
        found = [
            (int(parts[1]), row)
            for (of, metric), row in self._rows.items()
            if of == arm and row.value is not None and (parts := re.fullmatch(pattern, metric))
        ]
        return sorted(found, key=lambda one: one[0])

    @cached_property
    def arms(self) -> list[str]:
        """Those with an accuracy, in the order of the study; the headline is one of them."""
        rows = self.setting.rows
        return [row.arm for row in rows if row.metric == "accuracy" and row.arm != HEADLINE]

    @property
    def judge(self) -> str:
        return model_title(self.setting.overseer)

    @property
    def speaker(self) -> str:
        return model_title(self.setting.target)


def numbers_for(metric: str) -> Format:
    """How a metric of debates is written."""
    for pattern, numbers in _FORMATS:
        if re.fullmatch(pattern, metric):
            return numbers
    return format_for(metric)


def shown(row: Evidence | None) -> str:
    """ "71.2% (69.0–73.1)", that it isn't measurable, or "" where there is no row."""
    number = measured(row)
    if number is None:
        return NOT_MEASURABLE if row else ""
    return numbers_for(number.row.metric).with_interval(number.value, number.low, number.high)


def value_text(row: Evidence | None) -> str:
    """ "71.2%"."""
    if row is None or row.value is None:
        return NOT_MEASURABLE if row else ""
    return numbers_for(row.metric).text(row.value)


def with_level(row: Evidence) -> str:
    """ "71.2% (95% interval 69.0–73.1)"."""
    number = measured(row)
    if number is None:
        return NOT_MEASURABLE
    numbers = numbers_for(row.metric)
    span = numbers.span(number.low, number.high)
    return f"{numbers.text(number.value)} ({level_name([row.level])} interval {span})"


def clear_of_zero(row: Evidence) -> bool:
    """Whether the whole interval is on one side of zero."""
    number = measured(row)
    return number is not None and (number.low > 0 or number.high < 0)


def verdict_on(row: Evidence) -> str:
    """What an interval around a difference allows to say."""
    if clear_of_zero(row):
        return "clear of zero"
    return "not clear of zero: this run doesn't show a difference"


_ARM = re.compile(rf"(\w+?)(?:_({'|'.join(VARIANTS)})_(\d+))?")


def arm_name(arm: str) -> str:
    """ "debate_best_of_4" -> "Debate, best of 4"."""
    kind, variant, n = _ARM.fullmatch(arm or "_").groups()  # pyright: ignore[reportOptionalMemberAccess]
    name = capitalised(in_words(kind)).replace("Prover estimator", "Prover and estimator")
    return f"{name}, {in_words(variant)} {n}" if variant else name


def stage_name(stage: str) -> str:
    """ "debate_trained_2" -> "Debate, after training 2"."""
    protocol, _, number = stage.partition("_trained_")
    name = capitalised(in_words(protocol))
    if number:
        return f"{name}, after training {number}"
    return name if stage in (*CONTROLS, HEADLINE) else f"{name}, untrained"


def in_sentence(arm: str) -> str:
    """ "debate_best_of_4" -> "debate, best of 4"."""
    return arm_name(arm)[:1].lower() + arm_name(arm)[1:]


def levels(rows: Sequence[Evidence], paired: str = "") -> str:
    """ "Whiskers: 95% intervals, paired by question."."""
    by = f", paired by {paired}" if paired else ""
    return f"Whiskers: {level_name(row.level for row in rows)} intervals{by}."
