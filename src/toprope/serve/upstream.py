"""An OpenAI-compatible server that a proxy asks, and doesn't trust to be there, to answer in time,
or to come to an end. What it says is read in `pieces.py`.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from http.cookiejar import CookieJar, DefaultCookiePolicy
from typing import Any

import httpx

from toprope.errors import UserError
from toprope.serve.connections import Transport
from toprope.serve.pieces import Piece, garbage, pieces_of, text_of
from toprope.serve.problems import ProxyError

MOST_AHEAD = 100_000
"""Bytes, and a read's more, that are read ahead of whoever uses them."""

LONGEST_LINE = 1_000_000
"""Bytes of one event."""

LONGEST_ANSWER = 4_000_000
"""Characters of an answer."""

LONGEST_ERROR = 64_000
"""Bytes of an error that are read for its message; `LONGEST_MESSAGE` characters are passed on."""

LONGEST_MESSAGE = 300

IDLE_SECONDS = 2.0
"""How long an unused connection is kept: shorter than servers do, so that none is about to be
closed when it is used."""

END_SECONDS = 0.1
"""The wait, after an answer's last event, for the end of its body; a connection that has it can be
used again."""


@dataclass(frozen=True)
class Patience:
    """Seconds that an upstream has.

    Attributes:
        connect: to accept a connection.
        first: to send the first text of an answer.
        between: from one piece to the next: a peer that has died silently says nothing.
        models: to list its models.
    """

    connect: float = 5.0
    first: float = 120.0
    between: float = 30.0
    models: float = 2.0


class Ahead:
    """Reads a body ahead of whoever uses it: who is behind gets all that has come, and catches up.
    So a guard that is slower than its upstream reads several tokens at once, not ever later ones.
    """

    def __init__(self, response: httpx.Response) -> None:
        self._response = response
        self._come = bytearray()
        self._news, self._room = asyncio.Event(), asyncio.Event()
        self._is_whole = False

    async def __aenter__(self) -> Ahead:
        self._reading = asyncio.ensure_future(self._fill())
        self._reading.add_done_callback(lambda _: self._news.set())
        return self

    async def __aexit__(self, *_: object) -> None:
        self._reading.cancel()
        await asyncio.wait({self._reading})

    async def read(self, seconds: float) -> bytes:
        """What has come since the last time, waited for; empty at the end.

        Raises:
            ProxyError: nothing comes for so long, or the body breaks off.
        """
        try:
            async with asyncio.timeout(seconds):
                await self._news.wait()
        except TimeoutError:
            raise _late() from None
        read = bytes(self._come)
        self._come.clear()
        self._room.set()
        if not self._reading.done():
            self._news.clear()
        elif not read and not self._is_whole:
            raise _broken()
        return read

    async def _fill(self) -> None:
        with suppress(httpx.HTTPError):  # it isn't whole, which `read` says
            async for read in self._response.aiter_raw():
                self._come += read
                self._news.set()
                if len(self._come) > MOST_AHEAD:
                    self._room.clear()
                    await self._room.wait()
            self._is_whole = True


