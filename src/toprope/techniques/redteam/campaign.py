"""The campaign: which attack to try next on which behaviour, learning from all of them.

Rounds: every behaviour that hasn't failed yet has one attempt a round, by an arm that Thompson
sampling picks for it (Thompson 1933; Chapelle and Li 2011) from what all earlier rounds, and the
sweep before, have learned. The attempts of a round are under way together, so that a local model
answers them in batches; and what a round does depends on no clock, so that a killed campaign, whose
answers are in its journal, comes to the same place again.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncGenerator, Callable, Coroutine, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from toprope.data.behaviours import Behaviour
from toprope.errors import UserError
from toprope.journal import Journal
from toprope.lab import Lab
from toprope.models.chat import Chat, is_served
from toprope.techniques.redteam.attacks.attack import Attack
from toprope.techniques.redteam.attempts import (
    Attempt,
    Budget,
    Case,
    Judge,
    OutOfBudgetError,
    Target,
)

Rng = Callable[..., np.random.Generator]
"""`Lab.rng`: a generator of its own for each purpose."""

Search = AsyncGenerator[Attempt, None]
Report = Callable[[float], None]

MOST_TURNS = 12
"""Queries that a single attempt may take in a sweep: turns that set it up."""


@dataclass
class Library:
    """What is known of each arm: how many attempts, and how many of them succeeded."""

    counts: dict[str, list[int]] = field(default_factory=dict)

    def learn(self, attempt: Attempt) -> None:
        tried = self.counts.setdefault(arm_name(attempt), [0, 0])
        tried[0] += attempt.success
        tried[1] += 1

    def pick(self, arms: Sequence[Attack], rng: np.random.Generator) -> Attack:
        """The arm with the best draw of its success rate; a prior of one success in two."""
        counts = np.array([self.counts.get(_name(arm), [0, 0]) for arm in arms])
        drawn = rng.beta(1 + counts[:, 0], 1 + counts[:, 1] - counts[:, 0])
        return arms[int(drawn.argmax())]

    def save(self, path: Path) -> None:
        path.write_text(json.dumps({"arms": self.counts}, indent=1) + "\n", encoding="utf-8")

    @classmethod
    def load(cls, path: Path) -> Library:
        """
        Raises:
            UserError: no such file, or it's no library.
        """
        try:
            content = json.loads(path.read_text(encoding="utf-8"))
            counts = {name: [int(a), int(b)] for name, (a, b) in content["arms"].items()}
            if any(not 0 <= successes <= tries for successes, tries in counts.values()):
                raise ValueError("more successes than tries")
            return cls(counts)
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            raise UserError(f"{path} is no library of attacks: {error}") from None


def arm_name(attempt: Attempt) -> str:
    return f"{attempt.family}/{attempt.strategy}"


def _name(arm: Attack) -> str:
    return f"{arm.family}/{arm.name}"


@dataclass
class Limits:
    """Where a campaign stops: tokens of the target, and seconds; None: no limit."""

    tokens: int | None = None
    seconds: float | None = None
    began: float = field(default_factory=time.monotonic)

    def reached(self, chat: Chat) -> str:
        """Which one is, for people, or ""."""
        if self.tokens is not None and chat.tokens >= self.tokens:
            return f"its {self.tokens:,} tokens are spent"
        if self.seconds is not None and time.monotonic() - self.began >= self.seconds:
            return f"its {self.seconds:,.0f} seconds are over"
        return ""


@dataclass
class Front:
    """All that a campaign has in the field.

    Attributes:
        stopped: why it ended early, or "".
    """

    target: Target
    attacker: Chat | None
    rng: Rng
    limits: Limits = field(default_factory=Limits)
    stopped: str = ""

    @classmethod
    def open(
        cls,
        lab: Lab,
        study: str,
        target: str,
        judge: Judge,
        *,
        attacker: str | None = None,
        journal: Journal | None = None,
        limits: Limits | None = None,
        concurrency: int = 32,
        timeout: float = 120.0,
        retries: int = 3,
        **asked: Any,
    ) -> Front:
        """A front against a model by its name.

        Args:
            study: whose randomness it is.
            attacker: the model that writes attacks, by its name.
            concurrency, timeout, retries: of `Chat`.
            asked: how the target is: `system`, `max_tokens` and `temperature` of `Target`.

        Raises:
            UserError: as `Lab.chat`.
        """
        calls: dict[str, Any] = {
            "journal": journal,
            "concurrency": concurrency,
            "timeout": timeout,
            "retries": retries,
        }
        return cls(
            Target(
                chat=lab.chat(target, **calls),
                judge=judge,
                local=None if is_served(target) else lab.local(target),
                journal=journal,
                **asked,
            ),
            attacker=lab.chat(attacker, **calls) if attacker else None,
            rng=lambda *names: lab.rng(study, *names),
            limits=limits or Limits(),
        )

    async def once(
        self, behaviours: Sequence[Behaviour], arms: Sequence[Attack], advance: Report
    ) -> list[Attempt]:
        """The first attempt of every arm on every behaviour: behaviour by behaviour."""
        return await self.each([(one, arm) for one in behaviours for arm in arms], advance)

    async def each(
        self, pairs: Sequence[tuple[Behaviour, Attack]], advance: Report
    ) -> list[Attempt]:
        """The first attempt of each pair's arm on its behaviour, in their order.

        Stops between batches where a limit is reached; what was attempted is returned.
        """

        async def first(search: Search) -> Attempt | None:
            attempt = await self._first(search)
            advance(1)
            return attempt

        found: list[Attempt] = []
        step = max(1, 4 * self.target.chat.concurrency)
        for at in range(0, len(pairs), step):
            if self._over():
                break
            some = pairs[at : at + step]
            searches = [self._search(one, arm, Budget(MOST_TURNS)) for one, arm in some]
            tried = await _together([first(search) for search in searches])
            found += [attempt for attempt in tried if attempt is not None]
            await _closed(searches)
        return found

    async def campaign(
        self,
        behaviours: Sequence[Behaviour],
        arms: Sequence[Attack],
        library: Library,
        *,
        queries: int,
        advance: Report,
    ) -> list[Attempt]:
        """At most `queries` queries a behaviour, ending at its first success."""
        open_ = {one.id: _Open(one, list(arms), Budget(queries)) for one in behaviours}
        found: list[Attempt] = []
        number = 0
        while open_ and not self._over():
            number += 1
            tried = await _together([self._try(one, library, number) for one in open_.values()])
            for one, attempt in zip(list(open_.values()), tried, strict=True):
                if attempt is not None:
                    found.append(attempt)
                    library.learn(attempt)
                if attempt is None or attempt.success or one.budget.queries <= 0:
                    await _closed(one.searches.values())
                    del open_[one.behaviour.id]
                    advance(1)
        for one in open_.values():
            await _closed(one.searches.values())
        return found

    async def _try(self, one: _Open, library: Library, number: int) -> Attempt | None:
        """An attempt by the arm that is picked; None where no arm has anything left to try."""
        rng = self.rng("pick", one.behaviour.id, number)
        while one.arms:
            arm = library.pick(one.arms, rng)
            if arm not in one.searches:
                one.searches[arm] = self._search(one.behaviour, arm, one.budget)
            attempt = await self._first(one.searches[arm])
            if attempt is not None:
                return attempt
            one.arms.remove(arm)
        return None

    def _search(self, behaviour: Behaviour, arm: Attack, budget: Budget) -> Search:
        case = Case(
            behaviour=behaviour,
            target=self.target,
            attacker=self.attacker,
            budget=budget,
            rng=self.rng("search", behaviour.id, _name(arm)),
            family=arm.family,
            strategy=arm.name,
        )
        return arm.search(case)

    async def _first(self, search: Search) -> Attempt | None:
        """The search's next attempt; None where it has none, or its queries are spent."""
        try:
            return await anext(search, None)
        except OutOfBudgetError:
            return None

    def _over(self) -> bool:
        self.stopped = self.stopped or self.limits.reached(self.target.chat)
        return bool(self.stopped)


@dataclass
class _Open:
    """A behaviour that the target hasn't failed on yet."""

    behaviour: Behaviour
    arms: list[Attack]
    budget: Budget
    searches: dict[Attack, Search] = field(default_factory=dict)


async def _together(waits: Sequence[Coroutine[Any, Any, Attempt | None]]) -> list[Attempt | None]:
    """All of them at once; where one fails, the others are stopped before its error goes on."""
    tasks = [asyncio.ensure_future(wait) for wait in waits]
    try:
        return await asyncio.gather(*tasks)
    except BaseException:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        raise


async def _closed(searches: Iterable[Search]) -> None:
    for search in searches:
        await search.aclose()
