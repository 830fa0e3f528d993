"""Evidence of one debater: what has changed since before its training, who wins when it meets the
untrained one, and what it was trained on."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from toprope.evidence import Cost, Evidence
from toprope.statistics import Interval, bootstrap_clustered, bootstrap_paired
from toprope.techniques.debate.arm_rows import has_won
from toprope.techniques.debate.measures import judging, winning
from toprope.techniques.debate.measures.positions import debiased
from toprope.techniques.debate.rows import DEBIASED, Rows
from toprope.techniques.debate.self_play import scores
from toprope.techniques.debate.self_play.loop import TRAINED, Lesson, Stage
from toprope.techniques.debate.transcript import Transcript


@dataclass(frozen=True)
class StageRows:
    """
    Attributes:
        before: the untrained debater in the same protocol.
    """

    rows: Rows
    stage: Stage
    before: Stage

    def evidence(self) -> Iterator[Evidence]:
        """All but accuracy, and what any arm has."""
        yield self._debiased()
        yield self._mean("speech_words", scores.speech_words)
        yield self._mean("verified_quotes_a_speech", scores.verified_quotes)
        yield self._mean("unverified_quotes_a_speech", scores.unverified_quotes)
        yield self._mean("quotes_answer_rate", scores.quotes_answer)
        if self.stage.lesson:
            yield from self._changes()
            yield from self._duel()
            yield from self._lesson(self.stage.lesson)

    def _debiased(self) -> Evidence:
        apart = debiased(self.stage.transcripts)
        return self.rows.measured(
            self.stage.name,
            f"{DEBIASED}accuracy",
            lambda rng: judging.accuracy(apart, rng=rng, resamples=self.rows.resamples),
            better="higher",
        )

    # --- since before the training ---

    def _changes(self) -> Iterator[Evidence]:
        some = self.stage.transcripts
        yield self._paired(
            "debiased_accuracy_gain",
            *(scores.debiased_right(one.transcripts) for one in (self.before, self.stage)),
            better="higher",
        )
        yield self._change("right_probability_gain", scores.right_probability, better="higher")
        if all(len(one.question.options) == 2 for one in some):
            yield self._change("agent_score_gain", scores.agent_gap, better="higher")
        yield self._change("speech_words_change", scores.speech_words)
        yield self._change("verified_quotes_change", scores.verified_quotes, better="higher")
        yield self._change("unverified_quotes_change", scores.unverified_quotes, better="lower")
        yield self._change("quotes_answer_change", scores.quotes_answer)
        yield self._change("declined_change", scores.declined, better="lower")
        if some[0].seating.assigned is not None:
            yield self._change("persuasiveness_change", has_won)
            yield self._change("side_probability_change", scores.side_probability)

    def _change(self, metric: str, score: judging.Score, *, better: str = "neither") -> Evidence:
        before, after = (
            judging.by_question(score, one.transcripts) for one in (self.before, self.stage)
        )
        return self._paired(metric, before, after, better=better)

    def _paired(
        self,
        metric: str,
        before: tuple[NDArray, list[str]],
        after: tuple[NDArray, list[str]],
        *,
        better: str,
    ) -> Evidence:
        """
        Args:
            before, after: of each question, and its unit.
        """
        (before_N, units), (after_N, _) = before, after

        def change(rng: np.random.Generator) -> Interval:
            return bootstrap_paired(
                after_N, before_N, units, rng=rng, resamples=self.rows.resamples
            )

        notes = f"{before_N.mean():.3g} before, {after_N.mean():.3g} after"
        return self.rows.measured(self.stage.name, metric, change, better=better, notes=notes)

    # --- against the untrained ---

    def _duel(self) -> Iterator[Evidence]:
        duel = self.stage.duel
        if not duel:
            return
        honest = [one for one in duel if one.question.answer in scores.trained_sides(one)]
        dishonest = [one for one in duel if one.question.answer not in scores.trained_sides(one)]
        for side, some in (("", duel), ("honest_", honest), ("dishonest_", dishonest)):
            yield self.rows.measured(
                self.stage.name,
                f"{side}win_rate_over_untrained",
                lambda rng, some=some: winning.win_rates(
                    winning.matches(some), rng=rng, resamples=self.rows.resamples
                )[TRAINED],
                better="lower" if side == "dishonest_" else "higher",
                controls={"even": 0.5},
            )
        yield self._mean("side_probability_over_untrained", scores.trained_probability, duel)

    # --- the training ---

    def _lesson(self, lesson: Lesson) -> Iterator[Evidence]:
        """Of training questions."""
        drafts, pairs = lesson.drafts, lesson.pairs
        rated = [one for one in drafts if one.ratings]
        units, of_pairs = [one.unit for one in rated], [pair.drafts.unit for pair in pairs]
        ratings = [float(np.mean(one.ratings)) for one in rated]
        made = Cost(
            tokens=sum(one.tokens for one in drafts), calls=sum(one.calls for one in drafts)
        )
        yield self._taught("draft_rating", ratings, units, cost=made)
        yield self._taught("draft_spread", [one.spread for one in rated], units)
        gave = [one.pair(lesson.margin) is not None for one in drafts]
        notes = (
            f"{lesson.available:,} pairs of {len(drafts):,} turns, {len(pairs):,} learned from; "
            f"loss {_course(lesson.trained.losses)}, agreed {_course(lesson.trained.agreed)}"
        )
        cost = Cost(tokens=lesson.trained.tokens, seconds=lesson.trained.seconds)
        units = [one.unit for one in drafts]
        yield self._taught("pair_rate", gave, units, notes=notes, cost=cost)
        yield self._taught("pair_honest_rate", [pair.drafts.honest for pair in pairs], of_pairs)
        if any(one.quoted for one in drafts):
            quotes = [pair.chosen == pair.drafts.quoted for pair in pairs]
            yield self._taught("pair_quoted_rate", quotes, of_pairs)
        yield self._taught("pair_words_difference", [pair.longer for pair in pairs], of_pairs)

    def _taught(
        self, metric: str, values: Sequence[float], units: Sequence[str], **fields: Any
    ) -> Evidence:
        def mean(rng: np.random.Generator) -> Interval:
            shown = np.asarray(values, float)
            return bootstrap_clustered(shown, units, rng=rng, resamples=self.rows.resamples)

        return self.rows.measured(self.stage.name, metric, mean, **fields)

    def _mean(self, metric: str, score: judging.Score, some: Sequence[Transcript] = ()) -> Evidence:
        def mean(rng: np.random.Generator) -> Interval:
            shown = some or self.stage.transcripts
            return judging.mean(score, shown, rng=rng, resamples=self.rows.resamples)

        return self.rows.measured(self.stage.name, metric, mean)


def _course(values: Sequence[float]) -> str:
    """From the first step to the last."""
    return f"{values[0]:.3g} -> {values[-1]:.3g}"
