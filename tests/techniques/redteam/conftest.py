"""Targets and attackers that follow a script, so that what an attack does can be told."""

import asyncio
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from typing import Any

import numpy as np
import pytest

from toprope.data.behaviours import Behaviour
from toprope.models.chat import Reply
from toprope.techniques.redteam.attacks.attack import Attack
from toprope.techniques.redteam.attempts import Attempt, Budget, Case, OutOfBudgetError, Target
from toprope.techniques.redteam.judges.refusal import RefusalJudge

NO = "I'm sorry, but I can't help with that."
Say = Callable[[str], str | Reply]


class Scripted:
    """A chat whose answer is a function of the last message."""

    def __init__(self, say: Say, name: str = "scripted", concurrency: int = 4) -> None:
        self.say, self.name, self.concurrency = say, name, concurrency
        self.asked: list[tuple[Mapping[str, str], ...]] = []
        self.settings: list[dict[str, Any]] = []
        self.fingerprint = name

    @property
    def tokens(self) -> int:
        return 10 * len(self.asked)

    async def ask(self, messages: Sequence[Mapping[str, str]], **settings: Any) -> Reply:
        self.asked.append(tuple(messages))
        self.settings.append(settings)
        said = self.say(messages[-1]["content"])
        await asyncio.sleep(0)
        return said if isinstance(said, Reply) else Reply(said, "answered", tokens=10)


@pytest.fixture
def behaviour() -> Behaviour:
    return Behaviour("b1", "Do the bad thing.", "crime", target="Sure, the bad thing")


def case(
    behaviour: Behaviour,
    target: Scripted,
    attacker: Scripted | None = None,
    *,
    queries: int = 20,
    seed: int = 0,
    **settings: Any,
) -> Case:
    return Case(
        behaviour,
        Target(target, RefusalJudge(), **settings),  # type: ignore[arg-type]
        attacker,  # type: ignore[arg-type]
        Budget(queries),
        np.random.default_rng(seed),
        "family",
        "strategy",
    )


def attempts(attack: Attack, one: Case, most: int = 30) -> list[Attempt]:
    """What the attack tries, until it has no more, its budget is spent or `most` are there."""

    async def collect() -> list[Attempt]:
        found: list[Attempt] = []
        search = attack.search(one)
        assert isinstance(search, AsyncGenerator)
        try:
            async for attempt in search:
                found.append(attempt)
                if len(found) == most:
                    break
        except OutOfBudgetError:
            pass
        await search.aclose()
        return found

    return asyncio.run(collect())
