"""Training all kinds of guards on a growing list of exchanges, each of which is read once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from toprope.lab import Lab
from toprope.models.local import LocalModel
from toprope.techniques.safeguards import training
from toprope.techniques.safeguards.exchanges import Exchange
from toprope.techniques.safeguards.guard import Guard
from toprope.techniques.safeguards.reading import Reader, Reading, of_prompt
from toprope.techniques.safeguards.thresholds import BUDGET
from toprope.techniques.safeguards.training import (
    ESCALATION,
    Classifier,
    affordable,
    guards,
    train,
)


@dataclass
class Trainer:
    """
    Attributes:
        target: the model that the guards are for.
        readers: classifier -> what it reads with.
        budget: None: the usual one, or the least that can be set.
        strengths: of the regularisation, to choose from.
        classifiers: as trained last.
    """

    lab: Lab
    target: str
    readers: Mapping[str, Reader]
    budget: float | None
    escalation: float = ESCALATION
    strengths: Sequence[float] = field(default_factory=lambda: training.STRENGTHS)
    classifiers: dict[str, Classifier] = field(default_factory=dict)
    _readings: dict[str, list[Reading]] = field(default_factory=dict)

    def train(self, exchanges: Sequence[Exchange]) -> dict[str, Guard]:
        """A guard of every kind that the readers make, by name.

        Args:
            exchanges: those of the last time, and what has come after them.

        Raises:
            UserError: too few of a side to learn from, or too few harmless ones for the budget.
        """
        for name, reader in self.readers.items():
            self.classifiers[name] = train(
                name,
                reader,
                self._read(name, reader, exchanges),
                exchanges,
                rng=lambda *names: self.lab.rng("safeguards", "train", *map(str, names)),
                strengths=self.strengths,
                progress=self.lab.show,
            )
        budget = affordable(exchanges, self.budget)
        if self.budget is None and budget > BUDGET:
            self.lab.show.say(
                f"too few harmless exchanges for a refusal budget of {BUDGET:.1%}: the thresholds "
                f"are set for {budget:.2%}"
            )
        return guards(
            self.classifiers,
            exchanges,
            target=self.target,
            budget=budget,
            escalation=self.escalation,
        )

    @property
    def models(self) -> dict[str, LocalModel]:
        """What the readers read with, by name."""
        return {reader.model.name: reader.model for reader in self.readers.values()}

    def _read(self, name: str, reader: Reader, exchanges: Sequence[Exchange]) -> list[Reading]:
        for other, whole in self.readers.items():
            if reader.sees == "prompt" and whole == replace(reader, sees="exchange"):
                return [of_prompt(reading) for reading in self._read(other, whole, exchanges)]
        read = self._readings.setdefault(name, [])
        read += reader.read(exchanges[len(read) :], progress=self.lab.show)
        return read
