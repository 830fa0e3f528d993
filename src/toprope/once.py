"""Work that several coroutines may need, done once, whoever asks first."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Generic, TypeVar

Found = TypeVar("Found")


class Once(Generic[Found]):
    """`await once(key, work)`: what the first caller's work gave for the key.

    A caller that is cancelled leaves the work to the others; work that failed is done again for
    whoever asks next.
    """

    def __init__(self) -> None:
        self._under_way: dict[str, asyncio.Future[Found]] = {}

    def __contains__(self, key: str) -> bool:
        return key in self._under_way

    async def __call__(self, key: str, work: Callable[[], Awaitable[Found]]) -> Found:
        """
        Raises:
            Exception: what the work raised.
        """
        if key not in self._under_way:
            self._under_way[key] = asyncio.ensure_future(work())
        found = self._under_way[key]
        try:
            return await asyncio.shield(found)
        except BaseException:
            if found.done() and (found.cancelled() or found.exception()):
                self._under_way.pop(key, None)
            raise
