"""Calls become batches: who waits for whom, and for how long."""

import asyncio
import gc
import subprocess
import sys
import threading
import time
import weakref
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any, cast

import pytest
import torch
from transformers import LlamaConfig

from toprope.models import generation
from toprope.models import queue as queue_module
from toprope.models.generation import Completion, Request
from toprope.models.local import LocalModel
from toprope.models.queue import BatchQueue
from toprope.models.together import Together, at_work

POISON = 666  # a token that the stand-in can't read


class Layers(torch.nn.Identity):
    """As much of a model's module as a queue looks at."""

    config = LlamaConfig()
    dtype = torch.float32


class StandIn:
    """A model that answers a request with its first token, once `open` is set.

    Attributes:
        batches: the requests of each call to `complete`.
        began: when each of those calls began.
        passes: forward passes, one for each token of a batch's longest answer.
    """

    def __init__(self) -> None:
        self.name = "stand-in"
        self.module = Layers()
        self.batches: list[list[Request]] = []
        self.began: list[float] = []
        self.passes = 0
        self.entered = threading.Semaphore(0)
        self.open = threading.Event()
        self.open.set()

    def complete(self, requests: list[Request]) -> list[Completion]:
        self.began.append(time.monotonic())
        self.batches.append(list(requests))
        self.entered.release()
        if any(POISON in request.tokens for request in requests):
            raise RuntimeError("poison")
        for _ in range(max(request.max_tokens for request in requests)):
            self.open.wait(10)
            self.module(None)
            self.passes += 1
        return [Completion(str(r.tokens[0]), r.tokens, len(r.tokens), "end") for r in requests]

    @property
    def sizes(self) -> list[int]:
        return [len(batch) for batch in self.batches]


@pytest.fixture
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """A busy machine doesn't count against us, and whoever waits for nobody fails by the clock."""
    monkeypatch.setattr(queue_module, "WAIT_SECONDS", 60)
    monkeypatch.setattr(queue_module, "BUSY_SECONDS", 60)


@pytest.fixture
def model() -> StandIn:
    return StandIn()


@pytest.fixture
def queue(model: StandIn) -> BatchQueue:
    return BatchQueue.of(cast("LocalModel", model))


async def ask(queue: BatchQueue, number: int, *, max_tokens: int = 1) -> str:
    [answer] = await queue.complete([Request(tokens=[number], max_tokens=max_tokens)])
    return answer.text


async def ask_many(queue: BatchQueue, n: int) -> list[str]:
    return await asyncio.gather(*(ask(queue, i) for i in range(n)))


async def eventually(is_so: Callable[[], object]) -> None:
    until = time.monotonic() + 10
    while not is_so():
        assert time.monotonic() < until, "it didn't happen"
        await asyncio.sleep(0.001)


@pytest.mark.usefixtures("patient")
def test_concurrent_calls_are_one_batch_and_each_has_its_own_answer(
    model: StandIn, queue: BatchQueue
) -> None:
    answers = asyncio.run(ask_many(queue, 32))

    assert model.sizes == [32]
    assert answers == [str(i) for i in range(32)]


@pytest.mark.usefixtures("patient")
def test_callers_that_come_back_together_stay_together(model: StandIn, queue: BatchQueue) -> None:
    async def converse(number: int) -> None:
        for _ in range(4):
            await ask(queue, number)
            await asyncio.sleep(number / 1000)  # what each does with its answer

    async def everyone() -> None:
        await asyncio.gather(*(converse(number) for number in range(32)))

    asyncio.run(asyncio.wait_for(everyone(), 10))

    assert model.sizes == [32] * 4


@pytest.mark.usefixtures("patient")
def test_a_crowd_after_a_lone_call_is_one_batch(model: StandIn, queue: BatchQueue) -> None:
    async def lone_then_crowd() -> None:
        await ask(queue, 0)
        await ask_many(queue, 32)

    asyncio.run(asyncio.wait_for(lone_then_crowd(), 10))

    assert model.sizes == [1, 32]


