"""Plain TCP connections for httpx, by asyncio itself.

httpx's own go through anyio, for other event loops' sake, which is about a fifth of all that a
proxy spends on a streamed token. These don't speak TLS.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from typing import Any

import httpcore
import httpx

MOST_READ = 2**16
"""Bytes that are buffered of a connection."""


class Transport(httpx.AsyncHTTPTransport):
    """httpx's transport, with these connections.

    Args:
        idle: seconds for which an unused connection is kept.
    """

    def __init__(self, *, idle: float) -> None:
        super().__init__()
        # Its constructor has no argument for this; were the name to change, httpx's own
        # connections would be used.
        self._pool = httpcore.AsyncConnectionPool(
            max_connections=None, keepalive_expiry=idle, network_backend=_Backend()
        )


class _Backend(httpcore.AsyncNetworkBackend):
    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore.AsyncNetworkStream:
        async with _told(timeout, httpcore.ConnectTimeout, httpcore.ConnectError):
            return _Stream(*await asyncio.open_connection(host, port, limit=MOST_READ))

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)


class _Stream(httpcore.AsyncNetworkStream):
    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader, self._writer = reader, writer

    async def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        try:  # not by `_told`: this is done for every token
            async with asyncio.timeout(timeout):
                return await self._reader.read(max_bytes)
        except TimeoutError as problem:
            raise httpcore.ReadTimeout(problem) from problem
        except OSError as problem:
            raise httpcore.ReadError(problem) from problem

    async def write(self, buffer: bytes, timeout: float | None = None) -> None:
        async with _told(timeout, httpcore.WriteTimeout, httpcore.WriteError):
            self._writer.write(buffer)
            await self._writer.drain()

    async def aclose(self) -> None:
        self._writer.close()

    def get_extra_info(self, info: str) -> Any:
        """`is_readable`: an unused connection that the other side has closed, or misused."""
        if info == "is_readable":
            return self._reader.at_eof() or self._reader.exception() is not None
        return None


@asynccontextmanager
async def _told(
    timeout: float | None, late: type[Exception], broken: type[Exception]
) -> AsyncIterator[None]:
    """Errors as httpx expects them."""
    try:
        async with asyncio.timeout(timeout):
            yield
    except TimeoutError as problem:
        raise late(problem) from problem
    except OSError as problem:
        raise broken(problem) from problem
