"""A row of evidence from a measure; and which rows and files a study of text debates leaves.

Rows, study "debate". `overseer` is the judge, `target` the debaters; `unit` is "questions" (groups
of them), values are means over questions, of all seatings of each. Shares are from 0 to 1. What
couldn't be measured has no value, and its notes say why. *: role "result" (blind and expert have
role "control"); all others are diagnostics.

Arm: a protocol as the settings name it ("blind", "debate_best_of_4"), in the settings' order.

    accuracy *                     controls: chance, blind, expert, untrained (the same arm before
                                   a trained judge learned); cost; notes: what became of turns and
                                   verdicts
    debiased_accuracy *            apart from where answers are shown (`measures.positions`): the
                                   answer likeliest over all seatings of a game
    accuracy_at_most               if every verdict without an answer were right (where some are)
    difficulty_D_accuracy          on questions of difficulty D, where the set knows it
    log_score, brier_score, calibration_error
    first_position_rate            verdicts for the answer that was shown first
    last_word_rate                 verdicts for whoever spoke last (debates)
    gain_over_blind *              paired; controls: blind, and the consultancy it's held against
    gap_closed_share *             (arm - blind) / (expert - blind); controls: blind 0, expert 1
    debiased_gain_over_blind *, debiased_gap_closed_share *
                                   the same of debiased_accuracy
    agent_score_difference         log p(right) - log p(wrong), of who argued for each
    honest_win_rate, dishonest_win_rate
                                   games won by who argued for the right, and a wrong answer; half
                                   where the judge names none that was argued for (debates)
    honest_elo                     of the honest side, the dishonest at 0 (debates)
    honest_choice_rate             open protocols: the right answer chosen to argue for
    unnamed_choice_rate            choices that name no answer, so that the one shown first is
                                   argued for (where some are)
    persuasiveness_rate            lone speakers: verdicts for the answer that was argued for
    elo                            variants of debate that met each other, the plain one at 0
    prover_payoff_honest, prover_payoff_dishonest
    first_estimate_honest, first_estimate_dishonest
                                   prover-estimator: how likely the estimator held the answer that
                                   was argued for, before anything was said
    unestimated_rate, undirected_rate, unchecked_rate
                                   prover-estimator: games in which an estimate, a direction or a
                                   check was never given (where some are)
    bet_before_round_K             mean bet in percent, with `bets`
    bet_rise_round_K_to_L          from one round to the next; then from the first to the last
    both_sure_strictly_rate        every side's last bet above 75%; baseline: 0.617
    both_sure_at_least_rate        75% or above; baseline: 0.717
    incoherent_bets_rate           bets before a round that sum to over 100
    bet_missing_rate               bets that couldn't be read
    right_probability_after_round_K, moved_to_right_in_round_K, moved_in_round_K
                                   the judge's drift, with `each_round`; round 0: before anyone
                                   spoke
    turn_O_rate                    turns that were cut, empty, refused, lost (those that occur)
    verdict_O_rate                 verdicts that were unnamed, refused, empty, lost, unstated
    unverified_quotes_rate         quotes that don't stand in the passage
    honest_gives_in_rate, dishonest_gives_in_rate
                                   speeches that name another answer and not their own

Arm "headline": the protocol that the conclusion is about, which the notes name, with the
conclusion.

    accuracy *                     as that arm's
    gain_over_consultancy *        paired
    gap_closed_more_share *        how much more of the gap it closes than consultancy
    smallest_detectable_over_blind, smallest_detectable_over_consultancy
                                   differences in accuracy found with 80% power (no interval: low
                                   and high are the value)
    debiased_... *                 each of these, of debiased_accuracy

Arm: a kind of protocol with several variants ("debate").

    persuasion_slope               accuracy over persuasiveness, which is taken as exact: per 100
                                   points of Elo in debate, of the judge that heard the variants
                                   meet (before it learned), per 1.0 of persuasiveness_rate for lone
                                   speakers

Arm "all":

    framework_overhead             time outside of models over time in models; unit "games" (those
                                   played by this process)

Files, in the run's `artifacts/debate/XXXXXXXX`, a folder for each judge, debaters and questions
(read by `kept.summaries` and `kept.load`):

    summary.json       overseer, target, questions, dataset, notes, settings, config_hash, seed,
                       headline (an arm's name), transcripts (names of files), about (question id ->
                       difficulty, kind, proof, ...), and arms: name -> kind, variant, n, about,
                       source, games, fresh, seconds, model_seconds, tokens, calls, turns and
                       verdicts (outcome -> count), unstated, verified, unverified, accuracy,
                       reliability (list of n, confidence, accuracy)
    transcripts/ARM.jsonl           a game a line, as `Transcript.as_json`: the question with its
                                    passage and right answer, turns with bets and scratchpads, all
                                    verdicts. ARM_untrained.jsonl: as judged before training.
                                    debate_cross_play.jsonl: variants against each other
    judges/ARM/        the trained judge of an arm, as `trained.keeping` has it
    journal.jsonl      games as they came, from which a killed study goes on
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from toprope.errors import UserError
from toprope.evidence import Evidence, interval_fields
from toprope.statistics import LEVEL, Interval

HEADLINE = "headline"
"""The arm of the conclusion's rows."""
DEBIASED = "debiased_"
"""Before a metric's name: apart from where answers are shown."""
ALIKE = "no question differs from another in this, so that its power isn't known"
UNBOUNDED = "no finite interval: in too many resamples it is undefined"

