"""Which rows and files a study of self-play leaves; and the rows themselves.

Rows, study "self_play". `overseer` is the judge, `target` the model that is trained to debate;
`unit` is "questions" (groups of them): those of the test, except where it says training. Values are
means over all seatings, changes are paired by question. What couldn't be measured has no value, and
its notes say why. *: role "result"; all others are diagnostics, or controls where it says so.

Arms: "blind" and "expert" (controls); "debate" and "consultancy" by the untrained model (accuracy
has role "control"); "debate_trained_1", "consultancy_trained_1", ..., after so many trainings.
Every arm has

    accuracy (* trained)           controls: chance, blind, expert, untrained; cost; notes: what
                                   became of verdicts and turns
    and the rows of an arm in `debate/rows.py` from accuracy_at_most to unverified_quotes_rate
    (honest_win_rate, agent_score_difference, persuasiveness_rate, turn_refused_rate, ...)

debate and consultancy, trained or not, also

    debiased_accuracy              apart from where answers are shown, as in `debate/rows.py`
    speech_words                   words of a speech, on average
    verified_quotes_a_speech, unverified_quotes_a_speech
    quotes_answer_rate             speeches with a quote of the passage in which the answer argued
                                   for stands word for word: a proof, or what looks like one

and trained ones, each against the untrained one of its protocol:

    accuracy_gain *                controls: untrained 0, the other protocol's gain; baseline:
                                   Arnesen et al.'s (0.04 debate, 0 consultancy); notes: in words,
                                   and with which power
    accuracy_gain_last             of this training alone, from the second on
    debiased_accuracy_gain
    right_probability_gain         the judge's probability of the right answer
    agent_score_gain               log p(right) - log p(wrong), of who argued for each
    speech_words_change, verified_quotes_change and unverified_quotes_change (a speech),
    quotes_answer_change, declined_change (share of speeches refused or empty)
                                   what became of speeches: more words, fewer true quotes, ... are
                                   signs of reward hacking
    persuasiveness_change, side_probability_change
                                   lone speakers: verdicts for the answer argued for, and its
                                   probability
    win_rate_over_untrained        debates of the trained with the untrained model, on either side;
                                   controls: even 0.5
    honest_win_rate_over_untrained, dishonest_win_rate_over_untrained
                                   those in which the trained one argues for the right answer, and
                                   for a wrong one
    side_probability_over_untrained
                                   the judge's probability of the answer that the trained one argues
                                   for

and, on the training questions, of the drafts by the debater before this training:

    draft_rating                   the judge's probability of a draft's side after it; cost: of all
                                   drafts and their ratings, without its seconds
    draft_spread                   between a turn's best and worst
    pair_rate                      turns that gave a pair; notes: how many, how many were learned
                                   from, and how the training went; cost: of the training
    pair_honest_rate               pairs (learned from) that argue for the right answer
    pair_quoted_rate               pairs whose preferred draft is that of the sentences which most
                                   support the answer, where there are such drafts
    pair_words_difference          words of the preferred draft more than of the other

Arm "headline": the last training, which was settled before the run.

    accuracy_gain *                as that of debate
    accuracy_gain_over_consultancy *
                                   debate's gain less consultancy's; controls: consultancy 0
    debiased_accuracy_gain_over_consultancy, right_probability_gain_over_consultancy
    smallest_detectable_gain, smallest_detectable_gain_over_consultancy
                                   found with 80% power (no interval: low and high are the value)

Files, in the run's `artifacts/self_play/XXXXXXXX`, a folder for each judge, model and questions:

    summary.json       overseer, target, questions, dataset, notes, settings, config_hash, seed,
                       test and training (numbers of questions), transcripts (names of files),
                       about (question id -> difficulty, ...), and lessons: arm -> adapter (its
                       folder), pairs, available, turns, losses, agreed and margins (of each step),
                       tokens, seconds
    transcripts/ARM.jsonl           test games, as `debate/rows.py` has them; ARM_duel.jsonl: of the
                                    trained ("by" in turns) with the untrained
    pairs/ARM.jsonl    what ARM's training learned from: question, speaker, position, honest, round,
                       prompt, chosen, rejected, ratings (of both)
    adapters/XXXXXXXX  an adapter (`models.adapters.Adapter.load`), and training.json: losses,
                       agreed, margins, tokens, seconds
    journal.jsonl      games and drafts as they came, from which a killed study goes on
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from toprope.evidence import Cost, Evidence
from toprope.statistics import Interval, bootstrap_paired
from toprope.techniques.debate.arm_rows import ArmRows
from toprope.techniques.debate.arms import CONTROLS
from toprope.techniques.debate.measures import gaps, judging
from toprope.techniques.debate.measures.outcomes import outcomes
from toprope.techniques.debate.measures.power import smallest_detectable
from toprope.techniques.debate.rows import ALIKE, HEADLINE, Rows, noted, power, told
from toprope.techniques.debate.self_play import scores
from toprope.techniques.debate.self_play.loop import Stage, stage_name
from toprope.techniques.debate.self_play.stage_rows import StageRows
from toprope.techniques.debate.transcript import Transcript

DEBATE, CONSULTANCY = "debate", "consultancy"
PUBLISHED = {DEBATE: 0.04, CONSULTANCY: 0.0}
"""Gains in judge accuracy, of Arnesen, Rein and Michael 2024 (arXiv 2409.16636)."""

OfQuestions = Callable[[Sequence[Transcript]], tuple[NDArray, list[str]]]


@dataclass(frozen=True)
class SelfPlayRows:
    """
    Attributes:
        stages: in the order in which they were measured, all on the same questions.
        about: question id -> what is known of it beside its answer.
    """

    rows: Rows
    stages: Sequence[Stage]
    about: Mapping[str, Mapping[str, Any]]

    def evidence(self) -> Iterator[Evidence]:
        for stage in self.stages:
            yield self._accuracy(stage)
            arm = replace(stage.arm, name=stage.name)
            yield from ArmRows(self.rows, arm, stage.transcripts, self.about).evidence()
            if stage.lesson:
                yield from self._gains(stage)
            if not stage.arm.is_control:
                yield from StageRows(self.rows, stage, self._before(stage)).evidence()
        yield from self._headline()

    @cached_property
    def _named(self) -> dict[str, Stage]:
        return {stage.name: stage for stage in self.stages}

    @cached_property
    def _pairs(self) -> gaps.Paired:
        return gaps.paired({stage.name: stage.transcripts for stage in self.stages})

    def _before(self, stage: Stage) -> Stage:
        return self._named[stage.arm.name]

    # --- accuracy ---

    def _accuracy(self, stage: Stage) -> Evidence:
        some = stage.transcripts
        became = outcomes(some)
        controls = {"chance": judging.chance(some)}
        for end in CONTROLS:
            if end in self._named and end != stage.name:
                controls[end] = judging.share_right(self._named[end].transcripts)
        if stage.number:
            controls["untrained"] = judging.share_right(self._before(stage).transcripts)
        return self.rows.measured(
            stage.name,
            "accuracy",
            lambda rng: judging.accuracy(some, rng=rng, resamples=self.rows.resamples),
            role="result" if stage.number else "control",
            better="higher",
            controls=controls,
            cost=Cost(tokens=became.tokens, seconds=stage.seconds, calls=became.calls),
            notes="; ".join(became.told),
        )

    def _gains(self, stage: Stage) -> Iterator[Evidence]:
        protocol, untrained = stage.arm.name, self._before(stage)
        others = [one for one in self._trained(stage.number) if one.arm.name != protocol]
        row = self._gain(
            stage,
            "accuracy_gain",
            untrained,
            role="result",
            baseline=PUBLISHED.get(protocol),
            controls={"untrained": 0.0}
            | {one.arm.name: self._gained(one.name, one.arm.name) for one in others},
        )
        said = told(row, f"the judge of {protocol} is more accurate after the training")
        yield noted(row, said, power(self._least(self._difference(stage.name, protocol))))
        if stage.number > 1:
            last = self._named[stage_name(protocol, stage.number - 1)]
            yield self._gain(stage, "accuracy_gain_last", last)

    def _gain(self, stage: Stage, metric: str, over: Stage, **fields: Any) -> Evidence:
        def gain(rng: np.random.Generator) -> Interval:
            return gaps.gain(
                self._pairs, stage.name, over.name, rng=rng, resamples=self.rows.resamples
            )

        return self.rows.measured(stage.name, metric, gain, better="higher", **fields)

    def _trained(self, number: int) -> list[Stage]:
        return [one for one in self.stages if one.number == number and one.lesson]

    def _difference(self, stage: str, before: str) -> NDArray:
        """Of accuracies, for each question."""
        return self._pairs.of(stage) - self._pairs.of(before)

    def _gained(self, stage: str, before: str) -> float:
        return float(self._difference(stage, before).mean())

    def _least(self, differences_N: NDArray) -> float | None:
        return smallest_detectable(differences_N, self._pairs.units)

    # --- the headline ---

    def _headline(self) -> Iterator[Evidence]:
        last = max(stage.number for stage in self.stages)
        debate, control = (self._named[stage_name(of, last)] for of in (DEBATE, CONSULTANCY))
        [row] = [row for row in self._gains(debate) if row.metric == "accuracy_gain"]
        yield row.model_copy(update={"arm": HEADLINE})
        gained_N, others_N = (self._difference(one.name, one.arm.name) for one in (debate, control))
        row = self.rows.measured(
            HEADLINE,
            "accuracy_gain_over_consultancy",
            lambda rng: bootstrap_paired(
                gained_N, others_N, self._pairs.units, rng=rng, resamples=self.rows.resamples
            ),
            role="result",
            better="higher",
            controls={CONSULTANCY: 0.0},
        )
        least = self._least(gained_N - others_N)
        said = told(row, "training helps the judge of debate more than that of consultancy")
        yield noted(row, said, power(least))
        for metric, of in (
            ("debiased_accuracy_gain", scores.debiased_right),
            ("right_probability_gain", partial(judging.by_question, scores.right_probability)),
        ):
            yield self._more(f"{metric}_over_consultancy", debate, control, of)
        for metric, value in (
            ("smallest_detectable_gain", self._least(gained_N)),
            ("smallest_detectable_gain_over_consultancy", least),
        ):
            if value is None:
                yield self.rows.row(HEADLINE, metric, None, better="lower", notes=ALIKE)
                continue
            n = len(set(self._pairs.units))
            notes = "in accuracy; 80% power"
            yield self.rows.exact(HEADLINE, metric, value, n, better="lower", notes=notes)

    def _more(self, metric: str, stage: Stage, control: Stage, of: OfQuestions) -> Evidence:
        """How much more a stage's protocol has gained than the control's."""
        (gained_N, units), (others_N, _) = (
            (of(one.transcripts)[0] - of(self._before(one).transcripts)[0], of(one.transcripts)[1])
            for one in (stage, control)
        )
        return self.rows.measured(
            HEADLINE,
            metric,
            lambda rng: bootstrap_paired(
                gained_N, others_N, units, rng=rng, resamples=self.rows.resamples
            ),
            better="higher",
        )
