"""All evidence of a study of text debates, in the order in which `rows.py` lists it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from typing import Any

import numpy as np

from toprope.evidence import Cost, Evidence
from toprope.techniques.debate.arm_rows import ArmRows
from toprope.techniques.debate.arms import CONTROLS, Arm
from toprope.techniques.debate.comparison_rows import ComparisonRows
from toprope.techniques.debate.contest import Outcome
from toprope.techniques.debate.measures import judging
from toprope.techniques.debate.measures.outcomes import Outcomes, outcomes
from toprope.techniques.debate.measures.positions import debiased
from toprope.techniques.debate.rows import DEBIASED, Rows
from toprope.techniques.debate.transcript import Transcript


@dataclass(frozen=True)
class Measures:
    """
    Attributes:
        headline: the arm that the conclusion is about; None: nobody argues.
        about: question id -> what is known of it beside its answer.
        fields: those that all of the evidence shares.
    """

    outcome: Outcome
    arms: Sequence[Arm]
    headline: Arm | None
    about: Mapping[str, Mapping[str, Any]]
    fields: Mapping[str, Any]
    rng: Callable[[str, str], np.random.Generator]
    resamples: int

    def evidence(self) -> Iterator[Evidence]:
        rows = Rows(self.fields, self.rng, self.resamples)
        played = {name: one.transcripts for name, one in self.outcome.arms.items()}
        apart = {name: debiased(some) for name, some in played.items()}
        compared = {
            "": ComparisonRows(rows, self.arms, played, self.outcome.cross, self.outcome.untrained),
            DEBIASED: ComparisonRows(rows, self.arms, apart, {}, {}, DEBIASED),
        }
        accuracies: dict[tuple[str, str], Evidence] = {}
        for arm in self.arms:
            accuracies["", arm.name] = self._accuracy(rows, arm)
            accuracies[DEBIASED, arm.name] = self._debiased(rows, arm, apart)
            yield from (accuracies[how, arm.name] for how in compared)
            yield from ArmRows(rows, arm, played[arm.name], self.about).evidence()
            for of in compared.values():
                yield from of.of(arm)
        if self.headline:
            for how, of in compared.items():
                yield from of.headline(self.headline, accuracies[how, self.headline.name])
        yield from compared[""].persuasion()
        yield self._overhead(rows)

    def summaries(self) -> dict[str, dict[str, Any]]:
        """Arm -> what `summary.json` says of it."""
        return {arm.name: self._summary(arm) for arm in self.arms}

    # --- accuracy ---

    def _accuracy(self, rows: Rows, arm: Arm) -> Evidence:
        played, became = self.outcome.arms[arm.name], self._outcomes[arm.name]
        some = played.transcripts
        return rows.measured(
            arm.name,
            "accuracy",
            lambda rng: judging.accuracy(some, rng=rng, resamples=self.resamples),
            role="control" if arm.is_control else "result",
            better="higher",
            controls=self._controls(arm),
            cost=Cost(tokens=became.tokens, seconds=played.seconds, calls=became.calls),
            notes=_became(some, became, played.fresh),
        )

    def _controls(self, arm: Arm) -> dict[str, float]:
        some = self.outcome.arms[arm.name].transcripts
        found = {"chance": judging.chance(some)}
        for end in CONTROLS:
            if end in self.outcome.arms and end != arm.name:
                found[end] = judging.share_right(self.outcome.arms[end].transcripts)
        if arm.name in self.outcome.untrained:
            found["untrained"] = judging.share_right(self.outcome.untrained[arm.name])
        return found

    def _debiased(
        self, rows: Rows, arm: Arm, apart: Mapping[str, Sequence[Transcript]]
    ) -> Evidence:
        ends = {end: judging.share_right(apart[end]) for end in CONTROLS if end in apart}
        return rows.measured(
            arm.name,
            f"{DEBIASED}accuracy",
            lambda rng: judging.accuracy(apart[arm.name], rng=rng, resamples=self.resamples),
            role="control" if arm.is_control else "result",
            better="higher",
            controls={
                "chance": self._controls(arm)["chance"],
                **{end: value for end, value in ends.items() if end != arm.name},
            },
        )

    @cached_property
    def _outcomes(self) -> dict[str, Outcomes]:
        return {name: outcomes(one.transcripts) for name, one in self.outcome.arms.items()}

    # --- what it took ---

    def _overhead(self, rows: Rows) -> Evidence:
        timed = [one for one in self.outcome.arms.values() if one.fresh]
        games = sum(one.fresh for one in timed)
        models = sum(one.model_seconds for one in timed)
        if not models:
            why = "no model was asked" if games else "all games were in the journal: none was timed"
            return rows.row("all", "framework_overhead", None, notes=why, unit="games")
        whole = sum(one.seconds for one in timed)
        return rows.exact(
            "all",
            "framework_overhead",
            (whole - models) / models,
            games,
            notes=f"{whole:.1f} s in all, {models:.1f} s of them in models; no interval: a "
            "measured total",
            cost=Cost(seconds=whole),
            unit="games",
            better="lower",
        )

    def _summary(self, arm: Arm) -> dict[str, Any]:
        played, became = self.outcome.arms[arm.name], self._outcomes[arm.name]
        return {
            "kind": arm.kind,
            "variant": arm.variant,
            "n": arm.n,
            "about": arm.about.about,
            "source": arm.about.source,
            "games": len(played.transcripts),
            "fresh": played.fresh,
            "seconds": played.seconds,
            "model_seconds": played.model_seconds,
            **_plain(became),
            "accuracy": judging.share_right(played.transcripts),
            "reliability": [asdict(one) for one in judging.reliability(played.transcripts)],
        }


def _plain(found: Outcomes) -> dict[str, Any]:
    """Of JSON types; `asdict` doesn't know what to make of a Counter."""
    return {**vars(found), "turns": dict(found.turns), "verdicts": dict(found.verdicts)}


def _became(transcripts: Sequence[Transcript], found: Outcomes, fresh: int) -> str:
    told = found.told
    low, high = judging.accuracy_bounds(transcripts)
    if high > low:
        told.append(f"{low:.3f} if verdicts without an answer are wrong, {high:.3f} if right")
    if fresh < len(transcripts):
        told.append(f"{len(transcripts) - fresh:,} games were in the journal, or lost: not timed")
    return "; ".join(told)