Role = Literal["result", "control", "diagnostic"]


@dataclass(frozen=True)
class Rows:
    """
    Attributes:
        about: fields that all rows share.
        rng: a generator of its own for an arm's metric.
    """

    about: Mapping[str, Any]
    rng: Callable[[str, str], np.random.Generator]
    resamples: int

    def measured(
        self,
        arm: str,
        metric: str,
        measure: Callable[[np.random.Generator], Interval | None],
        *,
        missing: str = "",
        **fields: Any,
    ) -> Evidence:
        """A row of what is measured; told as such where it can't be.

        Args:
            missing: why, where the measure gives None.
        """
        try:
            interval = measure(self.rng(arm, metric))
        except UserError as error:
            interval, missing = None, str(error)
        if interval and not np.isfinite([interval.value, interval.low, interval.high]).all():
            interval, missing = None, UNBOUNDED
        if interval is None:
            fields["notes"] = "; ".join(filter(None, (fields.get("notes"), missing)))
        return self.row(arm, metric, interval, **fields)

    def exact(self, arm: str, metric: str, value: float, n: int, **fields: Any) -> Evidence:
        """A row of what has no chance in it."""
        return self.row(arm, metric, Interval(value, value, value, LEVEL, n, "exact"), **fields)

    def row(
        self,
        arm: str,
        metric: str,
        interval: Interval | None,
        *,
        role: Role = "diagnostic",
        **of: Any,
    ) -> Evidence:
        return Evidence.model_validate(
            {
                "unit": "questions",
                "better": "neither",
                **self.about,
                **interval_fields(interval),
                "arm": arm,
                "metric": metric,
                "role": role,
                **of,
            }
        )


def told(row: Evidence, claim: str) -> str:
    """A conclusion, from where its interval lies."""
    if row.value is None or row.low is None or row.high is None:
        return f"not measurable whether {claim}"
    if row.low > 0:
        return f"{claim}, clear of zero"
    if row.high < 0:
        return f"the opposite of '{claim}', clear of zero"
    return f"not shown that {claim}: the interval holds zero"


def power(least: float | None) -> str:
    """
    Args:
        least: the smallest detectable difference; None: it isn't known.
    """
    if least is None:
        return ALIKE
    return f"a true difference of {100 * least:.1f} points would be found with 80% power"


def noted(row: Evidence, *notes: str) -> Evidence:
    """The row with these before its own notes."""
    return row.model_copy(update={"notes": "; ".join(filter(None, (*notes, row.notes)))})
