"""One exchange through a guard, from the call to the last word of its answer."""

from __future__ import annotations

import asyncio
import json
import logging
import math
import time
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing, suppress
from dataclasses import dataclass, field
from pathlib import Path

from starlette.requests import Request
from starlette.types import Receive, Scope, Send

from toprope.serve.asked import Asked, asked_of
from toprope.serve.leaving import unless_gone
from toprope.serve.limits import Callers, Slots, caller_of, check_token
from toprope.serve.metrics import Metrics
from toprope.serve.openai import MOST_BYTES, Answer, BadRequestError, body, new_id
from toprope.serve.outlet import Stream, Whole, Wire
from toprope.serve.problems import LOGGER, ProxyError, place
from toprope.serve.upstream import Piece, Upstream
from toprope.serve.watch import Flag, FlaggedError, Watched, Watcher

LAST_WORD_SECONDS = 1.0
"""For the error that ends a call: its caller may have stopped reading."""

BODIES = 8

log = logging.getLogger(LOGGER)


@dataclass(frozen=True)
class Settings:
    """How a guard serves.

    Attributes:
        token: what callers must bear; anybody may call if there is none.
        caller_header: a balancer's, which names the caller; the client's address if there is none.
        most_bytes, most_characters: of a body, and of its conversation.
        most_exchanges: at once. A call takes its place when its body is there, so that silent ones
            keep none; of those, `BODIES` times as many may be coming in.
        body_seconds: to send a body.
        watch_seconds: for a watch's one reading.
        longest_seconds: for an exchange, its caller's reading included.
        near_share: of the score that stops an exchange; from there on it's a near-flag.
        flagged: a file to which exchanges that were stopped are added, a line of JSON each, with
            what was said; none: no word of an exchange is kept.
        most_flags: within `window_seconds`, after which a caller is locked out for
            `lockout_seconds`; a near-flag counts as a part of one (`limits.NEAR_FLAG`).
    """

    token: str | None = field(default=None, repr=False)
    fail_open: bool = False
    refusal: str = "I can't help with that."
    refusal_seconds: float = 1.0
    caller_header: str | None = None
    most_bytes: int = MOST_BYTES
    most_characters: int = 400_000
    most_exchanges: int = 100
    body_seconds: float = 30.0
    watch_seconds: float = 30.0
    longest_seconds: float = 600.0
    near_share: float = 0.9
    flagged: Path | None = None
    most_flags: int = 5
    window_seconds: float = 600.0
    lockout_seconds: float = 600.0


@dataclass
class _Exchange:
    """What is logged of a call.

    Attributes:
        asked: when all of the call was there.
        answer: pieces that the watch was given; kept only where stopped exchanges are.
    """

    caller: str
    began: float = field(default_factory=time.monotonic)
    asked: float = math.inf
    answer: list[str] = field(default_factory=list)
    id: str = field(default_factory=new_id)
    outcome: str = "gone"
    stage: str = "-"
    pieces: int = 0
    watched: Watched | None = None

    @property
    def seconds(self) -> float:
        return time.monotonic() - self.began


