"""The safeguards study: its settings, and how it is run: the closed loop, then the trial of the
guard that it made."""

from __future__ import annotations

import asyncio
import hashlib
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import ClassVar, Literal

from pydantic import Field, field_validator

from toprope.data.behaviours import FEWEST, Behaviours
from toprope.data.examples import Provenance
from toprope.errors import UserError
from toprope.evidence import Evidence
from toprope.journal import Journal
from toprope.lab import Lab
from toprope.models.adapters import Lora
from toprope.models.chat import is_served
from toprope.models.local import LocalModel
from toprope.study import NOBODY, Study
from toprope.techniques.redteam.attacks import arms, known
from toprope.techniques.redteam.attacks.attack import Attack
from toprope.techniques.redteam.campaign import Front
from toprope.techniques.redteam.judges import make_judge
from toprope.techniques.redteam.judges.calibration import find, fingerprint
from toprope.techniques.redteam.judges.refusal import RefusalJudge
from toprope.techniques.safeguards import exchanges as kept
from toprope.techniques.safeguards import making
from toprope.techniques.safeguards.collect import unlike, unlike_groups
from toprope.techniques.safeguards.constitution import BUILT_IN, load_constitution
from toprope.techniques.safeguards.exchanges import Exchange
from toprope.techniques.safeguards.guard import load_guard
from toprope.techniques.safeguards.loop import Loop, check_enough
from toprope.techniques.safeguards.measures import GuardMeasures
from toprope.techniques.safeguards.reading import Reader
from toprope.techniques.safeguards.results import Results
from toprope.techniques.safeguards.second_arm import SecondArm
from toprope.techniques.safeguards.synthesis import synthesise
from toprope.techniques.safeguards.trainer import Trainer
from toprope.techniques.safeguards.trial import Trial

EMBEDDER = "minilm-l6"