class Upstream:
    """Where answers come from.

    Args:
        url: ends in /v1, as a rule.
        key: its own; a caller's token isn't passed on.

    Raises:
        UserError: that's no URL.
    """

    def __init__(self, url: str, key: str | None = None, patience: Patience | None = None) -> None:
        if not url.startswith(("http://", "https://")):
            raise UserError(f"'{url}' is no URL; write the upstream's as http://HOST:PORT/v1")
        self.patience = patience or Patience()
        self._client = httpx.AsyncClient(
            base_url=url.rstrip("/") + "/",
            headers={"Accept-Encoding": "identity"}
            | ({"Authorization": f"Bearer {key}"} if key else {}),
            cookies=CookieJar(DefaultCookiePolicy(allowed_domains=[])),  # one caller's to another
            timeout=httpx.Timeout(None, connect=self.patience.connect, write=self.patience.first),
            limits=httpx.Limits(keepalive_expiry=IDLE_SECONDS),
            mounts={"http://": Transport(idle=IDLE_SECONDS)},
        )

    async def close(self) -> None:
        await self._client.aclose()

    async def models(self) -> list[str]:
        """
        Raises:
            ProxyError: it doesn't say.
        """
        request = self._client.build_request("GET", "models")
        async with self._opened(request, self.patience.models) as response:
            body = await _start(response, LONGEST_LINE, self.patience.models)
        try:
            return [text_of(model["id"]) for model in json.loads(body.decode("utf-8"))["data"]]
        except (ValueError, LookupError, TypeError, RecursionError):
            raise garbage("its list of models can't be read") from None

    async def answer(self, asked: Mapping[str, Any]) -> AsyncGenerator[Piece, None]:
        """The answer as it comes. Leaving early ends the generation.

        Args:
            asked: the body of the call; it asks for a stream.

        Raises:
            ProxyError: it can't be reached, says no, breaks off, stalls, or sends what can't be
                read in full.
        """
        request = self._client.build_request("POST", "chat/completions", json=asked)
        async with self._opened(request, self.patience.first) as response, Ahead(response) as come:
            rest, size, finish, usage, is_done = b"", 0, None, None, False
            seconds = self.patience.first
            while not is_done and (read := await come.read(seconds)):
                *lines, rest = (rest + read).split(b"\n")
                if len(rest) > LONGEST_LINE:
                    raise garbage("an event is too long")
                pieces, is_done = pieces_of(lines)
                for piece in pieces:
                    finish, usage = piece.finish or finish, piece.usage or usage
                if text := "".join(piece.text for piece in pieces):
                    size += len(text)
                    if size > LONGEST_ANSWER:
                        raise garbage("it has no end")
                    yield Piece(text)
                    seconds = self.patience.between
            if finish is None:
                raise _broken()
            yield Piece(finish=finish, usage=usage)
            with suppress(ProxyError):
                while await come.read(END_SECONDS):
                    pass

    @asynccontextmanager
    async def _opened(
        self, request: httpx.Request, seconds: float
    ) -> AsyncIterator[httpx.Response]:
        """A response that says yes; its body is still to come."""
        try:
            async with asyncio.timeout(seconds):
                response = await self._client.send(request, stream=True)
        except (httpx.TimeoutException, TimeoutError):
            raise _late() from None
        except (httpx.HTTPError, httpx.InvalidURL):
            raise ProxyError("unreachable", "the upstream can't be reached", 502) from None
        try:
            if response.status_code != 200:
                raise await _said_no(response, seconds)
            if response.headers.get("content-encoding", "identity") != "identity":
                raise garbage("it's compressed, which wasn't asked for")
            yield response
        finally:
            await response.aclose()


def _late() -> ProxyError:
    return ProxyError("late", "the upstream doesn't answer in time", 504)


def _broken() -> ProxyError:
    return ProxyError("broken", "the upstream broke off", 502)


async def _start(response: httpx.Response, most: int, seconds: float) -> bytes:
    """The first `most` bytes of a body, and a read's more."""
    found = b""
    async with Ahead(response) as come:
        while len(found) < most and (read := await come.read(seconds)):
            found += read
    return found


async def _said_no(response: httpx.Response, seconds: float) -> ProxyError:
    status = response.status_code
    if status in (401, 403):  # it may quote the key
        return ProxyError("upstream_key", "the upstream refuses this guard's key", 502)
    if not 400 <= status < 500:
        return ProxyError("upstream_error", "the upstream has failed", 502)
    message = "the upstream refuses the call"
    with suppress(ProxyError, ValueError, LookupError, TypeError, RecursionError):
        said = json.loads((await _start(response, LONGEST_ERROR, seconds)).decode("utf-8"))
        message = text_of(said["error"]["message"])[:LONGEST_MESSAGE]
    after = response.headers.get("retry-after", "")
    return ProxyError(
        "upstream_refusal",
        message,
        status,
        retry_after=int(after) if after.isdecimal() and len(after) < 8 else None,
    )