@pytest.mark.parametrize("crowd", [0, 32])
def test_a_lone_call_waits_at_most_20_ms(model: StandIn, queue: BatchQueue, crowd: int) -> None:
    """The best of ten, so that a busy machine doesn't count against us; after a crowd as well."""

    async def wait_of_one_call() -> float:
        if crowd:
            await ask_many(queue, crowd)
        called = time.monotonic()
        await ask(queue, 0)
        return model.began[-1] - called

    async def waits() -> list[float]:
        return [await wait_of_one_call() for _ in range(10)]

    assert min(asyncio.run(waits())) < 0.025  # the rest is the thread's waking up


@pytest.mark.usefixtures("patient")
def test_an_idle_loop_is_not_waited_for(queue: BatchQueue) -> None:
    assert asyncio.run(asyncio.wait_for(ask(queue, 7), 10)) == "7"


def test_calls_made_while_a_batch_is_answered_are_the_next_batch(
    model: StandIn, queue: BatchQueue
) -> None:
    async def first_then_others() -> None:
        model.open.clear()
        first = asyncio.create_task(ask(queue, 0))
        await eventually(lambda: model.sizes == [1])
        others = [asyncio.create_task(ask(queue, i)) for i in range(1, 6)]
        await eventually(lambda: len(queue._waiting) == 5)
        model.open.set()
        await asyncio.gather(first, *others)

    asyncio.run(first_then_others())

    assert model.sizes == [1, 5]