class Safeguards(Study):
    """How well does a guard hold? Trains one on what the target answers, attacks it and trains it
    again, then measures it on attacks, requests and harmless prompts that it never saw."""

    name: ClassVar[str] = "safeguards"

    overseer: str = Field(
        default=NOBODY,
        description="the model that writes requests for the constitution's categories; none: the "
        "sets alone",
    )
    target: str = Field(description="the model to guard: a local one")
    constitution: str | None = Field(
        default=None, description="a YAML file of categories; the built-in one if none is named"
    )
    each: int = Field(
        default=20, ge=1, description="requests that the overseer writes for a category"
    )
    behaviours: tuple[str, ...] = Field(
        default=("behaviours",), min_length=1, description="harmful sets to learn from"
    )
    harmless: tuple[str, ...] = Field(
        default=("look_alikes",), description="harmless sets to learn from"
    )
    test: str | None = Field(
        default=None,
        description="the harmful set of the trial; none: `share` of those to learn from",
    )
    unseen: tuple[str, ...] = Field(
        default=(),
        description="harmless sets of the trial; none: the held-out part of those to learn from",
    )
    share: float = Field(
        default=0.3, gt=0, lt=1, description="of the sets, held out where no others are named"
    )
    limit: int | None = Field(
        default=None, ge=10, description="at most this many of each set to learn from"
    )
    test_limit: int | None = Field(
        default=None, ge=10, description="at most this many harmful requests in the trial"
    )
    unseen_limit: int | None = Field(
        default=None, ge=10, description="at most this many of each unseen harmless set"
    )
    attacks: tuple[str, ...] = Field(
        default=("prefix_injection", "refusal_suppression", "persona", "encoding", "prefill"),
        min_length=1,
        description="families to learn from",
    )
    held_out: tuple[str, ...] = Field(
        default=("fiction", "write_as_code", "reconstruction", "output_encoding"),
        min_length=1,
        description="families of the trial; none may be learned from",
    )
    families: int = Field(
        default=2, ge=0, description="under how many families each request is put, besides plainly"
    )
    depths: tuple[float, ...] = Field(
        default=(0.5, 0.75), min_length=1, description="layers of the probe, as shares of the depth"
    )
    external: str = Field(
        default="", description="a local model that reads the exchange from outside; none: no such"
    )
    guard: Literal["probe", "input", "external", "cascade", "outside"] = Field(
        default="probe",
        description="the guard that is attacked: a classifier alone, or in two stages: cascade "
        "(probe, then external), outside (tokens, then external)",
    )
    trained: str | None = Field(
        default=None, description="a guard's folder: that guard is measured, and none is trained"
    )
    budget: float = Field(
        default=0.001, gt=0, le=1, description="share of harmless exchanges that it may stop"
    )
    escalation: float = Field(
        default=0.05, gt=0, le=1, description="share of them that a second stage may read"
    )
    rounds: int = Field(
        default=2, ge=0, description="at most so many rounds of attack and training"
    )
    round_queries: int = Field(default=5, ge=1, description="a round's queries for a behaviour")
    queries: int = Field(default=20, ge=1, description="the trial's queries for a behaviour")
    erase: int = Field(default=8, ge=0, description="tokens of a suffix that is certified against")
    attacked: tuple[str, ...] = Field(
        default=(), description="folders of red-teaming runs of this target, to learn from too"
    )
    harden: bool = Field(
        default=False,
        description="a second arm: the target fine-tuned on what was found, with the guard and "
        "without",
    )
    capability: str = Field(
        default="arithmetic",
        description="a multiple-choice set on which the second arm's cost is measured",
    )
    judge: str = Field(default="trained", description="who says that an attack succeeded")
    system: str = Field(default="", description="the target's system prompt")
    max_tokens: int = Field(default=64, ge=1, description="of an answer of the target")
    concurrency: int = Field(default=32, ge=1, description="calls under way at once")
    resamples: int = Field(default=10_000, ge=1000, description="bootstrap resamples")

    @field_validator("attacks", "held_out")
    @classmethod
    def _known(cls, attacks: tuple[str, ...]) -> tuple[str, ...]:
        known(attacks)
        return attacks

    @field_validator("held_out")
    @classmethod
    def _apart(cls, held_out: tuple[str, ...], info: object) -> tuple[str, ...]:
        learned = set(getattr(info, "data", {}).get("attacks", ()))
        if both := sorted(learned & set(held_out)):
            raise ValueError(f"'{both[0]}' is learned from, and can't be held out too")
        return held_out

    @property
    def title(self) -> str:
        return f"safeguards of {self.target}"

    def models(self) -> list[str]:
        names = [self.target, self.overseer, self.external]
        return [name for name in dict.fromkeys(names) if name and name != NOBODY]

    def datasets(self, lab: Lab) -> list[str]:
        parts = self._parts(lab)
        sets = [*parts.harmful, *parts.harmless, parts.test, *parts.unseen]
        prints = [one.fingerprint for one in sets]
        if self.overseer != NOBODY:
            prints.append(hashlib.sha256(self._constitution.read_bytes()).hexdigest())
        prints += [kept.fingerprint(self._before())]
        if self.trained:
            prints.append(load_guard(Path(self.trained)).fingerprint)
        if self.harden:
            prints.append(lab.data(self.capability).fingerprint)
        return [*prints, fingerprint(self.judge), fingerprint("refusal")]

    def run(self, lab: Lab) -> Iterator[Evidence]:
        self.check()
        parts, before = self._parts(lab), self._before()
        if not self.trained:
            check_enough(parts.harmless, self._framings, before, self.budget)
        judge = make_judge(self.judge, lab)
        calibration, refusals = find(judge, "harm"), find(RefusalJudge(), "refusal")
        with self._journal(lab, parts, before, judge.version) as journal:
            front = Front.open(
                lab,
                self.name,
                self.target,
                judge,
                journal=journal,
                concurrency=self.concurrency,
                system=self.system,
                max_tokens=self.max_tokens,
            )
            measures = GuardMeasures(
                about=self._about(lab, parts),
                calibration=calibration,
                refusals=refusals,
                rng=lab.rng(self.name, "bootstrap"),
                resamples=self.resamples,
            )
            evidence = asyncio.run(self._run(lab, front, parts, before, measures, journal))
            journal.finish()
        yield from evidence

    async def _run(
        self,
        lab: Lab,
        front: Front,
        parts: Parts,
        before: Sequence[Exchange],
        measures: GuardMeasures,
        journal: Journal,
    ) -> list[Evidence]:
        trial = Trial(lab, front, parts.test, self._arms(self.held_out), parts.unseen, self.queries)
        if self.trained:
            guard = load_guard(Path(self.trained))
            made, rows, exchanges = {self.guard: guard}, [], before
            models = {stage.model: lab.local(stage.model) for stage in guard.about.stages}
            models[self.target] = lab.local(self.target)
        else:
            loop = await self._made(lab, front, parts, before, journal)
            made, models, exchanges = loop.guards, loop.trainer.models, loop.exchanges
            rows = list(making.evidence(loop, measures))
        results = Results(self, lab, trial, measures, made, models)
        rows += [one async for one in results.evidence()]
        if self.harden and results.bare is not None:
            guard = made[self.guard]
            arm = SecondArm(
                lab=lab,
                trial=trial,
                target=models[self.target],
                exchanges=exchanges,
                guard=guard,
                readers=guard.readers(models),
                measures=measures,
                data=self.capability,
                lora=Lora(seed=lab.seed),
                folder=self._folder,
            )
            rows += [one async for one in arm.evidence(results.bare)]
        return rows

    async def _made(
        self,
        lab: Lab,
        front: Front,
        parts: Parts,
        before: Sequence[Exchange],
        journal: Journal,
    ) -> Loop:
        """The closed loop, run to its end; its guards are kept among the artifacts."""
        parts = await self._with_synthesised(lab, parts, journal)
        loop = self._loop(lab, front, parts)
        await loop.collect(unlike_groups(before, parts.test, lab.local(EMBEDDER)))
        loop.train()
        for number in range(1, self.rounds + 1):
            through = await loop.attack(number, self.round_queries)
            lab.show.say(f"round {number}: {through} harmful answers came through")
            if not through:
                break
            loop.train()
        for name, guard in loop.guards.items():
            guard.save(lab.artifact(*self._folder, "guards", name, "guard.json").parent)
        kept.save(loop.exchanges, lab.artifact(*self._folder, "exchanges.jsonl"))
        return loop

    # --- what there is ---

    def check(self) -> None:
        """
        Raises:
            UserError: settings that don't fit together.
        """
        if is_served(self.target):
            raise UserError(
                f"'{self.target}' is a served model, and a guard is trained on what a local one "
                "answers and thinks: name a local target"
            )
        if self.trained:
            return
        if self.guard in ("external", "cascade", "outside") and not self.external:
            raise UserError(f"a guard of kind '{self.guard}' needs a model: external: MODEL")
        if self.external == self.target:
            raise UserError("the external model is the target itself: that is what the probe reads")

    @property
    def _constitution(self) -> Path:
        return Path(self.constitution) if self.constitution else BUILT_IN

    @property
    def _framings(self) -> int:
        return min(self.families, len(set(self.attacks)))

    @property
    def _folder(self) -> tuple[str, str]:
        where = hashlib.sha256(self.target.encode()).hexdigest()[:8]
        return self.name, where

    def _parts(self, lab: Lab) -> Parts:
        """The sets to learn from, and those of the trial."""
        harmful = [self._set(lab, name, harmful=True) for name in self.behaviours]
        harmless = [self._set(lab, name, harmful=False) for name in self.harmless]
        if self.test:
            test = self._set(lab, self.test, harmful=True, limit=self.test_limit)
        else:
            splits = [one.split(1 - self.share, seed=lab.seed) for one in harmful]
            harmful, test = [a for a, _ in splits], _joined([b for _, b in splits])
            test = test.limited(self.test_limit, seed=lab.seed)
        if self.unseen:
            unseen = [
                self._set(lab, name, harmful=False, limit=self.unseen_limit) for name in self.unseen
            ]
        else:
            tested = {one.pair for one in test.behaviours}
            learned = {one.pair for data in harmful for one in data.behaviours}
            splits = [_split(one, learned, tested, self.share, lab.seed) for one in harmless]
            harmless, unseen = [a for a, _ in splits], [b for _, b in splits]
        for data in (*harmful, *harmless, test, *unseen):
            if len(data) < 2:
                raise UserError(
                    f"'{data.name}' has too few requests on one side of the split: name sets for "
                    "the trial (test, unseen), or another share"
                )
        return Parts(harmful, harmless, test, unseen)

    def _set(self, lab: Lab, name: str, *, harmful: bool, limit: int | None = None) -> Behaviours:
        found = lab.behaviours(name, limit=limit or self.limit)
        if any(one.harmful is not harmful for one in found.behaviours):
            is_it, wanted = ("harmless", "harmful") if harmful else ("harmful", "harmless")
            raise UserError(f"'{name}' is {is_it}, and is named among the {wanted} sets")
        return found

    def _before(self) -> list[Exchange]:
        """What runs of red-teaming have left, but for the families of the trial."""
        found = [one for folder in self.attacked for one in kept.from_run(Path(folder))]
        return [one for one in found if one.family not in self.held_out]

    def _journal(self, lab: Lab, parts: Parts, before: Sequence[Exchange], version: str) -> Journal:
        """What only decides what is made of the answers may change between two starts."""
        pace = {"concurrency", "resamples"}
        settings = {
            **self.model_dump(mode="json", exclude=pace),
            "seed": lab.seed,
            "weights": [lab.model_fingerprint(model) for model in self.models()],
            "precision": lab.precision,
            "data": [one.fingerprint for one in (*parts.harmful, *parts.harmless, parts.test)],
            "before": kept.fingerprint(before),
            "judge's version": version,
        }
        return lab.journal("/".join((*self._folder, "journal")), settings, what="study")

    def _arms(self, families: Sequence[str]) -> list[Attack]:
        found = arms(families)
        for arm in found:
            if arm.needs_attacker or arm.needs_insides:
                raise UserError(f"the attack '{arm.family}' can't be used in this study")
        return found

    async def _with_synthesised(self, lab: Lab, parts: Parts, journal: Journal) -> Parts:
        """The sets, with what the overseer writes for the constitution, and without what comes too
        close to the trial's requests."""
        harmful, harmless = list(parts.harmful), list(parts.harmless)
        embedder = lab.local(EMBEDDER)
        if self.overseer != NOBODY:
            constitution = load_constitution(self._constitution)
            chat = lab.chat(self.overseer, journal=journal, concurrency=self.concurrency)
            total = self.each * (2 * len(constitution.harmful) + len(constitution.harmless))
            with lab.progress(f"{self.overseer} writes requests", total) as task:
                written = await synthesise(
                    constitution,
                    chat,
                    each=self.each,
                    seed=lab.seed,
                    embedder=embedder,
                    advance=task.advance,
                )
            told = ", ".join(f"{n} {what}" for what, n in written.counts.items())
            lab.show.say(f"requests for the constitution: {told}")
            harmful.append(Behaviours("constitution", written.harmful, Provenance()))
            harmless.append(Behaviours("constitution", written.harmless, Provenance()))
        apart = [unlike(one, parts.test, embedder) for one in harmful]
        return replace(parts, harmful=apart, harmless=harmless)

    def _loop(self, lab: Lab, front: Front, parts: Parts) -> Loop:
        return Loop(
            lab=lab,
            front=front,
            trainer=Trainer(lab, self.target, self.readers(lab), self.budget, self.escalation),
            harmful=parts.harmful,
            harmless=parts.harmless,
            attacks=self._arms(self.attacks),
            families=self.families,
            chosen=self.guard,
        )

    def readers(self, lab: Lab) -> dict[str, Reader]:
        """What the classifiers read with, by their names."""
        target = lab.local(self.target)
        found = {
            "input": Reader(target, self._layers(target), "prompt"),
            "probe": Reader(target, self._layers(target)),
        }
        if self.external:
            other = lab.local(self.external)
            found |= {
                "tokens": Reader(other, (0,)),
                "external": Reader(other, self._layers(other)),
            }
        return found

    def _layers(self, model: LocalModel) -> tuple[int, ...]:
        return tuple(sorted({round(depth * model.n_layers) for depth in self.depths}))

    def _about(self, lab: Lab, parts: Parts) -> dict[str, object]:
        ids = json.dumps([one.id for one in parts.test.behaviours])
        return {
            "study": self.name,
            "overseer": "" if self.overseer == NOBODY else self.overseer,
            "target": self.target,
            "dataset": parts.test.name,
            "split": hashlib.sha256(ids.encode()).hexdigest(),
            "seed": lab.seed,
            "truth": "model",
            "config_hash": self.config_hash,
        }


