"""The weak-to-strong study: its settings, and how it is run."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Iterator, Mapping, Sequence
from typing import ClassVar, Literal, Self

import numpy as np
from pydantic import Field, field_validator, model_validator

from toprope.data.assemble import take
from toprope.data.builtin import BUILTIN
from toprope.data.debated import Debated, joined
from toprope.data.examples import Dataset
from toprope.data.splits import Split, check_no_leak, split
from toprope.errors import UserError, unknown
from toprope.evidence import Cost, Evidence
from toprope.lab import Lab
from toprope.study import Study
from toprope.techniques.weak_to_strong import debates
from toprope.techniques.weak_to_strong.confidence import Confidence
from toprope.techniques.weak_to_strong.debate_measures import debate_evidence
from toprope.techniques.weak_to_strong.learned import (
    Learned,
    Probes,
    Tuned,
    added,
    with_debates,
)
from toprope.techniques.weak_to_strong.learners import Learner
from toprope.techniques.weak_to_strong.measures import CONTROLS, Measures, Outcome
from toprope.techniques.weak_to_strong.methods import METHODS, UNSUPERVISED
from toprope.techniques.weak_to_strong.trial import Trial

SIZES: dict[str, float | int] = {"supervisor": 0.4, "student": 0.4, "test": 0.2}
"""Shares of the examples: the supervisor's half, the student's, and the test items of each seed."""

FEWEST = 40
"""Examples below which halves and test are too small to say anything."""

HEADLINES = {
    "cross_fitting": "as the best on the sets it was developed on",
    "confidence": "as the best on NLP in Burns et al. 2023",
}
"""What the conclusion is about where the settings don't say, and why; the first one wins."""