class Chat:
    """The endpoint for chats. An ASGI application, so that it also sees its caller leave, and
    times what it sends.

    Args:
        clock: by which callers are locked out.
    """

    def __init__(
        self,
        upstream: Upstream,
        watcher: Watcher,
        settings: Settings,
        clock: Callable[[], float],
    ) -> None:
        self.upstream, self.watcher, self.settings = upstream, watcher, settings
        self.metrics = Metrics()
        self.slots = Slots(settings.most_exchanges)
        self.bodies = Slots(BODIES * settings.most_exchanges)
        self.callers = Callers(
            settings.most_flags, settings.window_seconds, settings.lockout_seconds, clock
        )

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        http, wire = Request(scope, receive), Wire(scope, receive, send)
        exchange = _Exchange(caller_of(http, self.settings.caller_header))
        outlet: Whole | Stream = Whole(wire, Answer(""))
        try:
            check_token(http, self.settings.token)
            self.callers.check(exchange.caller)
            self.slots.check()
            with self.bodies.one():
                asked = await self._asked(http)
            exchange.asked = time.monotonic()
            with self.slots.one():
                async with asyncio.timeout(self.settings.longest_seconds):
                    answer = Answer(asked.model, exchange.id)
                    if asked.streams:
                        outlet = Stream(wire, answer, counts=asked.counts)
                    else:
                        outlet = Whole(wire, answer)
                    if await unless_gone(receive, self._answer(asked, outlet, exchange)):
                        await outlet.end()
        except Exception as error:
            await self._fail(outlet, _problem(error, exchange), exchange)
        finally:
            self._note(exchange)

    async def _asked(self, http: Request) -> Asked:
        try:
            async with asyncio.timeout(self.settings.body_seconds):
                return asked_of(
                    await body(http, self.settings.most_bytes), self.settings.most_characters
                )
        except BadRequestError as problem:
            raise ProxyError("request", str(problem), problem.status) from None
        except TimeoutError:
            raise ProxyError("request", "the body didn't come in time", 408) from None

    async def _answer(self, asked: Asked, outlet: Whole | Stream, exchange: _Exchange) -> None:
        try:
            async with aclosing(self._let_through(asked, exchange)) as pieces:
                async for piece in pieces:
                    await outlet.add(piece)
                    exchange.pieces += bool(piece.text)
            exchange.outcome = "answered"
        except FlaggedError as found:
            self._flagged(found.flag, asked, exchange)
            # Counted from the whole call: a caller who dallies with it learns nothing by that.
            due = exchange.asked + self.settings.refusal_seconds
            await asyncio.sleep(due - time.monotonic())
            await outlet.refuse(self.settings.refusal)

    async def _let_through(self, asked: Asked, exchange: _Exchange) -> AsyncGenerator[Piece, None]:
        """The pieces of the answer, each read by the watch before anybody gets it."""
        watched = exchange.watched = Watched(
            self.watcher,
            asked.messages,
            self.metrics,
            seconds=self.settings.watch_seconds,
            fail_open=self.settings.fail_open,
            about=exchange.id,
        )
        await watched.prompt()
        async with aclosing(self.upstream.answer(asked.upstream)) as pieces:
            async for piece in pieces:
                if piece.text:
                    if self.settings.flagged:
                        exchange.answer.append(piece.text)
                    await watched.answer(piece.text)
                if piece.finish:
                    await watched.end()
                yield piece

    def _flagged(self, flag: Flag, asked: Asked, exchange: _Exchange) -> None:
        exchange.outcome, exchange.stage = "refused", flag.stage
        self.metrics.count("toprope_guard_flags_total", {"stage": flag.stage})
        if self.settings.flagged:
            self._keep(self.settings.flagged, flag, asked, exchange)
        if self.callers.flag(exchange.caller):
            self._locked_out(exchange)

    def _keep(self, path: Path, flag: Flag, asked: Asked, exchange: _Exchange) -> None:
        """What can't be written is told; it must not let an exchange through, nor fail it."""
        row = {
            "id": exchange.id,
            "time": time.time(),
            "caller": exchange.caller,
            "stage": flag.stage,
            "score": flag.score,
            "messages": asked.messages,
            "answer": "".join(exchange.answer),
        }
        try:
            with path.open("a", encoding="utf-8") as file:
                file.write(json.dumps(row, ensure_ascii=False) + "\n")
        except OSError as error:
            log.error("%s: can't write %s: %s", exchange.id, path, error.strerror)

    def _locked_out(self, exchange: _Exchange) -> None:
        self.metrics.count("toprope_guard_lockouts_total")
        log.warning(
            "%s: caller %r is locked out for %g s",
            exchange.id,
            exchange.caller,
            self.settings.lockout_seconds,
        )

    async def _fail(self, outlet: Whole | Stream, problem: ProxyError, exchange: _Exchange) -> None:
        exchange.outcome = f"failed: {problem.kind}"
        self.metrics.count("toprope_guard_errors_total", {"kind": problem.kind})
        with suppress(TimeoutError):
            async with asyncio.timeout(LAST_WORD_SECONDS):
                await outlet.fail(problem)

    def _note(self, exchange: _Exchange) -> None:
        """However it has ended: a caller who leaves before the end has learned as much."""
        watched = exchange.watched
        if exchange.outcome != "refused" and watched and watched.is_near(self.settings.near_share):
            self.metrics.count("toprope_guard_near_flags_total")
            if self.callers.near(exchange.caller):
                self._locked_out(exchange)
        outcome = exchange.outcome.partition(":")[0]
        self.metrics.count("toprope_guard_exchanges_total", {"outcome": outcome})
        self.metrics.count("toprope_guard_pieces_total", by=exchange.pieces)
        log.info(
            "%s: %s; stage %s, %d pieces, %.3f s",
            exchange.id,
            exchange.outcome,
            exchange.stage,
            exchange.pieces,
            exchange.seconds,
        )


def _problem(error: Exception, exchange: _Exchange) -> ProxyError:
    if isinstance(error, ProxyError):
        return error
    if isinstance(error, TimeoutError):
        return ProxyError("too_long", "the exchange took too long", 504)
    log.error("%s: a fault in the guard: %s", exchange.id, place(error))
    return ProxyError("fault", "the guard has failed", 500)
