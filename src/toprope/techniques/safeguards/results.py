"""The results of the closed loop: its guards under the trial, as evidence."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from toprope.evidence import Evidence
from toprope.lab import Lab
from toprope.models.local import LocalModel
from toprope.techniques.redteam.attempts import SUCCESS, Attempt
from toprope.techniques.redteam.findings import save_attempts
from toprope.techniques.redteam.judges.refusal import refuses
from toprope.techniques.redteam.measures import Outcome
from toprope.techniques.safeguards import certificate
from toprope.techniques.safeguards import exchanges as kept
from toprope.techniques.safeguards.exchanges import Exchange, from_attempt
from toprope.techniques.safeguards.exchanges import told as told_before
from toprope.techniques.safeguards.guard import Guard
from toprope.techniques.safeguards.latency import timed, told
from toprope.techniques.safeguards.measures import GuardMeasures, flops, weights_of
from toprope.techniques.safeguards.reading import tokens_of
from toprope.techniques.safeguards.scoring import Scorer, asked, scorers
from toprope.techniques.safeguards.trial import Harmless, Trial, switched

if TYPE_CHECKING:
    from toprope.techniques.safeguards.study import Safeguards

SWITCHED = 100
SUFFIXES = 10
"""Tried on each request, beside what is certified."""

CURVES = "curves.json"


@dataclass
class Results:
    """
    Attributes:
        guards: by kind; the study's `guard` is the one that is attacked.
        models: by name, all that they read with.
        folder: among the run's artifacts: the study's own, in which each of its settings has one.
        bare: what became of the target without a guard, once that is measured.
    """

    study: Safeguards
    lab: Lab
    trial: Trial
    measures: GuardMeasures
    guards: Mapping[str, Guard]
    models: Mapping[str, LocalModel]
    folder: tuple[str, ...]
    bare: Outcome | None = None

    async def evidence(self) -> AsyncIterator[Evidence]:
        """All that is measured."""
        harmless = await self.trial.harmless()
        self.bare = bare = await self.trial.undefended()
        for row in self.measures.attacks("undefended", bare):
            yield row
        harmful = self._exchanges([*bare.sweep, *bare.campaign])
        # To read them, and to try other guards on the same ones.
        kept.save(harmful, self._artifact("trial", "harmful.jsonl"))
        kept.save(_plain(harmless), self._artifact("trial", "harmless.jsonl"))
        for row in self._offline(harmful, harmless):
            yield row
        kind = self.study.kind
        guard = self.guards[kind]
        readers = guard.readers(self.models)
        guarded = await self.trial.defended(guard, readers, kind)
        for row in self.measures.attacks(kind, guarded, bare):
            yield row
        target = self.lab.local(self.study.target)
        tried = [*guarded.sweep, *guarded.campaign]
        for row in self.measures.let_through(kind, tried, target):
            yield row
        self._keep_attempts(bare, guarded)

    # --- without another query ---

    def _offline(
        self, harmful: Sequence[Exchange], harmless: Sequence[Harmless]
    ) -> Iterator[Evidence]:
        """What exchanges that there are already say of every guard."""
        calm = _plain(harmless)
        curves = {}
        groups = [one.group for one in harmful]
        for name, by in self._scored.items():
            bad_N, good_M = (by(some) for some in (harmful, calm))
            curves[name] = {
                "harmful": bad_N.tolist(),
                "groups": groups,
                "harmless": good_M.tolist(),
            }
            yield from self.measures.curve(name, bad_N, groups, good_M)
            yield from self.measures.calibration_error(
                name,
                np.concatenate([bad_N, good_M]),
                np.concatenate([np.ones(len(bad_N)), np.zeros(len(good_M))]),
                [*groups, *(one.group for one in calm)],
            )
        self._artifact(CURVES).write_text(json.dumps(curves), encoding="utf-8")
        for kind, guard in self.guards.items():
            yield from self._of_guard(kind, guard, harmful, harmless)
        yield from self._certificate(calm)

    def _of_guard(
        self, kind: str, guard: Guard, harmful: Sequence[Exchange], harmless: Sequence[Harmless]
    ) -> Iterator[Evidence]:
        by = self._of(guard)
        measures = self.measures

        def stopped(some: Sequence[Exchange]) -> NDArray:
            return np.isin(np.arange(len(some)), asked(guard, by, some)[-1])

        calm_rates = []
        for part in harmless:
            # What had no answer has nothing that could be stopped.
            silent = part.asked - len(part.exchanges)
            stopped_N = np.append(stopped(part.exchanges), np.zeros(silent, bool))
            own = [refuses(one.answer) for one in part.exchanges]
            refused_N = np.array([*own, *[True] * silent])
            calm_rates.append(float(stopped_N.mean()))
            yield from measures.added_refusals(
                kind, part.name, stopped_N, refused_N, unanswered=silent
            )
        groups = [one.group for one in harmful]
        caught_N = stopped(harmful)
        yield measures.share(
            kind,
            "harm_stopped",
            caught_N,
            groups,
            controls={"harmless stopped": float(np.mean(calm_rates))},
            notes=f"of {len(harmful)} harmful exchanges of the undefended target, held-out "
            "requests and families, at the thresholds that were set in training",
            better="higher",
        )
        own = float(caught_N.mean()) if len(caught_N) else 0.0
        yield from self._switched(kind, stopped, own, harmful, harmless)
        calm = _plain(harmless)
        yield self._compute(kind, guard, calm)
        yield self._latency(kind, guard, calm)

    def _switched(
        self,
        kind: str,
        stopped: Callable[[Sequence[Exchange]], NDArray],
        own: float,
        harmful: Sequence[Exchange],
        harmless: Sequence[Harmless],
    ) -> Iterator[Evidence]:
        calm = [one for one in _plain(harmless) if not refuses(one.answer)]
        rng = self.lab.rng("safeguards", "switched")
        bad, good = switched(harmful, calm, rng, SWITCHED)
        if not bad:
            return
        # Each pair has a harmless exchange of its own; what several have in common is the harm.
        groups = [one.group for one in bad]
        yield self.measures.share(
            kind,
            "switched_harmful_answers_stopped",
            stopped(bad),
            groups,
            controls={"with their own prompts": own},
            notes="harmful answers put after harmless prompts: a guard that reads the prompt alone "
            "lets them through",
            better="higher",
        )
        yield self.measures.share(
            kind,
            "switched_harmless_answers_stopped",
            stopped(good),
            groups,
            controls={"with their own prompts": float(np.mean(stopped(calm)))},
            notes="harmless answers put after the harmful prompts: a guard that reads the prompt "
            "alone stops them",
            better="lower",
        )

    def _compute(self, kind: str, guard: Guard, calm: Sequence[Exchange]) -> Evidence:
        """A later stage is paid for only where it is asked."""
        models = self.models
        target = models[self.study.target]
        own_N = np.array([tokens_of(target, one) for one in calm])
        spent_N = np.zeros(len(calm))
        by = self._of(guard)
        rounds = asked(guard, by, calm)
        for scorer, each, places in zip(by, flops(guard, models), rounds, strict=False):
            for i in places:
                spent_N[i] += each * scorer.reader.tokens(calm[i])
        told = ", ".join(
            f"{stage.name} reads {len(places)} of {len(calm)}"
            for stage, places in zip(guard.about.stages, rounds, strict=False)
        )
        return self.measures.overhead(
            kind,
            "compute_overhead",
            spent_N / (2.0 * weights_of(target) * own_N),
            notes=f"counted in multiplications with weights; {told} harmless exchanges",
        )

    def _latency(self, kind: str, guard: Guard, calm: Sequence[Exchange]) -> Evidence:
        target = self.models[self.study.target]
        # Of all sets, however few the time allows.
        order = self.lab.rng("safeguards", "latency").permutation(len(calm))
        times = timed(
            guard,
            guard.readers(self.models),
            target,
            [calm[i] for i in order],
            progress=self.lab.show,
        )
        return self.measures.overhead(
            kind,
            "latency_overhead",
            np.array([one.guard / one.target for one in times]),
            statistic=np.median,
            notes=told(times) if times else "",
        )

    def _certificate(self, calm: Sequence[Exchange]) -> Iterator[Evidence]:
        if not self.study.erase or "input" not in self.guards or not calm:
            return
        guard, most = self.guards["input"], self.study.erase
        stage, head = guard.about.stages[0], guard.heads[0]
        [reader] = guard.readers(self.models)

        def stopped(some: Sequence[Exchange], erase: int) -> NDArray:
            scores_N = certificate.highest(reader, head, some, erase, progress=self.lab.show)
            return scores_N >= stage.threshold

        before = told_before(self.study.system)
        plain = [
            Exchange((*before, {"role": "user", "content": one.request}), "", 1.0, "", one.id)
            for one in self.trial.held_out.behaviours
        ]
        rng = self.lab.rng("safeguards", "certificate")
        words = [word for one in calm for word in one.messages[-1]["content"].split()]
        attacked = [
            certificate.suffixed(one, words, most, rng) for one in plain for _ in range(SUFFIXES)
        ]
        bare_N, erased_N = (
            np.all(stopped(attacked, erase).reshape(len(plain), -1), axis=1) for erase in (0, most)
        )
        certified = self.measures.certified
        name = self.trial.held_out.name
        yield certified(
            "certified_stopped",
            name,
            stopped(plain, 0),
            notes=f"proved against any suffix of up to {most} words after white space",
            control=float(np.mean(bare_N)),
            better="higher",
        )
        yield certified(
            "stopped_under_suffixes",
            name,
            np.asarray(erased_N),
            notes=f"measured: under each of {SUFFIXES} suffixes of {most} words that are drawn "
            "from harmless requests",
            control=float(np.mean(bare_N)),
            better="higher",
        )
        few = [calm[i] for i in rng.permutation(len(calm))[: max(SWITCHED, len(plain))]]
        yield certified(
            "refused_under_erase_and_check",
            "unseen harmless",
            stopped(few, most),
            notes=f"with up to {most} words erased",
            control=float(stopped(few, 0).mean()),
            better="lower",
        )

    @property
    def _scored(self) -> dict[str, Callable[[Sequence[Exchange]], NDArray]]:
        """What scores exchanges, by name: every stage alone, then every guard of several stages,
        whose score is its last stage's where all before pass the exchange on, and else 0."""

        def of_stage(scorer: Scorer) -> Callable[[Sequence[Exchange]], NDArray]:
            return lambda some: np.array(
                [one.highest for one in scorer.score(some, progress=self.lab.show)]
            )

        def of_guard(guard: Guard) -> Callable[[Sequence[Exchange]], NDArray]:
            by = self._of(guard)

            def score(some: Sequence[Exchange]) -> NDArray:
                scores_N = np.zeros(len(some))
                reached = asked(guard, by, some)[-2]
                scores_N[reached] = of_stage(by[-1])([some[i] for i in reached])
                return scores_N

            return score

        found = {name: of_stage(scorer) for name, scorer in self._scorers.items()}
        several = {kind: one for kind, one in self.guards.items() if len(one.heads) > 1}
        return found | {kind: of_guard(one) for kind, one in several.items()}

    @cached_property
    def _scorers(self) -> dict[str, Scorer]:
        """Every stage of any guard once, by name."""
        found = {}
        for guard in self.guards.values():
            parts = scorers(guard, guard.readers(self.models))
            found |= {s.name: one for s, one in zip(guard.about.stages, parts, strict=True)}
        return found

    def _of(self, guard: Guard) -> list[Scorer]:
        return [self._scorers[stage.name] for stage in guard.about.stages]

    def _exchanges(self, attempts: Sequence[Attempt]) -> list[Exchange]:
        """Those in which the undefended target did harm."""
        found: dict[str, Exchange] = {}
        for attempt in attempts:
            one = from_attempt(attempt, origin="trial", system=self.study.system)
            if one is not None and one.label >= SUCCESS:
                found.setdefault(one.id, one)
        return list(found.values())

    def _keep_attempts(self, bare: Outcome, guarded: Outcome) -> None:
        for name, outcome in (("undefended", bare), (self.study.kind, guarded)):
            path = self._artifact("trial", f"{name}.jsonl")
            save_attempts([*outcome.sweep, *outcome.campaign], path)

    def _artifact(self, *parts: str) -> Path:
        return self.lab.artifact(*self.folder, self.study.config_hash[:8], *parts)


def _plain(harmless: Sequence[Harmless]) -> list[Exchange]:
    return [one for part in harmless if part.name != "framed" for one in part.exchanges]
