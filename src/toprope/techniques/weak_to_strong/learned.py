"""A study's models as learners of its data, in either mode: what each reads, at what cost."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from toprope.data.debated import Debated
from toprope.data.examples import Dataset
from toprope.evidence import Cost
from toprope.lab import Lab
from toprope.models.heads import softmax
from toprope.techniques.weak_to_strong.debates import SHUFFLED, WITHOUT, Panel, inputs
from toprope.techniques.weak_to_strong.learners import Learner, ProbeLearner

STUDY = "weak_to_strong"


@dataclass(frozen=True)
class Learned:
    """
    Attributes:
        learners: by the models' names, each of the examples alone.
        weak: the supervisor, of what it reads.
        asked_NC: the target's own probabilities of the answers, untrained.
        others: supervisors that are controls, by what they read instead.
        costs: what the reading took, by the arm that needs it first.
    """

    learners: Mapping[str, Learner]
    weak: Learner
    asked_NC: np.ndarray
    others: Mapping[str, Learner] = field(default_factory=dict)
    costs: Mapping[str, Cost] = field(default_factory=dict)


Read = Callable[[Sequence[str], str], tuple[Learner, Cost]]
"""(the texts [N] of a member of an ensemble, its name) -> a learner of them, and what reading them
took."""


@dataclass(frozen=True)
class Probes:
    """Mode probe: each model reads each text once."""

    lab: Lab
    depths: tuple[float, ...]

    def learned(self, data: Dataset, overseer: str, between: Sequence[str], target: str) -> Learned:
        learners: dict[str, Learner] = {}
        costs: dict[str, Cost] = {}
        scores_NC: dict[str, np.ndarray] = {}
        for name in (overseer, *between, target):
            # One pass gives the states, those with either answer, and what the model would say.
            read, costs[name] = self.lab.activations(
                name, data.texts, depths=self.depths, continuations=data.answers, score=True
            )
            rows_NSD = {
                layer: x.reshape(len(data), 1 + len(data.answers), -1)
                for layer, x in read.layers.items()
            }
            learners[name] = ProbeLearner(
                {layer: x[:, 0] for layer, x in rows_NSD.items()},
                {layer: x[:, 1:] for layer, x in rows_NSD.items()},
            )
            scores_NC[name] = read.scores
        arms = {"supervisor": costs[overseer], "ceiling": costs[target]}
        arms |= {"bootstrapping": added(*(costs[name] for name in between))} if between else {}
        return Learned(learners, learners[overseer], softmax(scores_NC[target]), costs=arms)

    def read(self, overseer: str) -> Read:
        """How the supervisor reads other texts than the examples."""

        def read(texts: Sequence[str], member: str) -> tuple[Learner, Cost]:
            found, cost = self.lab.activations(overseer, texts, depths=self.depths)
            return ProbeLearner(dict(found.layers), {}), cost

        return read


@dataclass(frozen=True)
class Tuned:
    """Mode lora: a model reads what it is trained on, and asked about, each time.

    Attributes:
        settings: of `LoraLearner`.
    """

    lab: Lab
    settings: Mapping[str, Any]

    def learned(self, data: Dataset, overseer: str, between: Sequence[str], target: str) -> Learned:
        names = (overseer, *between, target)
        learners = {name: self._learner(name, data.texts) for name in names}
        asked_NC, asking = self.lab.option_probs(target, data.texts, data.answers)
        return Learned(learners, learners[overseer], asked_NC, costs={"zero_shot": asking})

    def read(self, overseer: str) -> Read:
        """As `Probes.read`."""
        return lambda texts, member: (self._learner(overseer, texts, member), Cost())

    def _learner(self, name: str, texts: Sequence[str], *purpose: str) -> Learner:
        from toprope.techniques.weak_to_strong.lora import LoraLearner

        rng = self.lab.rng(STUDY, "lora", name, *purpose)
        return LoraLearner(self.lab.local(name), list(texts), self.settings, rng)


def with_debates(found: Learned, debated: Debated, read: Read, rng: np.random.Generator) -> Learned:
    """The same with a supervisor that reads debates, and its controls beside it."""
    costs = dict(found.costs)
    costs[f"supervisor_{WITHOUT}"] = costs.pop("supervisor", Cost())
    panels: dict[str, Panel] = {}
    for arm, of in (("supervisor", debated), (f"supervisor_{SHUFFLED}", debated.shuffled(rng))):
        members = [read(texts, f"{arm} {i}") for i, texts in enumerate(inputs(of))]
        panels[arm] = Panel(tuple(learner for learner, _ in members))
        costs[arm] = added(*(cost for _, cost in members))
    supervisor, shuffled = panels.values()
    others = {WITHOUT: found.weak, SHUFFLED: shuffled}
    return replace(found, weak=supervisor, others=others, costs=costs)


def added(*costs: Cost) -> Cost:
    """The sum."""
    return Cost(
        tokens=sum(cost.tokens for cost in costs),
        seconds=sum(cost.seconds for cost in costs),
        calls=sum(cost.calls for cost in costs),
    )
