"""The results of the closed loop: its guards under the trial, as evidence."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
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
from toprope.techniques.safeguards.exchanges import Exchange, from_attempt
from toprope.techniques.safeguards.guard import Guard
from toprope.techniques.safeguards.measures import GuardMeasures, flops, weights_of
from toprope.techniques.safeguards.scoring import Scorer, asked, scorers
from toprope.techniques.safeguards.trial import Harmless, Trial, switched

if TYPE_CHECKING:
    from toprope.techniques.safeguards.study import Safeguards

SWITCHED = 100
CURVES = "curves.json"


@dataclass
class Results:
    """
    Attributes:
        guards: by kind; the study's `guard` is the one that is attacked.
        models: by name, all that they read with.
        bare: what became of the target without a guard, once that is measured.
    """

    study: Safeguards
    lab: Lab
    trial: Trial
    measures: GuardMeasures
    guards: Mapping[str, Guard]
    models: Mapping[str, LocalModel]
    bare: Outcome | None = None

    async def evidence(self) -> AsyncIterator[Evidence]:
        """All that is measured."""
        harmless = await self.trial.harmless()
        self.bare = bare = await self.trial.undefended()
        for row in self.measures.attacks("undefended", bare):
            yield row
        harmful = self._exchanges([*bare.sweep, *bare.campaign])
        for row in self._offline(harmful, harmless):
            yield row
        kind = self.study.guard
        guard = self.guards[kind]
        readers = guard.readers(self.models)
        guarded = await self.trial.defended(guard, readers, kind)
        for row in self.measures.attacks(kind, guarded, bare):
            yield row
        target = self.lab.local(self.study.target)
        tried = [*guarded.sweep, *guarded.campaign]
        for row in self.measures.let_through(kind, tried, target):
            yield row
        self._keep(bare, guarded)

    # --- without another query ---

    def _offline(
        self, harmful: Sequence[Exchange], harmless: Sequence[Harmless]
    ) -> Iterator[Evidence]:
        """What exchanges that there are already say of every guard."""
        calm = [one for part in harmless if part.name != "framed" for one in part.exchanges]
        curves = {}
        groups = [one.group for one in harmful]
        for name, scorer in self._scorers.items():
            bad_N, good_M = (
                np.array([s.highest for s in scorer.score(some, progress=self.lab.show)])
                for some in (harmful, calm)
            )
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
        path = self.lab.artifact(self.study.name, CURVES)
        path.write_text(json.dumps(curves), encoding="utf-8")
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
            stopped_N = stopped(part.exchanges)
            refused_N = np.array([refuses(one.answer) for one in part.exchanges], dtype=bool)
            calm_rates.append(float(stopped_N.mean()))
            yield from measures.added_refusals(kind, part.name, stopped_N, refused_N)
        caught_N = stopped(harmful)
        yield measures.share(
            kind,
            "harm_stopped",
            caught_N,
            controls={"harmless stopped": float(np.mean(calm_rates))},
            notes=f"of {len(harmful)} harmful exchanges of the undefended target, held-out "
            "requests and families, at the thresholds that were set in training",
            better="higher",
        )
        own = float(caught_N.mean()) if len(caught_N) else 0.0
        yield from self._switched(kind, stopped, own, harmful, harmless)
        yield from self._compute(kind, guard, harmless)

    def _switched(
        self,
        kind: str,
        stopped: Callable[[Sequence[Exchange]], NDArray],
        own: float,
        harmful: Sequence[Exchange],
        harmless: Sequence[Harmless],
    ) -> Iterator[Evidence]:
        calm = [one for one in harmless[0].exchanges if not refuses(one.answer)]
        rng = self.lab.rng("safeguards", "switched")
        bad, good = switched(harmful, calm, rng, SWITCHED)
        if not bad:
            return
        yield self.measures.share(
            kind,
            "switched_harmful_answers_stopped",
            stopped(bad),
            controls={"with their own prompts": own},
            notes="harmful answers put after harmless prompts: a guard that reads the prompt alone "
            "lets them through",
            better="higher",
        )
        yield self.measures.share(
            kind,
            "switched_harmless_answers_stopped",
            stopped(good),
            controls={"with their own prompts": float(np.mean(stopped(calm)))},
            notes="harmless answers put after the harmful prompts: a guard that reads the prompt "
            "alone stops them",
            better="lower",
        )

    def _compute(self, kind: str, guard: Guard, harmless: Sequence[Harmless]) -> Iterator[Evidence]:
        """Over the unseen harmless exchanges: a later stage is paid for only where it is asked."""
        models = self.models
        target = models[self.study.target]
        some = [one for part in harmless if part.name != "framed" for one in part.exchanges]
        own_N = np.array([_tokens(target, one) for one in some])
        spent_N = np.zeros(len(some))
        by = self._of(guard)
        rounds = asked(guard, by, some)
        for scorer, each, places in zip(by, flops(guard, models), rounds, strict=False):
            for i in places:
                spent_N[i] += each * _tokens(scorer.reader.model, some[i])
        whole_N = 2.0 * weights_of(target) * own_N
        told = ", ".join(
            f"{stage.name} reads {len(places) / len(some):.1%}"
            for stage, places in zip(guard.about.stages, rounds, strict=False)
        )
        yield from self.measures.compute(
            kind,
            spent_N / whole_N,
            notes=f"counted in multiplications with weights; {told} of harmless exchanges",
            controls={"the target": 1.0},
        )

    def _certificate(self, calm: Sequence[Exchange]) -> Iterator[Evidence]:
        if not self.study.erase or "input" not in self.guards:
            return
        guard = self.guards["input"]
        stage, head = guard.about.stages[0], guard.heads[0]
        [reader] = guard.readers(self.models)
        plain = [
            Exchange(({"role": "user", "content": one.request},), "", 1.0, "", one.id)
            for one in self.trial.held_out.behaviours
        ]
        plain_N = certificate.highest(reader, head, plain, 0) >= stage.threshold
        few = list(calm)[: max(SWITCHED, len(plain))]
        erased_N = certificate.highest(reader, head, few, self.study.erase, progress=self.lab.show)
        bare_N = certificate.highest(reader, head, few, 0)
        yield from self.measures.certified(
            self.trial.held_out.name,
            plain_N,
            self.study.erase,
            harmful=True,
            plain=float(plain_N.mean()),
        )
        yield from self.measures.certified(
            "unseen harmless",
            erased_N >= stage.threshold,
            self.study.erase,
            harmful=False,
            plain=float((bare_N >= stage.threshold).mean()),
        )

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

    def _keep(self, bare: Outcome, guarded: Outcome) -> None:
        for name, outcome in (("undefended", bare), (self.study.guard, guarded)):
            path = self.lab.artifact(self.study.name, "trial", f"{name}.jsonl")
            save_attempts([*outcome.sweep, *outcome.campaign], path)


def _tokens(model: LocalModel, one: Exchange) -> int:
    return len(model.tokens(list(one.messages), prefill=one.answer))
