"""Evidence that compares arms: gains over the blind judge, the share of the gap closed, the
headline against consultancy, and whether more persuasion makes the judge more accurate."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from toprope.errors import UserError
from toprope.evidence import Evidence
from toprope.statistics import Interval
from toprope.techniques.debate.arm_rows import has_won
from toprope.techniques.debate.arms import BLIND, EXPERT, Arm, counterpart
from toprope.techniques.debate.measures import gaps, judging, persuasion, winning
from toprope.techniques.debate.measures.power import smallest_detectable
from toprope.techniques.debate.rows import ALIKE, HEADLINE, Rows, noted, power, told
from toprope.techniques.debate.transcript import Transcript

ELO_UNIT = 100
"""Points of Elo that the slope is given for."""


@dataclass(frozen=True)
class ComparisonRows:
    """
    Attributes:
        played: arm -> its games, all on the same questions.
        cross: kind of protocol -> games between its variants.
        untrained: arm -> its games as the judge of `cross` heard them, where `played` has those of
            one that learned.
        prefix: of the metrics' names.
    """

    rows: Rows
    arms: Sequence[Arm]
    played: Mapping[str, Sequence[Transcript]]
    cross: Mapping[str, Sequence[Transcript]]
    untrained: Mapping[str, Sequence[Transcript]]
    prefix: str = ""

    @cached_property
    def _pairs(self) -> gaps.Paired:
        return gaps.paired(self.played)

    # --- an arm against the floor and the ceiling ---

    def of(self, arm: Arm) -> Iterator[Evidence]:
        role = "control" if arm.is_control else "result"
        if arm.kind == BLIND:
            return
        other = counterpart(arm, self.arms) if not arm.is_control else None
        if BLIND in self.played:
            controls = {BLIND: 0.0} | ({other.name: self._over(other.name, BLIND)} if other else {})
            yield self._gain(arm.name, arm.name, BLIND, role=role, controls=controls)
        if not arm.is_control:
            yield self.rows.measured(
                arm.name,
                f"{self.prefix}gap_closed_share",
                lambda rng: gaps.share_closed(
                    self._both_ends(), arm.name, rng=rng, resamples=self.rows.resamples
                ),
                missing=self._no_gap(),
                role="result",
                better="higher",
                controls={BLIND: 0.0, EXPERT: 1.0},
            )

    def _gain(self, arm: str, of: str, over: str, *, metric: str = "", **fields) -> Evidence:
        def gain(rng: np.random.Generator) -> Interval:
            return gaps.gain(self._pairs, of, over, rng=rng, resamples=self.rows.resamples)

        name = self.prefix + (metric or f"gain_over_{over}")
        return self.rows.measured(arm, name, gain, better="higher", **fields)

    def _over(self, arm: str, other: str) -> float:
        return float(np.mean(self._pairs.of(arm) - self._pairs.of(other)))

    def _both_ends(self) -> gaps.Paired:
        if missing := [end for end in (BLIND, EXPERT) if end not in self.played]:
            raise UserError(
                f"without {' and '.join(missing)} among the protocols the gap isn't known"
            )
        return self._pairs

    def _no_gap(self) -> str:
        if not {BLIND, EXPERT} <= set(self.played):
            return ""
        rng = self.rows.rng(EXPERT, f"{self.prefix}gap")
        gap = gaps.gain(self._pairs, EXPERT, BLIND, rng=rng, resamples=self.rows.resamples)
        return (
            "the gap from the blind to the expert judge isn't clear of zero: "
            f"{_points(gap.value)} points ({_points(gap.low)} to {_points(gap.high)})"
        )

    # --- the headline ---

    def headline(self, arm: Arm, accuracy: Evidence) -> Iterator[Evidence]:
        """
        Args:
            accuracy: the arm's row.
        """
        yield accuracy.model_copy(update={"arm": HEADLINE, "notes": f"of {arm.name}"})
        other = counterpart(arm, self.arms)
        if other:
            yield from self._against(arm, other)
        for end, name in ((other, "consultancy"), (self._blind, BLIND)):
            if end:
                yield self._detectable(arm, end, name)

    @property
    def _blind(self) -> Arm | None:
        return next((arm for arm in self.arms if arm.kind == BLIND), None)

    def _against(self, arm: Arm, other: Arm) -> Iterator[Evidence]:
        versus = f"{arm.name} against {other.name}"
        row = self._gain(
            HEADLINE,
            arm.name,
            other.name,
            metric="gain_over_consultancy",
            role="result",
            controls={other.name: 0.0},
        )
        said = f"{versus}: {told(row, 'the judge is more accurate')}"
        yield noted(row, said, power(self._smallest(arm, other)))
        row = self.rows.measured(
            HEADLINE,
            f"{self.prefix}gap_closed_more_share",
            lambda rng: gaps.share_difference(
                self._both_ends(), arm.name, other.name, rng=rng, resamples=self.rows.resamples
            ),
            missing=self._no_gap(),
            role="result",
            better="higher",
            controls={other.name: 0.0},
        )
        yield noted(row, f"{versus}: {told(row, 'more of the gap is closed')}")

    def _smallest(self, arm: Arm, other: Arm) -> float | None:
        differences = self._pairs.of(arm.name) - self._pairs.of(other.name)
        return smallest_detectable(differences, self._pairs.units)

    def _detectable(self, arm: Arm, other: Arm, name: str) -> Evidence:
        metric = f"{self.prefix}smallest_detectable_over_{name}"
        notes = f"{arm.name} against {other.name}, a difference in accuracy; 80% power"
        least = self._smallest(arm, other)
        if least is None:
            return self.rows.row(HEADLINE, metric, None, notes=f"{notes}; {ALIKE}")
        n = len(set(self._pairs.units))
        return self.rows.exact(HEADLINE, metric, least, n, better="lower", notes=notes)

    # --- persuasion ---

    def persuasion(self) -> Iterator[Evidence]:
        """Of kinds with several variants."""
        kinds: dict[str, list[str]] = {}
        for arm in self.arms:
            if not arm.is_quoting:  # what it says wasn't chosen to persuade this judge
                kinds.setdefault(arm.kind, []).append(arm.name)
        for kind, names in kinds.items():
            if len(names) < 2:
                continue
            some = {name: self.played[name] for name in names}
            if kind in self.cross:
                heard = {name: self.untrained.get(name, of) for name, of in some.items()}
                yield from self._rated(kind, heard)
            elif all(one.seating.assigned is not None for one in some[names[0]]):
                won = {name: judging.plain_mean(has_won, of) for name, of in some.items()}
                yield self._slope(kind, some, won, 1, "per 1.0 of persuasiveness_rate")

    def _rated(self, kind: str, some: Mapping[str, Sequence[Transcript]]) -> Iterator[Evidence]:
        by = {name: _speaker(transcripts) for name, transcripts in some.items()}
        zero = by[next((name for name in some if name == kind), next(iter(some)))]
        few = min(winning.RESAMPLES, self.rows.resamples)
        try:
            ratings = winning.elo(
                winning.matches(self.cross[kind]),
                reference=zero,
                rng=self.rows.rng(kind, "elo"),
                resamples=few,
            )
        except UserError as error:
            yield self.rows.row(kind, "persuasion_slope", None, notes=str(error))
            return
        for name in some:
            yield self.rows.measured(name, "elo", lambda rng, name=name: ratings[by[name]])
        values = {name: ratings[by[name]].value for name in some}
        of = f"per {ELO_UNIT} points of Elo, taken as exact"
        if self.untrained:
            of += "; of the judge before it learned"
        yield self._slope(kind, some, values, ELO_UNIT, of)

    def _slope(
        self,
        kind: str,
        some: Mapping[str, Sequence[Transcript]],
        persuasiveness: Mapping[str, float],
        unit: float,
        notes: str,
    ) -> Evidence:
        def slope(rng: np.random.Generator) -> Interval:
            found = persuasion.slope(some, persuasiveness, rng=rng, resamples=self.rows.resamples)
            value, low, high = (unit * end for end in (found.value, found.low, found.high))
            return replace(found, value=value, low=low, high=high)

        shown = ", ".join(
            f"{name} {persuasiveness[name]:.3g} ({judging.share_right(of):.3f} right)"
            for name, of in some.items()
        )
        notes = f"{notes}; {shown}"
        return self.rows.measured(kind, "persuasion_slope", slope, better="higher", notes=notes)


def _speaker(transcripts: Sequence[Transcript]) -> str:
    """The name of who speaks in an arm."""
    return next(turn.by for one in transcripts for turn in one.turns if turn.kind == "speech")


def _points(share: float) -> str:
    return f"{100 * share:.1f}"
