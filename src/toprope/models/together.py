"""Work that many coroutines ask for one by one, done by the batch in a thread.

What is asked while a batch is under way is done together after it. (Text generation has a queue of
its own, `queue.py`, which also waits for callers that are about to come: those whose work is done
here among them.)
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Generic, TypeVar
from weakref import WeakKeyDictionary

Asked = TypeVar("Asked")
Found = TypeVar("Found")

_working: WeakKeyDictionary[asyncio.AbstractEventLoop, int] = WeakKeyDictionary()


def at_work(loop: asyncio.AbstractEventLoop) -> bool:
    """Whether somebody in this event loop awaits work of any `Together`, and so is about to go on.
    May be asked from any thread."""
    return _working.get(loop, 0) > 0


class Together(Generic[Asked, Found]):
    """`await together(one)`: the result for one of a batch.

    Args:
        work: results for some that were asked, in their order; runs in a thread. It may use a
            model, but not await text from a model's queue, which waits for this work's end.
        most: asked in one go.
    """

    def __init__(self, work: Callable[[list[Asked]], Sequence[Found]], most: int = 32) -> None:
        self._work = work
        self._most = most
        self._waiting: list[tuple[Asked, asyncio.Future[Found]]] = []
        self._busy: asyncio.Task[None] | None = None

    async def __call__(self, asked: Asked) -> Found:
        """
        Raises:
            Exception: what the work raised for the batch.
        """
        found: asyncio.Future[Found] = asyncio.get_running_loop().create_future()
        self._waiting.append((asked, found))
        if self._busy is None:
            self._busy = asyncio.ensure_future(self._work_off())
        return await found

    async def _work_off(self) -> None:
        loop = asyncio.get_running_loop()
        _working[loop] = _working.get(loop, 0) + 1
        try:
            while self._waiting:
                some = self._waiting[: self._most]
                del self._waiting[: self._most]
                try:
                    found = await asyncio.to_thread(self._work, [asked for asked, _ in some])
                except Exception as error:
                    _fail(some, error)
                    continue
                for (_, future), one in zip(some, found, strict=True):
                    if not future.done():
                        future.set_result(one)
        finally:
            _working[loop] -= 1
            self._busy = None
            # Left over only where this task itself was cancelled.
            _fail(self._waiting, asyncio.CancelledError())
            self._waiting.clear()


def _fail(some: Sequence[tuple[object, asyncio.Future]], error: BaseException) -> None:
    for _, future in some:
        if not future.done():
            future.set_exception(error)
