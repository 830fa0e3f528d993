"""What reads the exchanges of a guarded model, and what follows where the reading itself fails."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from toprope.serve.metrics import Metrics
from toprope.serve.openai import BadRequestError
from toprope.serve.problems import LOGGER, ProxyError, place

log = logging.getLogger(LOGGER)


@dataclass(frozen=True)
class Flag:
    """Why an exchange was stopped: for metrics and logs, never for the caller.

    Attributes:
        stage: of the guard: one of a few words.
    """

    stage: str
    score: float


class Watch(Protocol):
    """Reads one exchange that is under way. What it raises fails the exchange."""

    async def prompt(self) -> Flag | None:
        """Reads the conversation; called once, before anything else."""
        ...

    async def answer(self, text: str) -> Flag | None:
        """Reads what is new of the answer: one token's text, or more when several came together."""
        ...

    async def end(self) -> Flag | None:
        """The answer is complete."""
        ...

    def is_near(self, share: float) -> bool:
        """Whether the exchange has come near being stopped: to this share of the score that
        does."""
        ...


Watcher = Callable[[Sequence[Mapping[str, str]]], Watch]
"""A watch for a conversation: its messages, each with a role and content. A last one of the
assistant is the answer's beginning, in the caller's words. Of a conversation that it can't read it
raises `BadRequestError`: the caller is told so, whether the guard fails open or not."""


class FlaggedError(Exception):
    """Ends an exchange."""

    def __init__(self, flag: Flag) -> None:
        super().__init__(flag.stage)
        self.flag = flag


class Watched:
    """One exchange's watch, timed and counted. Each of its readings:

    Raises:
        FlaggedError: the watch stops the exchange.
        ProxyError: the watch can't read such a conversation; or it failed, or took over `seconds`.
            With `fail_open` one that failed isn't asked again instead: what it has missed of an
            exchange, it can't judge.
    """

    def __init__(
        self,
        watcher: Watcher,
        messages: Sequence[Mapping[str, str]],
        metrics: Metrics,
        *,
        seconds: float,
        fail_open: bool,
        about: str,
    ) -> None:
        self._watcher, self._messages, self._metrics = watcher, messages, metrics
        self._seconds, self._fail_open, self._about = seconds, fail_open, about
        self._watch: Watch | None = None
        self._has_failed = False

    async def prompt(self) -> None:
        await self._read("prompt", lambda watch: watch.prompt())

    async def answer(self, text: str) -> None:
        await self._read("answer", lambda watch: watch.answer(text))

    async def end(self) -> None:
        await self._read("end", lambda watch: watch.end())

    def is_near(self, share: float) -> bool:
        return self._watch is not None and self._watch.is_near(share)

    async def _read(self, what: str, by: Callable[[Watch], Awaitable[Flag | None]]) -> None:
        if self._has_failed:
            return
        began = time.perf_counter()
        try:
            async with asyncio.timeout(self._seconds):
                self._watch = self._watch or self._watcher(self._messages)
                flag = await by(self._watch)
        except BadRequestError as problem:
            raise ProxyError("request", str(problem), problem.status) from None
        except Exception as problem:
            self._failed(what, problem)
            return
        self._metrics.took(what, time.perf_counter() - began)
        if flag is not None:
            raise FlaggedError(flag)

    def _failed(self, what: str, problem: Exception) -> None:
        log.error("%s: the guard failed at the %s: %s", self._about, what, place(problem))
        if not self._fail_open:
            raise ProxyError("guard", "the guard has failed; without it nothing is sent", 503)
        self._has_failed = True
        self._metrics.count("toprope_guard_unguarded_total")
