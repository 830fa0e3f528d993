"""Work for a caller, given up as soon as the caller has gone."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any

from starlette.types import Receive


async def unless_gone(receive: Receive, work: Coroutine[Any, Any, None]) -> bool:
    """Does the work; False if its caller went before it was done.

    The request's body must have been read. Either way nothing of the work is left running, and
    what it held has been given back.

    Raises:
        Exception: what the work raised.
    """
    working, leaving = asyncio.ensure_future(work), asyncio.ensure_future(_left(receive))
    try:
        await asyncio.wait({working, leaving}, return_when=asyncio.FIRST_COMPLETED)
    finally:
        has_left = leaving.done()
        working.cancel()
        leaving.cancel()
        await asyncio.wait({working, leaving})
    if working.cancelled():
        if not has_left:
            raise RuntimeError("the work was cancelled from within")
        return False
    working.result()
    return True


async def _left(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