def test_calls_from_two_event_loops_are_answered(model: StandIn, queue: BatchQueue) -> None:
    answers: list[list[str]] = []
    threads = [
        threading.Thread(target=lambda: answers.append(asyncio.run(ask_many(queue, 4))))
        for _ in range(2)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(10)

    assert answers == [["0", "1", "2", "3"]] * 2


def test_several_requests_of_one_call_come_back_in_order(queue: BatchQueue) -> None:
    answers = asyncio.run(queue.complete([Request(tokens=[i], max_tokens=1) for i in range(5)]))

    assert [answer.text for answer in answers] == ["0", "1", "2", "3", "4"]


def test_a_batch_keeps_to_the_token_budget(
    model: StandIn, queue: BatchQueue, monkeypatch: pytest.MonkeyPatch
) -> None:
    # A call has two: its prompt, its answer.
    monkeypatch.setattr(generation, "token_budget", lambda _: 8)

    assert asyncio.run(ask_many(queue, 10)) == [str(i) for i in range(10)]
    assert model.sizes == [4, 4, 2]


def test_what_is_left_of_a_batch_goes_with_those_that_came_meanwhile(
    model: StandIn, queue: BatchQueue, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(generation, "token_budget", lambda _: 8)  # four calls

    async def six_then_two() -> None:
        model.open.clear()
        six = [asyncio.create_task(ask(queue, i)) for i in range(6)]
        await eventually(lambda: model.sizes == [4])
        two = [asyncio.create_task(ask(queue, i)) for i in (6, 7)]
        await eventually(lambda: len(queue._waiting) == 4)
        model.open.set()
        await asyncio.gather(*six, *two)

    asyncio.run(six_then_two())

    assert model.sizes == [4, 4]


def test_a_short_call_is_not_passed_over_for_ever(
    model: StandIn, queue: BatchQueue, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Long ones fill batch after batch, and it alone isn't full."""
    monkeypatch.setattr(generation, "token_budget", lambda _: 8)
    monkeypatch.setattr(queue_module, "MOST_PASSED", 2)

    async def one_among_many() -> None:
        model.open.clear()
        first = asyncio.create_task(ask(queue, 0))
        await eventually(lambda: model.sizes == [1])
        short = asyncio.create_task(ask(queue, 1))
        long = [asyncio.create_task(ask(queue, i, max_tokens=3)) for i in range(2, 10)]
        await eventually(lambda: len(queue._waiting) == 9)
        model.open.set()
        await asyncio.gather(first, short, *long)

    asyncio.run(one_among_many())

    with_it = [len(batch) for batch in model.batches if [1] in [one.tokens for one in batch]]
    assert model.sizes == [1, 2, 2, 1, 2, 2]
    assert with_it == [1]


@pytest.mark.parametrize("is_failing", [False, True])
def test_a_caller_whose_work_is_done_by_the_batch_is_waited_for(
    model: StandIn, queue: BatchQueue, is_failing: bool
) -> None:
    """Far longer than for one that may be anywhere."""
    done = threading.Event()

    def work(asked: list[int]) -> list[int]:
        done.wait(10)
        if is_failing:
            raise RuntimeError("no")
        return asked

    async def rated_then_asked(together: Together[int, int]) -> None:
        with suppress(RuntimeError):
            await together(1)
        await ask(queue, 1)

    async def both() -> None:
        rated = asyncio.create_task(rated_then_asked(Together(work)))
        await eventually(lambda: at_work(asyncio.get_running_loop()))
        at_once = asyncio.create_task(ask(queue, 0))
        await asyncio.sleep(2 * queue_module.BUSY_SECONDS)
        assert not model.sizes
        done.set()
        await asyncio.gather(rated, at_once)
        assert not at_work(asyncio.get_running_loop())

    asyncio.run(both())

    assert model.sizes == [2]


def test_a_full_batch_waits_for_nobody(
    model: StandIn, queue: BatchQueue, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(generation, "token_budget", lambda _: 8)
    done = threading.Event()

    def work(asked: list[int]) -> list[int]:
        done.wait(10)
        return asked

    async def four_beside_a_rating() -> None:
        rated = asyncio.create_task(Together(work)(1))
        await eventually(lambda: at_work(asyncio.get_running_loop()))
        await ask_many(queue, 4)
        done.set()
        await rated

    asyncio.run(asyncio.wait_for(four_beside_a_rating(), 10))

    assert model.sizes == [4]


def test_an_error_reaches_only_the_caller_that_causes_it(queue: BatchQueue) -> None:
    async def some_poisoned() -> list[Any]:
        numbers = [1, POISON, 3, 4]
        calls: list[Awaitable[str]] = [ask(queue, number) for number in numbers]
        return await asyncio.gather(*calls, return_exceptions=True)

    answers = asyncio.run(some_poisoned())

    assert [answers[0], *answers[2:]] == ["1", "3", "4"]
    assert isinstance(answers[1], RuntimeError)


def test_a_cancelled_call_is_not_answered_and_its_neighbours_are(
    model: StandIn, queue: BatchQueue
) -> None:
    async def cancel_one() -> list[str]:
        model.open.clear()
        first = asyncio.create_task(ask(queue, 0))
        await eventually(lambda: model.sizes == [1])
        waiting = [asyncio.create_task(ask(queue, i)) for i in (1, 2, 3)]
        await eventually(lambda: len(queue._waiting) == 3)
        waiting[1].cancel()
        await eventually(waiting[1].done)
        model.open.set()
        return [await call for call in (first, waiting[0], waiting[2])]

    assert asyncio.run(cancel_one()) == ["0", "1", "3"]
    assert [request.tokens for request in model.batches[1]] == [[1], [3]]


def test_a_call_after_all_that_waited_were_cancelled(model: StandIn, queue: BatchQueue) -> None:
    async def cancel_then_call() -> str:
        model.open.clear()
        first = asyncio.create_task(ask(queue, 0))
        await eventually(lambda: model.sizes == [1])
        waiting = asyncio.create_task(ask(queue, 1))
        await eventually(lambda: len(queue._waiting) == 1)
        waiting.cancel()
        model.open.set()
        await asyncio.gather(first, waiting, return_exceptions=True)
        await eventually(lambda: not queue._waiting)
        return await asyncio.wait_for(ask(queue, 2), 10)

    assert asyncio.run(cancel_then_call()) == "2"


def test_a_batch_whose_callers_have_all_gone_is_broken_off(
    model: StandIn, queue: BatchQueue
) -> None:
    async def cancel_then_call() -> str:
        model.open.clear()
        long = [asyncio.create_task(ask(queue, i, max_tokens=4000)) for i in range(2)]
        await eventually(lambda: model.sizes == [2])
        for task in long:
            task.cancel()
        await asyncio.gather(*long, return_exceptions=True)
        model.open.set()
        return await asyncio.wait_for(ask(queue, 5), 10)

    assert asyncio.run(cancel_then_call()) == "5"
    assert model.passes < 10
    assert not model.module._forward_pre_hooks


def test_calls_outlive_an_event_loop_that_was_closed_under_them(
    model: StandIn, queue: BatchQueue
) -> None:
    model.open.clear()
    loop = asyncio.new_event_loop()
    abandoned = [loop.create_task(ask(queue, i)) for i in range(2)]
    loop.run_until_complete(eventually(lambda: model.batches))
    abandoned[0].cancel()
    loop.run_until_complete(eventually(abandoned[0].done))
    loop.close()
    model.open.set()
    abandoned[1].get_coro().close()  # type: ignore[union-attr]  # so that Python doesn't complain

    assert asyncio.run(asyncio.wait_for(ask(queue, 2), 10)) == "2"


def test_a_model_has_one_queue_and_both_go_when_nobody_has_them(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(queue_module, "LINGER_SECONDS", 0.01)
    model = StandIn()
    queue = BatchQueue.of(cast("LocalModel", model))
    assert BatchQueue.of(cast("LocalModel", model)) is queue
    for number in range(2):  # the second call comes when the thread has ended, and starts another
        answer = asyncio.run(asyncio.wait_for(ask(queue, number), 10))
        assert answer == str(number)
        for thread in threading.enumerate():
            if thread.name == "toprope stand-in":
                thread.join(10)
    alive = weakref.ref(model)

    del model, queue
    gc.collect()

    assert alive() is None


def test_the_interpreters_end_breaks_off_what_is_under_way(tiny_model: LocalModel):
    """A daemon thread within torch as the interpreter ends may abort the process."""
    queue = BatchQueue.of(tiny_model)

    async def leave() -> threading.Thread:
        asking = asyncio.ensure_future(queue.complete([Request([1, 2, 3], max_tokens=100_000)]))
        await asyncio.sleep(0.2)
        worker = queue._worker
        assert worker is not None
        assert worker.is_alive()
        began = time.monotonic()
        queue._end()
        assert time.monotonic() - began < 2
        asking.cancel()
        return worker

    assert not asyncio.run(leave()).is_alive()


LETS_GO_SLOWLY = """
import asyncio, time
import torch
from toprope.models import queue
from toprope.models.generation import Completion, Request
from transformers import LlamaConfig

queue.LINGER_SECONDS = 0.05

class Layers(torch.nn.Identity):
    config, dtype = LlamaConfig(), torch.float32

class Model:
    name, module = "stand-in", Layers()
    def complete(self, requests):
        return [Completion("", [1], 1, "end") for _ in requests]
    def __del__(self):
        time.sleep(1.0)
        print("gone", flush=True)

async def ask():
    await queue.BatchQueue.of(model).complete([Request([1])])

model = Model()
asyncio.run(ask())
del model
time.sleep(0.5)
"""


def test_a_thread_that_lets_go_of_its_model_is_waited_for_at_the_interpreters_end():
    """Torch takes the process down if it is cut off there."""
    command = [sys.executable, "-c", LETS_GO_SLOWLY]
    found = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert (found.returncode, found.stdout) == (0, "gone\n")