@dataclass(frozen=True)
class Parts:
    """Sets to learn from, and those of the trial."""

    harmful: Sequence[Behaviours]
    harmless: Sequence[Behaviours]
    test: Behaviours
    unseen: Sequence[Behaviours]


def saved_guards(run: Path, kind: str) -> list[Path]:
    """The folders of a run's guards of a kind."""
    return sorted(run.glob(f"artifacts/safeguards/*/guards/{kind}"))


def _joined(sets: Sequence[Behaviours]) -> Behaviours:
    """One set of several, ids told apart by their set's name where there are several."""
    if len(sets) == 1:
        return sets[0]
    name = "+".join(data.name for data in sets)
    some = tuple(
        replace(one, id=f"{data.name}/{one.id}") for data in sets for one in data.behaviours
    )
    return Behaviours(name, some)


def _split(
    data: Behaviours, learned: set[str], tested: set[str], share: float, seed: int
) -> tuple[Behaviours, Behaviours]:
    """A harmless set to learn from and for the trial: what is paired with a harmful request goes
    with it, and of the rest a share is held out."""
    free = [one.id for one in data.behaviours if one.pair not in learned | tested]
    rest = replace(data, behaviours=tuple(b for b in data.behaviours if b.id in set(free)))
    held = {one.id for one in data.behaviours if one.pair in tested - learned}
    if len(rest) * min(share, 1 - share) >= FEWEST:
        held |= {one.id for one in rest.split(1 - share, seed=seed)[1].behaviours}
    parts = [tuple(b for b in data.behaviours if (b.id in held) is h) for h in (False, True)]
    return replace(data, behaviours=parts[0]), replace(data, behaviours=parts[1])
