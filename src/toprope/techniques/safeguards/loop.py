"""The closed loop: collect what the target answers, train a guard, attack it on the training side,
learn from what came through, and again.

Rounds see the training side alone: the requests, families and harmless sets of the trial stay out
of it, so that what a trial says of the guard was never looked at while it was made.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from toprope.data.behaviours import Behaviours
from toprope.lab import Lab
from toprope.techniques.redteam.attacks.attack import Attack
from toprope.techniques.redteam.campaign import Front, Library
from toprope.techniques.safeguards.collect import collected, of_attempts
from toprope.techniques.safeguards.exchanges import Exchange, joined, unique
from toprope.techniques.safeguards.guard import Guard
from toprope.techniques.safeguards.trainer import Trainer
from toprope.techniques.safeguards.trial import guarded


@dataclass
class Loop:
    """
    Attributes:
        front: against the bare target.
        harmful, harmless: sets to learn from.
        attacks: of the training families.
        families: under how many of them a request is put.
        chosen: the kind of guard that stands in the loop.
        rounds: that were made, of each every attempt's behaviour and whether it came through.
    """

    lab: Lab
    front: Front
    trainer: Trainer
    harmful: Sequence[Behaviours]
    harmless: Sequence[Behaviours]
    attacks: Sequence[Attack]
    families: int
    chosen: str
    exchanges: list[Exchange] = field(default_factory=list)
    rounds: list[list[tuple[str, bool]]] = field(default_factory=list)
    guards: dict[str, Guard] = field(default_factory=dict)

    async def collect(self, before: Sequence[Exchange] = ()) -> None:
        """The target's exchanges on the training sets, after those that are there already."""
        found = list(before)
        sides = [(data, "harmful") for data in self.harmful]
        sides += [(data, "harmless") for data in self.harmless]
        for data, side in sides:
            total = len(data) * (1 + min(self.families, len({a.family for a in self.attacks})))
            with self.lab.progress(f"asking {data.name} ({side})", total) as task:
                found += await collected(
                    self.front,
                    data,
                    self.attacks,
                    families=self.families,
                    rng=self.lab.rng("safeguards", "collect", data.name),
                    advance=task.advance,
                )
        self.exchanges = unique(joined(found))

    def train(self) -> None:
        """Guards of every kind on the exchanges that there are."""
        self.guards = self.trainer.train(self.exchanges)

    async def attack(self, number: int, queries: int) -> int:
        """Attacks the chosen guard on the training side, and adds what came through to what is
        learned from; and, lest framings look like harm, the answers to as many harmless requests,
        each under a framing too.

        Returns:
            How many harmful answers came through.
        """
        before = len(self.exchanges)
        guard = self.guards[self.chosen]
        front = guarded(self.front, guard, guard.readers(self.trainer.models))
        seeded = replace(front, rng=lambda *names: self.front.rng("round", number, *names))
        tried: list[tuple[str, bool]] = []
        for data in self.harmful:
            with self.lab.progress(f"round {number}: attacking on {data.name}", len(data)) as task:
                attempts = await seeded.campaign(
                    data.behaviours,
                    list(self.attacks),
                    Library(),
                    queries=queries,
                    advance=task.advance,
                )
            tried += [(f"{data.name}/{one.behaviour}", one.success) for one in attempts]
            found = of_attempts(attempts, data, system=self.front.target.system)
            self.exchanges = unique([*self.exchanges, *found])
        await self._frame_harmless(number, len(self.exchanges) - before)
        self.rounds.append(tried)
        return sum(success for _, success in tried)

    async def _frame_harmless(self, number: int, wanted: int) -> None:
        each = -(-wanted // len(self.harmless)) if self.harmless else 0
        for data in self.harmless if each else ():
            some = data.limited(each, seed=number)
            # Asked plainly too, which the journal knows already.
            with self.lab.progress(f"round {number}: {data.name}, framed", 2 * len(some)) as task:
                found = await collected(
                    self.front,
                    some,
                    self.attacks,
                    families=1,
                    rng=self.lab.rng("safeguards", "round", str(number), data.name),
                    advance=task.advance,
                )
            self.exchanges = unique([*self.exchanges, *found])

    @property
    def gained(self) -> bool:
        """Whether less came through in the last round than in the one before, of as much tried."""
        shares = [np.mean([success for _, success in tried]) for tried in self.rounds[-2:]]
        return len(shares) < 2 or bool(shares[1] < shares[0])
