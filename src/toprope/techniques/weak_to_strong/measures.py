"""From all seeds' predictions to evidence: accuracies, performance gap recovered, and diagnostics
without labels.

Seeds and groups of items are resampled at once, and all arms share each draw
(`statistics.crossed_bootstrap`).
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from safetensors.numpy import save_file

from toprope import statistics
from toprope.evidence import Cost, Evidence, interval_fields
from toprope.statistics import Interval
from toprope.techniques.weak_to_strong.methods import UNSUPERVISED

PUBLISHED_PGR = 0.8
"""Burns et al. 2023, figure 1: the confidence loss on NLP, the figure to beat."""

CONTROLS = (
    "supervisor",
    "ceiling",
    "ceiling_ensemble",
    "zero_shot",
    "zero_shot_calibrated",
    "random_errors",
)

LITTLE = (
    "the ceiling isn't clear of the supervisor: there is no gap to recover, and no PGR is given"
)

UNBOUNDED = "the interval has no bound on these data: more seeds or examples are needed"


@dataclass(frozen=True)
class Outcome:
    """What was seen.

    Attributes:
        said: arm -> predicted class of each item at each seed, [S, N]; -1 where the item isn't in
            the seed's test.
        truth: [N].
        groups: [N].
        costs: arm -> what it took, all seeds together.
    """

    said: Mapping[str, np.ndarray]
    truth: np.ndarray
    groups: np.ndarray
    costs: Mapping[str, Cost]

    def correct(self, arm: str) -> np.ndarray:
        """[S, N]: 1, 0, or NaN where the item isn't in the seed's test."""
        said = self.said[arm]
        return np.where(said < 0, np.nan, said == self.truth)

    def save(self, path: Path) -> None:
        """Writes what was said and what is true as safetensors, for other measures of it than
        these: int32, an arm's answers [S, N] by its name, `truth` [N], and the items' groups,
        numbered, as `groups` [N]."""
        numbered_N = np.unique(self.groups, return_inverse=True)[1]
        tensors = {**self.said, "truth": self.truth, "groups": numbered_N}
        save_file({name: x.astype(np.int32) for name, x in tensors.items()}, path)


@dataclass(frozen=True)
class Measures:
    """Turns an outcome into evidence.

    Attributes:
        about: the fields that all of the study's evidence shares.
        headline: the method of the headline, and how it was chosen.
    """

    outcome: Outcome
    methods: tuple[str, ...]
    headline: tuple[str, str]
    about: Mapping[str, Any]
    rng: np.random.Generator
    resamples: int

    def evidence(self) -> Iterator[Evidence]:
        found = self.outcome
        accuracy = {arm: self.mean(found.correct(arm)) for arm in found.said}
        gap = self.over_seeds(["supervisor", "ceiling"], lambda a: a["ceiling"] - a["supervisor"])
        controls = {arm: accuracy[arm].value for arm in CONTROLS}

        for arm in CONTROLS:
            yield self.row(arm, "control", "accuracy", accuracy[arm], cost=found.costs[arm])
        yield self.row("ceiling", "diagnostic", "gap", gap)
        for method in self.methods:
            yield from self._method(method, accuracy[method], gap, controls)
        method, how = self.headline
        yield self.row(
            "headline",
            "result",
            "accuracy",
            accuracy[method],
            controls=controls,
            notes=f"{method}, {how}",
        )
        yield self._pgr("headline", method, gap, notes=f"{method}, {how}")

    def _method(
        self, method: str, accuracy: Interval, gap: Interval, controls: dict[str, float]
    ) -> Iterator[Evidence]:
        notes = "unsupervised: trained without labels" if method == UNSUPERVISED else ""
        yield self.row(
            method,
            "result",
            "accuracy",
            accuracy,
            controls=controls,
            cost=self.outcome.costs[method],
            notes=notes,
        )
        yield self._pgr(method, method, gap, notes=notes)
        yield from self._diagnostics(method)

    def _pgr(self, arm: str, method: str, gap: Interval, *, notes: str) -> Evidence:
        """Performance gap recovered (Burns et al., section 3): (student - supervisor) / (ceiling -
        supervisor)."""
        if not (statistics.ratio_is_measurable(gap) and gap.value > 0):
            notes = f"{notes}; {LITTLE}" if notes else LITTLE
            return self.row(arm, "result", "pgr", None, better="higher", notes=notes)
        interval = self.over_seeds(
            ["supervisor", "ceiling", method],
            lambda a: (a[method] - a["supervisor"]) / (a["ceiling"] - a["supervisor"]),
        )
        return self.row(
            arm,
            "result",
            "pgr",
            interval,
            controls={"supervisor": 0.0, "ceiling": 1.0},
            baseline=PUBLISHED_PGR,
            notes=notes,
        )

    def _diagnostics(self, method: str) -> Iterator[Evidence]:
        """How the student differs from its supervisor (Burns et al., section 5.1; misfit: Charikar
        et al. 2024)."""
        student, supervisor = self.outcome.said[method], self.outcome.said["supervisor"]
        missing = student < 0
        agrees = np.where(missing, np.nan, student == supervisor)
        right = self.outcome.correct("supervisor")
        misfit = self.mean(1 - agrees)
        yield self.row(method, "diagnostic", "misfit", misfit, better="neither")
        for name, where in (("right", right), ("wrong", 1 - right)):
            metric = f"agreement_where_supervisor_{name}"
            if not np.nansum(where):
                why = f"the supervisor is never {name} on the test items"
                yield self.row(method, "diagnostic", metric, None, notes=why)
                continue
            share = self._bootstrap(
                {"both": agrees * where, "where": where}, lambda a: a["both"] / a["where"]
            )
            better = "higher" if name == "right" else "lower"
            yield self.row(method, "diagnostic", metric, share, better=better)

    def mean(self, values_SN: np.ndarray) -> Interval:
        """Of values from 0 to 1, NaN where an item isn't in a seed's test.

        Where all are 0, or all 1, resampling finds no spread: the interval is then the exact one,
        with each group of items as one trial.
        """
        asked_N = ~np.isnan(values_SN).all(0)
        each_N = np.nanmean(values_SN[:, asked_N], axis=0)
        if each_N[0] in (0, 1) and (each_N == each_N[0]).all():
            exact = statistics.bootstrap_clustered(
                each_N, self.outcome.groups[asked_N], rng=self.rng, resamples=self.resamples
            )
            return replace(exact, n=len(values_SN))  # the unit stays seeds, as in other rows
        return self._bootstrap({"mean": values_SN}, lambda a: a["mean"])

    def over_seeds(self, arms: list[str], function: Callable) -> Interval:
        return self._bootstrap({arm: self.outcome.correct(arm) for arm in arms}, function)

    def _bootstrap(self, scores: dict[str, np.ndarray], function: Callable) -> Interval:
        return statistics.crossed_bootstrap(
            scores, self.outcome.groups, function, rng=self.rng, resamples=self.resamples
        )

    def row(
        self, arm: str, role: str, metric: str, interval: Interval | None, **rest: Any
    ) -> Evidence:
        if interval and not np.isfinite([interval.low, interval.high]).all():
            notes = [rest.pop("notes", ""), UNBOUNDED]
            rest["notes"] = "; ".join(note for note in notes if note)
            interval = None
        seeds = next(iter(self.outcome.said.values())).shape[0]
        return Evidence(
            arm=arm,
            role=role,  # pyright: ignore[reportArgumentType]
            metric=metric,
            **interval_fields(interval, n=seeds),
            **{"unit": "seeds", "better": "higher", **self.about, **rest},
        )
