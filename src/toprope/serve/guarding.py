"""A guard's reading of the exchanges that a server has under way.

What only looks tokens up is done at once, in the server's own thread; a model's pass goes to
another, so that no other exchange waits for it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence

from toprope.errors import UserError
from toprope.serve.openai import BadRequestError
from toprope.serve.watch import Flag, Watch, Watcher
from toprope.techniques.safeguards.guard import Guard
from toprope.techniques.safeguards.reading import Reader
from toprope.techniques.safeguards.watching import Flagged, Watching


def watcher(guard: Guard, readers: Sequence[Reader]) -> Watcher:
    """
    Args:
        readers: of the guard's stages (`Guard.readers`).
    """

    def watch(messages: Sequence[Mapping[str, str]]) -> Watch:
        try:
            return _Watch(Watching(guard, readers, messages))
        except UserError as problem:
            raise BadRequestError(f"the guard can't read this conversation: {problem}") from None

    return watch


class _Watch:
    def __init__(self, watching: Watching) -> None:
        self._watching = watching

    async def prompt(self) -> Flag | None:
        return await self.answer("")

    async def answer(self, text: str) -> Flag | None:
        self._watching.add(text)
        return await self._stopped()

    async def end(self) -> Flag | None:
        self._watching.end()
        return await self._stopped()

    def is_near(self, share: float) -> bool:
        return self._watching.is_near(share)

    async def _stopped(self) -> Flag | None:
        watching = self._watching
        found: Flagged | bool = True
        while found is True:
            step = watching.step
            found = step() if watching.is_cheap else await asyncio.to_thread(step)
        return Flag(found.stage, found.score) if found else None
