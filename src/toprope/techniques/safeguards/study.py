"""The safeguards study: its settings, and how it is run: the closed loop, then the trial of the
guard that it made."""

from __future__ import annotations

import asyncio
import hashlib
import json
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import ClassVar, Literal

from pydantic import Field, field_validator

from toprope.data.behaviours import Behaviours
from toprope.data.examples import Provenance
from toprope.errors import UserError
from toprope.evidence import Evidence
from toprope.journal import Journal
from toprope.lab import Lab
from toprope.models.adapters import Lora
from toprope.models.chat import is_served
from toprope.models.embedding import EMBEDDER
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
from toprope.techniques.safeguards.capability import questions
from toprope.techniques.safeguards.collect import unlike_groups
from toprope.techniques.safeguards.constitution import BUILT_IN, load_constitution
from toprope.techniques.safeguards.exchanges import Exchange
from toprope.techniques.safeguards.guard import Guard, load_guard
from toprope.techniques.safeguards.loop import Loop
from toprope.techniques.safeguards.measures import GuardMeasures
from toprope.techniques.safeguards.reading import Reader
from toprope.techniques.safeguards.results import Results
from toprope.techniques.safeguards.second_arm import SecondArm
from toprope.techniques.safeguards.sets import Named, Sets, apart
from toprope.techniques.safeguards.synthesis import synthesise
from toprope.techniques.safeguards.trainer import Trainer
from toprope.techniques.safeguards.training import NEEDS, check_enough, kind_of
from toprope.techniques.safeguards.trial import Trial


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
    trained: str | None = Field(
        default=None, description="a guard's folder: that guard is measured, and none is trained"
    )
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
        description="harmless sets of the trial; of one that is learned from too, and of all if "
        "none is named, `share` is held out",
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
        default="",
        description="a local model that reads the exchange from outside: one that is tuned for "
        "chat, or a sentence encoder (minilm-l6); none: no such",
    )
    guard: Literal["probe", "input", "external", "cascade", "outside"] = Field(
        default="probe",
        description="the guard that is attacked: a classifier alone, or in two stages: cascade "
        "(probe, then external), outside (tokens, then external)",
    )
    budget: float | None = Field(
        default=None,
        gt=0,
        le=1,
        description="share of harmless exchanges that it may stop; none: 0.1%, or the least that "
        "the harmless exchanges can show",
    )
    escalation: float = Field(
        default=0.05, gt=0, le=1, description="share of them that a second stage may read"
    )
    rounds: int = Field(
        default=2, ge=0, description="at most so many rounds of attack and training"
    )
    round_queries: int = Field(default=5, ge=1, description="a round's queries for a behaviour")
    queries: int = Field(default=20, ge=1, description="the trial's queries for a behaviour")
    erase: int = Field(default=8, ge=0, description="words of a suffix that is certified against")
    attacked: tuple[str, ...] = Field(
        default=(),
        description="folders of red-teaming runs of this target, or files of exchanges, to learn "
        "from too",
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
        data = getattr(info, "data", {})
        learned = set() if data.get("trained") else set(data.get("attacks", ()))
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
        sets = self._named.load(lab)
        prints = [
            one.fingerprint for one in (*sets.harmful, *sets.harmless, sets.test, *sets.unseen)
        ]
        if self.overseer != NOBODY:
            load_constitution(self._constitution)  # which says what is wrong with it
            prints.append(hashlib.sha256(self._constitution.read_bytes()).hexdigest())
        prints += [kept.fingerprint(self._before())]
        if self.trained:
            prints.append(load_guard(Path(self.trained)).fingerprint)
        if self.harden:
            prints.append(lab.data(self.capability).fingerprint)
        return [*prints, fingerprint(self.judge), fingerprint("refusal")]

    def run(self, lab: Lab) -> Iterator[Evidence]:
        self.check()
        sets, before = self._named.load(lab), self._before()
        self._check_with(lab, sets, before)
        judge = make_judge(self.judge, lab)
        calibration, refusals = find(judge, "harm"), find(RefusalJudge(), "refusal")
        with self._journal(lab, sets, before, judge.version) as journal:
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
                about=self._about(lab, sets),
                calibration=calibration,
                refusals=refusals,
                rng=lab.rng(self.name, "bootstrap"),
                resamples=self.resamples,
            )
            evidence = asyncio.run(self._run(lab, front, sets, before, measures, journal))
            journal.finish()
        yield from evidence

    async def _run(
        self,
        lab: Lab,
        front: Front,
        sets: Sets,
        before: Sequence[Exchange],
        measures: GuardMeasures,
        journal: Journal,
    ) -> list[Evidence]:
        trial = Trial(lab, front, sets.test, self._arms(self.held_out), sets.unseen, self.queries)
        if self.trained:
            guard = load_guard(Path(self.trained))
            made, rows = {self.kind: guard}, []
            exchanges = unlike_groups(before, sets.test, lab.local(EMBEDDER)) if before else []
            models = {stage.model: lab.local(stage.model) for stage in guard.about.stages}
            models[self.target] = lab.local(self.target)
        else:
            loop = await self._made(lab, front, sets, before, journal)
            made, models, exchanges = loop.guards, loop.trainer.models, loop.exchanges
            rows = list(making.evidence(loop, measures))
        results = Results(self, lab, trial, measures, made, models, self._folder)
        rows += [one async for one in results.evidence()]
        if self.harden and results.bare is not None:
            guard = made[self.kind]
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
        sets: Sets,
        before: Sequence[Exchange],
        journal: Journal,
    ) -> Loop:
        """The closed loop, run to its end; its guards are kept among the artifacts."""
        sets = await self._with_synthesised(lab, sets, journal)
        loop = self._loop(lab, front, sets)
        await loop.collect(unlike_groups(before, sets.test, lab.local(EMBEDDER)))
        self._check_enough(0, loop.exchanges)  # some didn't get an answer
        loop.train()
        for number in range(1, self.rounds + 1):
            through = await loop.attack(number, self.round_queries)
            lab.show.say(f"round {number}: {through} harmful answers came through")
            if not through:
                break
            if not loop.gained:
                lab.show.say(f"round {number} let through as much as the one before: no more")
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
        self._arms(self.held_out)
        if self.trained:
            self._check_trained(load_guard(Path(self.trained)))
            return
        self._arms(self.attacks)
        if self.constitution and self.overseer == NOBODY:
            raise UserError(
                "a constitution is for an overseer who writes requests for its categories: name "
                "one (overseer)"
            )
        if self.overseer != NOBODY:
            load_constitution(self._constitution)
        if is_served(self.external):
            raise UserError(
                f"external '{self.external}' is a served model, whose states can't be read: name a "
                "local one"
            )
        if self.guard in ("external", "cascade", "outside") and not self.external:
            raise UserError(f"a guard of kind '{self.guard}' needs a model: external: MODEL")
        if self.external == self.target:
            raise UserError("the external model is the target itself: that is what the probe reads")

    def check_models(self, lab: Lab) -> None:
        """
        Raises:
            UserError: what the external model is can't read what the guard asks of it.
        """
        if not self.external:
            return
        model = lab.local(self.external)
        if model.is_causal and not model.tokenizer.chat_template:
            raise UserError(
                f"external '{self.external}' has no chat template, as a base model: take one that "
                f"is tuned for chat, or a sentence encoder ({EMBEDDER})"
            )
        if not model.is_causal and self.guard == "outside":
            raise UserError(
                f"external '{self.external}' is a sentence encoder, whose tokens' embeddings say "
                "nothing alone: a guard of kind 'outside' needs a model that is tuned for chat"
            )

    def _check_trained(self, guard: Guard) -> None:
        if not self.test or not self.unseen:
            raise UserError(
                "a trained guard is measured on what it never saw, which only you can know: name a "
                "harmful set and harmless ones (test, unseen)"
            )
        about = guard.about
        if about.target != self.target and about.target in {one.model for one in about.stages}:
            raise UserError(
                f"the guard in {self.trained} reads the states of '{about.target}': it can't guard "
                f"'{self.target}'"
            )
        if self.harden and not self.attacked:
            raise UserError(
                "a second arm learns from what attacks on the target found: name runs of "
                "red-teaming (attacked)"
            )

    def _check_with(self, lab: Lab, sets: Sets, before: Sequence[Exchange]) -> None:
        """What can be told of the sets and models before anything is asked."""
        if self.harden:
            questions(lab.data(self.capability))
        if self.trained:
            return
        self.check_models(lab)
        written = 0
        if self.overseer != NOBODY:
            written = self.each * len(load_constitution(self._constitution).harmless)
        self._check_enough(sum(map(len, sets.harmless)) + written, before)

    def _check_enough(self, requests: int, before: Sequence[Exchange]) -> None:
        two_stages = len(NEEDS[self.guard]) > 1
        check_enough(requests, before, self.budget, self.escalation if two_stages else None)

    @property
    def kind(self) -> str:
        """That of the guard that is attacked."""
        return kind_of(load_guard(Path(self.trained))) if self.trained else self.guard

    @property
    def _constitution(self) -> Path:
        return Path(self.constitution) if self.constitution else BUILT_IN

    @property
    def _folder(self) -> tuple[str, str]:
        where = hashlib.sha256(self.target.encode()).hexdigest()[:8]
        return self.name, where

    @property
    def _named(self) -> Named:
        return Named(
            harmful=() if self.trained else self.behaviours,
            harmless=() if self.trained else self.harmless,
            test=self.test,
            unseen=self.unseen,
            share=self.share,
            limit=self.limit,
            test_limit=self.test_limit,
            unseen_limit=self.unseen_limit,
        )

    def _before(self) -> list[Exchange]:
        """What runs of red-teaming have left, but for the families of the trial."""
        found = [one for folder in self.attacked for one in kept.of(Path(folder))]
        return [one for one in found if one.family not in self.held_out]

    def _journal(self, lab: Lab, sets: Sets, before: Sequence[Exchange], version: str) -> Journal:
        """What only decides what is made of the answers may change between two starts."""
        pace = {"concurrency", "resamples"}
        settings = {
            **self.model_dump(mode="json", exclude=pace),
            "seed": lab.seed,
            "weights": [lab.model_fingerprint(model) for model in self.models()],
            "precision": lab.precision,
            "data": [one.fingerprint for one in (*sets.harmful, *sets.harmless, sets.test)],
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

    async def _with_synthesised(self, lab: Lab, sets: Sets, journal: Journal) -> Sets:
        """The sets, with what the overseer writes for the constitution, and without what comes too
        close to the trial's requests."""
        harmful, harmless = list(sets.harmful), list(sets.harmless)
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
            # Nothing else is asked of it, and what follows needs the memory.
            del chat
            lab.release([self.target, self.external, EMBEDDER])
            told = ", ".join(f"{n} {what}" for what, n in written.counts.items())
            lab.show.say(f"requests for the constitution: {told}")
            harmful.append(Behaviours("constitution", written.harmful, Provenance()))
            harmless.append(Behaviours("constitution", written.harmless, Provenance()))
        return apart(replace(sets, harmful=harmful, harmless=harmless), embedder)

    def _loop(self, lab: Lab, front: Front, sets: Sets) -> Loop:
        return Loop(
            lab=lab,
            front=front,
            trainer=Trainer(lab, self.target, self.readers(lab), self.budget, self.escalation),
            harmful=sets.harmful,
            harmless=sets.harmless,
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
            if not other.is_causal:
                return found | {"external": Reader(other, (other.n_layers,))}
            found |= {
                "tokens": Reader(other, (0,)),
                "external": Reader(other, self._layers(other)),
            }
        return found

    def _layers(self, model: LocalModel) -> tuple[int, ...]:
        return tuple(sorted({round(depth * model.n_layers) for depth in self.depths}))

    def _about(self, lab: Lab, sets: Sets) -> dict[str, object]:
        ids = json.dumps([one.id for one in sets.test.behaviours])
        return {
            "study": self.name,
            "overseer": "" if self.overseer == NOBODY else self.overseer,
            "target": self.target,
            "dataset": sets.test.name,
            "split": hashlib.sha256(ids.encode()).hexdigest(),
            "seed": lab.seed,
            "truth": "model",
            "config_hash": self.config_hash,
        }


def saved_guards(run: Path, kind: str) -> list[Path]:
    """The folders of a run's guards of a kind."""
    return sorted(run.glob(f"artifacts/safeguards/*/guards/{kind}"))
