"""Time in models: counted once where several are at work, and only while they are."""

import asyncio
import time
from types import SimpleNamespace
from typing import cast

import pytest

from toprope.models.chat import Chat
from toprope.techniques.debate.timing import Stopwatch, timed


def test_what_is_under_way_at_once_counts_once(monkeypatch):
    now = [0.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    watch = Stopwatch()
    for at, happens in ((1, watch.begin), (2, watch.begin), (4, watch.end), (7, watch.end)):
        now[0] = at
        happens()
    assert watch.seconds == 6
    now[0] = 10
    watch.begin()
    now[0] = 12
    assert watch.seconds == 8, "what goes on counts so far"


def test_a_local_model_takes_time_while_it_runs(tiny_model):
    turn = tiny_model.turn
    with timed([], [tiny_model]) as watch:
        assert watch.seconds == 0
        began = time.monotonic()
        tiny_model.option_probs(["Is it so?"], [" yes", " no"])
        took = time.monotonic() - began
        assert 0 < watch.seconds <= took
        before = watch.seconds
        time.sleep(0.01)
        assert watch.seconds == before
    assert tiny_model.turn is turn


def test_a_served_model_takes_time_while_it_is_called():
    class Slow:
        async def generate(self, *_: object, **__: object) -> str:
            await asyncio.sleep(0.02)
            return "answer"

    slow = Slow()
    chat = cast(Chat, SimpleNamespace(name="openai/slow", model=slow))

    async def both() -> list[object]:
        calls = (chat.model.generate("a"), chat.model.generate("b"))
        return list(await asyncio.gather(*calls))

    with timed([chat], []) as watch:
        began = time.monotonic()
        assert asyncio.run(both()) == ["answer", "answer"]
        took = time.monotonic() - began
    assert 0.019 <= watch.seconds <= took
    assert chat.model is slow


def test_an_error_leaves_the_models_as_they_were(tiny_model):
    turn = tiny_model.turn
    with pytest.raises(ValueError, match="broken"), timed([], [tiny_model]):
        raise ValueError("broken")
    assert tiny_model.turn is turn
