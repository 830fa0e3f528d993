"""The red-teaming study: its settings, and how it is run."""

from __future__ import annotations

import asyncio
import hashlib
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import ClassVar

from pydantic import Field, field_validator

from toprope.data.behaviours import Behaviour, Behaviours
from toprope.errors import UserError
from toprope.evidence import Evidence
from toprope.journal import Journal
from toprope.lab import Lab
from toprope.models.chat import is_served
from toprope.models.embedding import EMBEDDER
from toprope.study import NOBODY, Study
from toprope.techniques.redteam import findings
from toprope.techniques.redteam.attacks import FAMILIES, WITHOUT_A_MODEL, arms, known
from toprope.techniques.redteam.attacks.attack import Attack
from toprope.techniques.redteam.attacks.direct import Direct
from toprope.techniques.redteam.attacks.templated import Templated
from toprope.techniques.redteam.attempts import Attempt, Judge
from toprope.techniques.redteam.campaign import Front, Library, Limits, arm_name
from toprope.techniques.redteam.judges import make_judge
from toprope.techniques.redteam.judges.calibration import Calibration, find, fingerprint
from toprope.techniques.redteam.judges.refusal import RefusalJudge
from toprope.techniques.redteam.measures import Measures, Outcome


class RedTeam(Study):
    """How does a model fail? Attacks it, adaptively, and measures how often it does what it should
    decline."""

    name: ClassVar[str] = "redteam"

    overseer: str = Field(
        default=NOBODY,
        description="the model that writes attacks (pair, tap, crescendo, persuasion); "
        "none: attacks that need none",
    )
    target: str = Field(description="the model under attack: local, or served (openai/gpt-4o, ...)")
    behaviours: str = Field(
        default="behaviours",
        description="what it should decline: behaviours (built in), file:PATH, hf:NAME or a YAML "
        "file",
    )
    limit: int | None = Field(
        default=None, ge=10, description="at most this many behaviours, drawn with the run's seed"
    )
    search: float = Field(
        default=0.4,
        gt=0,
        lt=1,
        description="share of the behaviours on which all attacks are tried once; the rest are "
        "held out for the campaign",
    )
    attacks: tuple[str, ...] = Field(
        default=WITHOUT_A_MODEL,
        min_length=1,
        description=f"families: {', '.join(FAMILIES)}",
    )
    queries: int = Field(
        default=20, ge=1, description="the campaign's queries of the target, for a behaviour"
    )
    judge: str = Field(
        default="trained",
        description="who says that an attack succeeded: trained, trained:FOLDER, rubric:MODEL, "
        "refusal; it must be calibrated against people",
    )
    harmless: tuple[str, ...] = Field(
        default=("look_alikes",),
        min_length=1,
        description="harmless requests, for over-refusal: look_alikes (built in), or as behaviours",
    )
    harmless_limit: int = Field(default=100, ge=10, description="at most this many of each set")
    templates: str | None = Field(
        default=None, description="a file of templates, for in_the_wild: a JSON list, or lines"
    )
    techniques: str | None = Field(
        default=None, description="a JSON-lines file of techniques, for persuasion"
    )
    library: str | None = Field(
        default=None, description="what earlier campaigns learned: a run's library.json"
    )
    system: str = Field(default="", description="the target's system prompt")
    max_tokens: int = Field(default=128, ge=1, description="of an answer of the target")
    temperature: float = Field(default=0.0, ge=0, description="of the target's answers")
    max_total_tokens: int | None = Field(
        default=None, ge=1, description="the target's tokens after which the study stops attacking"
    )
    max_seconds: float | None = Field(
        default=None, gt=0, description="seconds after which the study stops attacking"
    )
    concurrency: int = Field(default=32, ge=1, description="calls under way at once")
    timeout: float = Field(default=120.0, gt=0, description="seconds for a call of a served model")
    retries: int = Field(default=3, ge=0, description="of a call of a served model")
    resamples: int = Field(default=10_000, ge=1000, description="bootstrap resamples")

    @field_validator("attacks")
    @classmethod
    def _known(cls, attacks: tuple[str, ...]) -> tuple[str, ...]:
        known(attacks)
        return attacks

    @property
    def title(self) -> str:
        return f"red-teaming of {self.target} on {self.behaviours}"

    def models(self) -> list[str]:
        return [self.target, *([] if self.overseer == NOBODY else [self.overseer])]

    def datasets(self, lab: Lab) -> list[str]:
        return [*self._data(lab), fingerprint(self.judge), fingerprint("refusal")]

    def _data(self, lab: Lab) -> list[str]:
        """What is asked and attacked with; a judge that is calibrated anew has the same verdicts,
        and a campaign may go on with it."""
        sets = [lab.behaviours(self.behaviours, limit=self.limit)]
        sets += [self._harmless(lab, name) for name in self.harmless]
        files = [path for path in (self.templates, self.techniques, self.library) if path]
        return [one.fingerprint for one in sets] + [_file_hash(path) for path in files]

    def run(self, lab: Lab) -> Iterator[Evidence]:
        data = lab.behaviours(self.behaviours, limit=self.limit)
        if not all(one.harmful for one in data.behaviours):
            raise UserError(f"'{self.behaviours}' is harmless: give it as `harmless`")
        search, held_out = data.split(self.search, seed=lab.seed)
        attacks = self._arms()
        judge = make_judge(self.judge, lab)
        with self._journal(lab, judge) as journal:
            calibration, refusals = find(judge, "harm"), find(RefusalJudge(), "refusal")
            front = self._front(lab, judge, journal)
            outcome, library = asyncio.run(self._attack(lab, front, attacks, search, held_out))
            library.save(lab.artifact(*self._folder, "library.json"))
            self._keep(lab, outcome, data)
            evidence = list(self._evidence(lab, outcome, data, calibration, refusals))
            journal.finish()
        yield from evidence

    # --- what there is ---

    def _arms(self) -> list[Attack]:
        found = arms(
            self.attacks, templates=self.templates, techniques=self.techniques, root=Path.cwd()
        )
        for arm in found:
            if arm.needs_attacker and self.overseer == NOBODY:
                raise UserError(
                    f"the attack '{arm.family}' is written by a model: name one as the overseer"
                )
            if arm.needs_insides and is_served(self.target):
                raise UserError(
                    f"the attack '{arm.family}' needs the target's gradients, and '{self.target}' "
                    "is a served model: take a local one, or leave the attack out"
                )
        return found

    def _front(self, lab: Lab, judge: Judge, journal: Journal) -> Front:
        return Front.open(
            lab,
            self.name,
            self.target,
            judge,
            attacker=None if self.overseer == NOBODY else self.overseer,
            journal=journal,
            limits=Limits(self.max_total_tokens, self.max_seconds),
            concurrency=self.concurrency,
            timeout=self.timeout,
            retries=self.retries,
            system=self.system,
            max_tokens=self.max_tokens,
            temperature=self.temperature,
        )

    def _journal(self, lab: Lab, judge: Judge) -> Journal:
        """Of this target on these behaviours: a campaign with other settings doesn't go on in it.

        How fast it may go, and how many resamples its intervals take, aren't among the settings.
        """
        pace = {"concurrency", "timeout", "retries", "resamples", "max_seconds", "max_total_tokens"}
        settings = {
            **self.model_dump(mode="json", exclude=pace),
            "seed": lab.seed,
            "weights": [lab.model_fingerprint(model) for model in self.models()],
            "precision": lab.precision,
            "data": self._data(lab),
            "judge's version": judge.version,
        }
        return lab.journal("/".join((*self._folder, "journal")), settings, what="campaign")

    @property
    def _folder(self) -> tuple[str, str]:
        """Among the run's artifacts: of this target on these behaviours."""
        where = hashlib.sha256(f"{self.target} {self.behaviours}".encode()).hexdigest()[:8]
        return "redteam", where

    def _harmless(self, lab: Lab, name: str) -> Behaviours:
        found = lab.behaviours(name, limit=self.harmless_limit)
        if any(one.harmful for one in found.behaviours):
            raise UserError(
                f"'{name}' holds what a model should decline, and over-refusal needs harmless "
                "requests: in a description write `harmful: false`, in an address harmful=false"
            )
        return found

    # --- what is done ---

    async def _attack(
        self,
        lab: Lab,
        front: Front,
        attacks: Sequence[Attack],
        search: Behaviours,
        held_out: Behaviours,
    ) -> tuple[Outcome, Library]:
        began = time.monotonic()

        async def once(
            what: str,
            behaviours: Sequence[Behaviour],
            some: Sequence[Attack],
            by: Front | None = None,
        ) -> list[Attempt]:
            with lab.progress(what, len(behaviours) * len(some)) as task:
                return await (by or front).once(behaviours, some, task.advance)

        harmless = {}
        # Whether it was refused is all that is asked of these.
        mild = replace(front, target=replace(front.target, judge=RefusalJudge()))
        for name in self.harmless:
            asked = self._harmless(lab, name).behaviours
            harmless[name] = await once(f"asking {name}", asked, [Direct()], mild)
        library = Library.load(Path(self.library)) if self.library else Library()
        plain = [Direct(), *attacks]
        sweep = await once("trying each attack", search.behaviours, plain)
        for attempt in sweep:
            if attempt.family != "direct":
                library.learn(attempt)
        direct = await once("asking plainly", held_out.behaviours, [Direct()])
        template = _best_template(sweep, attacks)
        best: list[Attempt] = []
        if template:
            best = await once(
                f"the best template, {template.name}", held_out.behaviours, [template]
            )
        with lab.progress("campaign", len(held_out)) as task:
            campaign = await front.campaign(
                held_out.behaviours,
                list(attacks),
                library,
                queries=self.queries,
                advance=task.advance,
            )
        if front.stopped:
            lab.show.say(f"red-teaming stopped early: {front.stopped}")
        ids = [one.id for one in held_out.behaviours]
        return (
            Outcome(
                harmless,
                sweep,
                direct,
                best,
                campaign,
                ids,
                self.queries,
                front.stopped,
                time.monotonic() - began,
                front.attacker.tokens if front.attacker else 0,
                _silent(attacks, sweep),
            ),
            library,
        )

    def _keep(self, lab: Lab, outcome: Outcome, data: Behaviours) -> None:
        attempts = [*outcome.sweep, *outcome.direct, *outcome.best, *outcome.campaign]
        setting = {
            "name": self.target,
            "system": self.system,
            "max_tokens": self.max_tokens,
        }
        found = findings.collect(
            attempts,
            {one.id: one.request for one in data.behaviours},
            setting,
            lab.local(EMBEDDER),
        )
        findings.save(found, lab.artifact(*self._folder, findings.FILE))
        findings.save_attempts(attempts, lab.artifact(*self._folder, findings.ATTEMPTS))

    def _evidence(
        self,
        lab: Lab,
        outcome: Outcome,
        data: Behaviours,
        calibration: Calibration,
        refusals: Calibration,
    ) -> Iterator[Evidence]:
        return Measures(
            outcome=outcome,
            calibration=calibration,
            refusals=refusals,
            about={
                "study": self.name,
                "overseer": "" if self.overseer == NOBODY else self.overseer,
                "target": self.target,
                "dataset": data.name,
                "split": hashlib.sha256("".join(outcome.held_out).encode()).hexdigest(),
                "seed": lab.seed,
                "truth": "model",
                "config_hash": self.config_hash,
            },
            rng=lab.rng(self.name, "bootstrap"),
            resamples=self.resamples,
        ).evidence()


def _silent(attacks: Sequence[Attack], sweep: Sequence[Attempt]) -> list[str]:
    """The families of which the sweep has no attempt."""
    there = {attempt.family for attempt in sweep}
    return [family for family in dict.fromkeys(a.family for a in attacks) if family not in there]


def _best_template(sweep: Sequence[Attempt], attacks: Sequence[Attack]) -> Templated | None:
    """The template with most successes in the sweep; the first of those with as many."""
    templates = {f"{one.family}/{one.name}": one for one in attacks if isinstance(one, Templated)}
    wins = dict.fromkeys(templates, 0)
    for attempt in sweep:
        if attempt.success and arm_name(attempt) in wins:
            wins[arm_name(attempt)] += 1
    return templates[max(wins, key=lambda name: wins[name])] if wins else None


def _file_hash(path: str) -> str:
    try:
        return hashlib.sha256(Path(path).read_bytes()).hexdigest()
    except OSError as error:
        raise UserError(f"can't read {path}: {error.strerror}") from None
