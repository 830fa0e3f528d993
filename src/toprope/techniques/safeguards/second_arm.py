"""The second arm of the trial: the target fine-tuned on what was found, under the same attacks,
without the guard and behind it, with what that costs."""

from __future__ import annotations

import hashlib
import json
from collections.abc import AsyncIterator, Iterator, Sequence
from dataclasses import asdict, dataclass, replace

import numpy as np

from toprope.data.behaviours import Behaviours
from toprope.evidence import Evidence
from toprope.lab import Lab
from toprope.models.adapters import ABOUT, Adapter, Lora
from toprope.models.chat import Chat
from toprope.models.local import LocalModel
from toprope.techniques.redteam.campaign import Front
from toprope.techniques.redteam.judges.refusal import refuses
from toprope.techniques.redteam.measures import Outcome
from toprope.techniques.safeguards.attackers import AWARE
from toprope.techniques.safeguards.capability import Change, capability
from toprope.techniques.safeguards.exchanges import Exchange
from toprope.techniques.safeguards.guard import Guard
from toprope.techniques.safeguards.hardening import Lesson, harden, lessons
from toprope.techniques.safeguards.measures import GuardMeasures
from toprope.techniques.safeguards.reading import Reader
from toprope.techniques.safeguards.trial import Trial, guarded

ARM = "hardened"
BOTH = "hardened_and_guarded"
TEXTS = 100
"""Plain texts on which surprise is measured."""


@dataclass
class SecondArm:
    """
    Attributes:
        exchanges: of the target as it is, to learn from.
        guard, readers: the guard in the loop.
        data: a multiple-choice set, for its cost in capability.
        folder: among the run's artifacts: its adapters are kept there, each by what made it, and a
            killed run goes on with its own.
    """

    lab: Lab
    trial: Trial
    target: LocalModel
    exchanges: Sequence[Exchange]
    guard: Guard
    readers: Sequence[Reader]
    measures: GuardMeasures
    data: str
    lora: Lora
    folder: tuple[str, ...]

    async def evidence(self, bare: Outcome) -> AsyncIterator[Evidence]:
        """
        Args:
            bare: what became of the target as it is.
        """
        hardened = self._adapter().applied()
        front = self.trial.front
        chat = Chat.of(
            hardened, journal=front.target.journal, concurrency=front.target.chat.concurrency
        )
        front = replace(front, target=replace(front.target, chat=chat, local=hardened), stopped="")
        outcome = await self.trial.attack(ARM, front, self.trial.attacks)
        for row in self.measures.attacks(ARM, outcome, bare):
            yield row
        # A probe reads the hardened model's own states: as it was trained, on the model before.
        readers = [
            replace(one, model=hardened) if one.model is self.target else one
            for one in self.readers
        ]
        behind = guarded(front, self.guard, readers)
        both = await self.trial.attack("hardened, guarded", behind, (*self.trial.attacks, *AWARE))
        for row in self.measures.attacks(BOTH, both, bare):
            yield row
        for data in self.trial.unseen:
            for row in await self._refusals(data, front):
                yield row
        for row in self._cost(hardened):
            yield row

    async def _refusals(self, data: Behaviours, front: Front) -> list[Evidence]:
        """What the hardened target refuses of a harmless set, and the target as it is doesn't. An
        answer that didn't come is no exchange, and counts as a refusal.

        Args:
            front: against the hardened one.
        """
        before, after = [
            {_request(one): one.answer for one in await self.trial.asked(of, data, (), 0, told)}
            for of, told in (
                (self.trial.front, f"asking {data.name}"),
                (front, f"asking {data.name}, {ARM}"),
            )
        ]
        requests = [one.request for one in data.behaviours]
        was_N, now_N = (
            np.array([refuses(some.get(one, "")) for one in requests]) for some in (before, after)
        )
        silent, silenced = (sum(one not in some for one in requests) for some in (before, after))
        more = f" ({silenced} got no answer)" if silenced else ""
        return list(
            self.measures.added_refusals(ARM, data.name, now_N, was_N, unanswered=silent, more=more)
        )

    def _adapter(self) -> Adapter:
        taught = lessons(self.target, self.exchanges, self.lab.rng("safeguards", "lessons"))
        folder = self.lab.artifact(*self.folder, "adapter", self._key(taught), ABOUT).parent
        return Adapter.kept(
            self.target,
            folder,
            lambda: harden(self.target, taught, self.lora, progress=self.lab.show),
        )

    def _key(self, taught: Sequence[Lesson]) -> str:
        """Of all that decides what the adapter is."""
        key = [self.target.fingerprint, self.lora.model_dump(mode="json"), *map(asdict, taught)]
        return hashlib.sha256(json.dumps(key).encode()).hexdigest()[:16]

    def _cost(self, hardened: LocalModel) -> Iterator[Evidence]:
        data = self.lab.data(self.data, limit=400)
        found = capability(
            self.target,
            hardened,
            data,
            data.texts[:TEXTS],
            rng=self.lab.rng("safeguards", "capability"),
            resamples=self.measures.resamples,
            progress=self.lab.show,
        )
        yield self._change("accuracy_change", found.accuracy, data.name)
        yield self._change("surprise_change", found.surprise, data.name)

    def _change(self, metric: str, change: Change, dataset: str) -> Evidence:
        return self.measures.change(
            ARM,
            metric,
            change.difference,
            before=change.before,
            notes=f"{change.before:.3f} before, {change.after:.3f} after",
            dataset=dataset,
        )


def _request(one: Exchange) -> str:
    """Of an exchange that was asked plainly."""
    return one.messages[-1]["content"]
