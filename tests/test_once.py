"""Work that several may need."""

import asyncio

import pytest

from toprope.once import Once


def test_whoever_asks_first_has_it_done_for_all():
    done: list[str] = []

    async def work() -> int:
        done.append("once")
        await asyncio.sleep(0)
        return 3

    async def ask() -> list[int]:
        once: Once[int] = Once()
        assert "a" not in once
        found = await asyncio.gather(*(once("a", work) for _ in range(3)))
        assert "a" in once
        return [*found, await once("a", work)]

    assert asyncio.run(ask()) == [3] * 4
    assert done == ["once"]


def test_work_that_failed_is_done_again_for_the_next():
    tries = iter([OSError("gone"), None])

    async def work() -> str:
        if error := next(tries):
            raise error
        return "came"

    async def ask() -> str:
        once: Once[str] = Once()
        with pytest.raises(OSError, match="gone"):
            await once("a", work)
        return await once("a", work)

    assert asyncio.run(ask()) == "came"


def test_who_is_cancelled_leaves_the_work_to_the_others():
    async def ask() -> str:
        once: Once[str] = Once()
        go = asyncio.Event()

        async def work() -> str:
            await go.wait()
            return "came"

        first = asyncio.ensure_future(once("a", work))
        other = asyncio.ensure_future(once("a", work))
        await asyncio.sleep(0)
        first.cancel()
        go.set()
        return await other

    assert asyncio.run(ask()) == "came"
