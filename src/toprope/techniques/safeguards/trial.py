"""A trial of a guard: the same attacks on the same requests without it and with it, and harmless
requests that it was never trained on.

The answers are those of the journal: with the guard, and with another one, only what it lets
through is judged anew, and only what an adaptive attacker tries next is asked anew.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from toprope.data.behaviours import Behaviour, Behaviours
from toprope.lab import Lab
from toprope.techniques.redteam.attacks.attack import Attack
from toprope.techniques.redteam.attacks.direct import Direct
from toprope.techniques.redteam.campaign import Front, Library
from toprope.techniques.redteam.measures import Outcome
from toprope.techniques.safeguards.attackers import AWARE
from toprope.techniques.safeguards.collect import collected
from toprope.techniques.safeguards.exchanges import Exchange
from toprope.techniques.safeguards.guard import Guard
from toprope.techniques.safeguards.guarded import GuardedChat
from toprope.techniques.safeguards.reading import Reader


@dataclass
class Trial:
    """What is tried, and on whom.

    Attributes:
        front: against the bare target.
        held_out: harmful requests that nothing was trained on.
        attacks: of the families that nothing was trained on.
        unseen: harmless sets that nothing was trained on.
    """

    lab: Lab
    front: Front
    held_out: Behaviours
    attacks: Sequence[Attack]
    unseen: Sequence[Behaviours]
    queries: int
    framed: int = 100

    async def undefended(self) -> Outcome:
        return await self.attack("undefended", self.front, self.attacks)

    async def defended(self, guard: Guard, readers: Sequence[Reader], what: str) -> Outcome:
        """The same under the guard, and with attackers that know of it."""
        return await self.attack(what, guarded(self.front, guard, readers), (*self.attacks, *AWARE))

    async def harmless(self) -> list[Harmless]:
        """The target's answers to the harmless sets, plainly, and to some of them framed by the
        held-out attacks."""
        found = []
        for data in self.unseen:
            exchanges = await self.asked(self.front, data, (), 0, f"asking {data.name}")
            found.append(Harmless(data.name, len(data), exchanges))
        some = self._some()
        told = "asking harmless requests, framed"
        framed = await self.asked(self.front, some, self.attacks, 1, told)
        framed = [one for one in framed if one.family != "direct"]
        return [*found, Harmless("framed", len(some), framed)]

    def _some(self) -> Behaviours:
        """As many of each unseen set as make up `framed` together."""
        each = -(-self.framed // len(self.unseen))
        chosen: list[Behaviour] = []
        for data in self.unseen:
            some = data.limited(each, seed=self.lab.seed).behaviours
            chosen += [replace(one, id=f"{data.name}/{one.id}", pair="") for one in some]
        return Behaviours("framed", tuple(chosen))

    async def asked(
        self,
        front: Front,
        data: Behaviours,
        attacks: Sequence[Attack],
        families: int,
        what: str,
    ) -> list[Exchange]:
        """A harmless set's exchanges with the target of a front, plainly and under some
        families."""
        with self.lab.progress(what, len(data) * (1 + families)) as task:
            return await collected(
                front,
                data,
                attacks,
                families=families,
                rng=self.lab.rng("safeguards", "framed", data.name),
                advance=task.advance,
            )

    async def attack(self, what: str, front: Front, attacks: Sequence[Attack]) -> Outcome:
        """Every held-out attack once on every request, then a campaign by the given ones.

        Args:
            what: is attacked, for the progress shown.
        """
        behaviours = self.held_out.behaviours
        tried = [Direct(), *self.attacks]
        with self.lab.progress(f"{what}: each attack", len(behaviours) * len(tried)) as task:
            sweep = await front.once(behaviours, tried, task.advance)
        library = Library()
        for attempt in sweep:
            if attempt.family != "direct":
                library.learn(attempt)
        with self.lab.progress(f"{what}: campaign", len(behaviours)) as task:
            campaign = await front.campaign(
                behaviours, list(attacks), library, queries=self.queries, advance=task.advance
            )
        return Outcome(
            harmless={},
            sweep=sweep,
            direct=[one for one in sweep if one.family == "direct"],
            best=[],
            campaign=campaign,
            held_out=[one.id for one in behaviours],
            queries=self.queries,
            stopped=front.stopped,
            seconds=0.0,
        )


@dataclass(frozen=True)
class Harmless:
    """A harmless set as the bare target answered it.

    Attributes:
        asked: how many requests; those without an answer have no exchange.
    """

    name: str
    asked: int
    exchanges: Sequence[Exchange]


def guarded(front: Front, guard: Guard, readers: Sequence[Reader]) -> Front:
    """The front against the target behind a guard."""
    chat = GuardedChat(front.target.chat, guard, readers)
    return replace(front, target=replace(front.target, chat=chat), stopped="")


def switched(
    harmful: Sequence[Exchange], harmless: Sequence[Exchange], rng: np.random.Generator, most: int
) -> tuple[list[Exchange], list[Exchange]]:
    """Harmful answers after harmless prompts, and harmless answers after harmful prompts: what
    tells a guard that reads the answer from one that reads the prompt alone."""
    n = min(most, len(harmful), len(harmless))
    bad = [harmful[i] for i in rng.permutation(len(harmful))[:n]]
    good = [harmless[i] for i in rng.permutation(len(harmless))[:n]]
    pairs = list(zip(bad, good, strict=True))
    return (
        [replace(one, messages=other.messages) for one, other in pairs],
        [replace(other, messages=one.messages) for one, other in pairs],
    )