class WeakToStrong(Study):
    """A weak model's labels train a stronger student; how much of the gap does the student
    recover?"""

    name: ClassVar[str] = "weak_to_strong"

    data: str = Field(
        description="labelled examples: cities, arithmetic, file:PATH, hf:NAME or a YAML file"
    )
    limit: int | None = Field(
        default=2000, ge=50, description="at most this many examples, drawn with the run's seed"
    )
    debates: tuple[str, ...] = Field(
        default=(),
        description="what the supervisor reads beside each example: the folder of a run of debates "
        "about the data's examples, or files of its transcripts; without any, the example alone",
    )
    mode: Literal["probe", "lora"] = Field(
        default="probe",
        description="probe: heads on frozen activations (minutes); "
        "lora: the models are fine-tuned (hours on a CPU)",
    )
    methods: tuple[str, ...] = Field(
        default=(
            "naive",
            "confidence",
            "bootstrapping",
            "filtered",
            "ensemble",
            "cross_fitting",
            "ccs",
        ),
        min_length=1,
        description=f"how students learn from weak labels: {', '.join(METHODS)}",
    )
    headline: str | None = Field(
        default=None,
        description="the method that the conclusion is about, named before the run; "
        "without one: cross_fitting, else confidence, else the first of the methods",
    )
    seeds: int = Field(
        default=10, ge=2, description="how often halves and test items are drawn anew"
    )
    intermediates: tuple[str, ...] = Field(
        default=(), description="models between the two, weakest first, for bootstrapping"
    )
    confidence_weight: float = Field(
        default=0.75, ge=0, le=1, description="weight of the student's own answers, once warm"
    )
    confidence_warmup: float = Field(
        default=0.2, ge=0, le=1, description="share of the training until it has that weight"
    )
    keep: float = Field(
        default=0.5, gt=0, le=1, description="share of the labels that 'filtered' keeps"
    )
    depths: tuple[float, ...] = Field(
        default=(0.375, 0.5, 0.625, 0.75, 0.875),
        min_length=1,
        description="layers that a probe may read, as shares of the model's depth",
    )
    lora_rank: int = Field(default=8, ge=1, description="mode lora: rank of the adapters")
    lora_epochs: int = Field(default=2, ge=1, description="mode lora: passes over the labels")
    lora_learning_rate: float = Field(
        default=2e-4, gt=0, description="mode lora: peak learning rate"
    )
    resamples: int = Field(default=10_000, ge=1000, description="bootstrap resamples")

    @field_validator("methods")
    @classmethod
    def _known(cls, methods: tuple[str, ...]) -> tuple[str, ...]:
        for method in methods:
            if method not in METHODS:
                raise ValueError(str(unknown("method", method, METHODS)))
        return methods

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.headline and self.headline not in self.methods:
            raise ValueError(
                f"headline '{self.headline}' isn't among the methods: {', '.join(self.methods)}"
            )
        if self.mode == "lora" and UNSUPERVISED in self.methods:
            raise ValueError(
                f"'{UNSUPERVISED}' reads frozen activations: leave it out of methods, "
                "or use mode: probe"
            )
        if wrong := [depth for depth in self.depths if not 0 < depth <= 1]:
            raise ValueError(f"depth {wrong[0]}: give shares above 0, up to 1 (the last layer)")
        return self

    def models(self) -> list[str]:
        return [self.overseer, *self.intermediates, self.target]

    def datasets(self, lab: Lab) -> list[str]:
        debated = self._debated(lab)
        return [debated.fingerprint if debated else self._dataset(lab).fingerprint]

    @property
    def title(self) -> str:
        return f"weak-to-strong: {self.overseer} supervises {self.target} on {self.data}"

    @property
    def chosen(self) -> tuple[str, str]:
        """The headline's method, and how it was chosen without ground truth."""
        if self.headline:
            return self.headline, "chosen without ground truth: named in the settings"
        for method, why in HEADLINES.items():
            if method in self.methods:
                return method, f"chosen without ground truth: before the run, {why}"
        return self.methods[0], "chosen without ground truth: the first method of the settings"

    def run(self, lab: Lab) -> Iterator[Evidence]:
        debated = self._debated(lab)
        data = debated.data if debated else self._dataset(lab)
        if debated and debated.left_out:
            lab.show.say(
                f"{data.name}: {debated.left_out:,} examples that weren't debated in "
                f"{debated.source} are left out"
            )
        splits = [split(data, SIZES, seed=int(seed)) for seed in self._split_seeds(lab)]
        for one in splits:
            check_no_leak(one, data)
        learned = self._learned(lab, data, debated)
        said, training = self._train(lab, data, splits, learned)
        outcome = Outcome(
            said=said,
            truth=data.labels,
            groups=np.array(data.groups),
            costs={arm: added(training[arm], learned.costs.get(arm, Cost())) for arm in said},
        )
        outcome.save(lab.artifact("predictions", f"{self.fingerprint(lab)}.safetensors"))
        measures = Measures(
            outcome=outcome,
            methods=self.methods,
            headline=self.chosen,
            about={
                "study": self.name,
                "overseer": self.overseer,
                "target": self.target,
                "dataset": data.name,
                "split": _digest_of(splits),
                "seed": lab.seed,
                "truth": "ground_truth",
                "config_hash": self.config_hash,
            },
            rng=lab.rng(self.name, "bootstrap"),
            resamples=self.resamples,
        )
        yield from measures.evidence()
        if debated:
            yield from debate_evidence(measures, debated)

    def _dataset(self, lab: Lab) -> Dataset:
        """All that the data has, up to the limit."""
        data = self._checked(lab.data(self.data, limit=self.limit))
        if len(data) < FEWEST:
            raise UserError(
                f"dataset '{data.name}' has {len(data)} examples: weak-to-strong needs {FEWEST} "
                "or more, a fifth of which are the test, and a thousand are better"
            )
        return data

    def _debated(self, lab: Lab) -> Debated | None:
        """The examples that were debated, up to the limit; None: debates aren't asked for."""
        if not self.debates:
            return None
        # Of a built-in set another size makes other examples.
        limit = self.limit if self.data in BUILTIN else None
        data = self._checked(lab.data(self.data, limit=limit))
        found = joined(data, self.debates, fewest=FEWEST)
        return found.only(take(found.data, self.limit, seed=lab.seed))

    def _checked(self, data: Dataset) -> Dataset:
        if len(data.label_names) != 2 and UNSUPERVISED in self.methods:
            raise UserError(
                f"dataset '{data.name}' has {len(data.label_names)} classes, and '{UNSUPERVISED}' "
                "needs two: leave it out of methods"
            )
        return data

    def _split_seeds(self, lab: Lab) -> np.ndarray:
        return lab.rng(self.name, "splits").integers(2**31, size=self.seeds)

    def _learned(self, lab: Lab, data: Dataset, debated: Debated | None) -> Learned:
        settings = {
            "rank": self.lora_rank,
            "epochs": self.lora_epochs,
            "learning_rate": self.lora_learning_rate,
        }
        mode = Probes(lab, self.depths) if self.mode == "probe" else Tuned(lab, settings)
        found = mode.learned(data, self.overseer, self.intermediates, self.target)
        if not debated:
            return found
        rng = lab.rng(self.name, debates.SHUFFLED)
        return with_debates(found, debated, mode.read(self.overseer), rng)

    def _train(
        self, lab: Lab, data: Dataset, splits: Sequence[Split], learned: Learned
    ) -> tuple[dict[str, np.ndarray], dict[str, Cost]]:
        """Arm -> predicted classes [S, N] (-1 where an item isn't in the seed's test), and what its
        training took."""
        said: dict[str, np.ndarray] = {}
        costs: dict[str, Cost] = {}
        learners = learned.learners
        arms = len(CONTROLS) + len(self.methods) + 2 * len(learned.others)
        with lab.progress("training students", self.seeds * arms) as task:
            for seed, one in enumerate(splits):

                def rng(seed: int = seed) -> np.random.Generator:
                    return lab.rng(self.name, "trial", seed)

                trial = Trial(
                    weak=learned.weak,
                    student=learners[self.target],
                    rungs=tuple(learners[name] for name in self.intermediates),
                    asked_NC=learned.asked_NC,
                    labels=data.labels,
                    groups=np.array(data.groups),
                    classes=len(data.label_names),
                    half1=one.parts["supervisor"],
                    half2=one.parts["student"],
                    confidence=Confidence(self.confidence_weight, self.confidence_warmup),
                    keep=self.keep,
                    rng=rng(),
                )
                test = one.parts["test"]
                controls = debates.control_arms(trial, learned.others, self.chosen[0], rng)
                for arm, train in {**trial.arms(self.methods), **controls}.items():
                    began, before = time.monotonic(), _tokens_read(learners)
                    guess = train()(test).argmax(1)
                    said.setdefault(arm, np.full((self.seeds, len(data)), -1))[seed, test] = guess
                    took = Cost(
                        tokens=_tokens_read(learners) - before, seconds=time.monotonic() - began
                    )
                    costs[arm] = added(costs.get(arm, Cost()), took)
                    task.advance(1)
                for learner in (*learners.values(), learned.weak, *learned.others.values()):
                    learner.forget()
        return said, costs


def _tokens_read(learners: Mapping[str, Learner]) -> int:
    return sum(learner.tokens_read for learner in learners.values())


def _digest_of(splits: Sequence[Split]) -> str:
    """One fingerprint for the splits of all seeds."""
    return hashlib.sha256("".join(one.fingerprint for one in splits).encode()).hexdigest()
