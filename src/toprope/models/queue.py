"""Dynamic batching: calls from many coroutines, answered in batches by one thread.

One thread, because a model's hooks and adapters are its own state: two passes at once would see
each other's. It takes a batch of what is waiting, which gathers by itself while the one before is
answered; what is left over waits for the next. A batch takes about as long with few calls in it as
with many, so before one that isn't full it gives those who are about to call the time to do so:

- when the callers' event loop has gone round without bringing another call, none is on its way;
- callers that were answered together usually come back together: while fewer calls are there than
  were in flight before, it waits on, until `WAIT_SECONDS` have brought no other;
- who awaits shorter work that is done by the batch (`together.py`: a judge's ratings) is about to
  come back, and the queue waits for its end.

The event loop itself does the watching, so that on a busy machine, where it may not run for longer
than that, a batch isn't torn apart.
"""

from __future__ import annotations

import asyncio
import atexit
import threading
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import wait
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from weakref import WeakSet, WeakValueDictionary

from toprope.models.generation import Completion, Request, fill_a_batch, in_batches
from toprope.models.local import LocalModel
from toprope.models.together import at_work

WAIT_SECONDS = 0.02
"""The wait for callers that may come back, after the newest call: a lone call's longest wait."""

LOOP_TURNS = 20
"""Turns of an event loop without a new call after which none is on its way: about a millisecond."""

BUSY_SECONDS = 0.25
"""The longest wait where calls go on arriving, or the event loop is busy with something else."""

LONGEST_END = 10.0
"""Seconds that the interpreter's end waits for the pass under way."""

MOST_PASSED = 4
"""Batches that a call may be passed over in favour of a full one."""

LINGER_SECONDS = 1.0
"""How long the thread stays when nothing is left to do."""

_queues: WeakValueDictionary[int, BatchQueue] = WeakValueDictionary()
_workers: WeakSet[threading.Thread] = WeakSet()
_finding = threading.Lock()


@dataclass(eq=False)
class _Call:
    """A request and where its answer is awaited.

    Attributes:
        passed: the batches that others were answered in since it came.
    """

    request: Request
    answer: asyncio.Future[Completion]
    passed: int = 0

    @property
    def is_wanted(self) -> bool:
        """False once the caller has been cancelled."""
        return not self.answer.cancelled()


class _UnwantedError(Exception):
    """Every caller of the batch under way has gone."""


class BatchQueue:
    """The calls to one model. Get a model's queue with `BatchQueue.of`.

    Its thread starts with the first call and ends when no call has come for `LINGER_SECONDS`, so
    that the queue and the model go when nobody has them any more.
    """

    def __init__(self, model: LocalModel) -> None:
        self.model = model
        self._arrival = threading.Condition()
        self._waiting: list[_Call] = []
        self._worker: threading.Thread | None = None
        self._is_ending = False
        self._in_flight = 0  # when the newest answers were handed over, those included

    @classmethod
    def of(cls, model: LocalModel) -> BatchQueue:
        """The one queue of a model, so that all of its users' calls are batched together."""
        with _finding:
            queue = _queues.get(id(model))
            if queue is None:
                queue = _queues[id(model)] = cls(model)
        return queue

    async def complete(self, requests: Sequence[Request]) -> list[Completion]:
        """`LocalModel.complete` for one caller among many, in any asyncio event loop.

        A caller that is cancelled leaves at once; the others have their answers all the same.

        Raises:
            Exception: what the model raised for these requests; no other caller sees it.
        """
        loop = asyncio.get_running_loop()
        calls = [_Call(request, loop.create_future()) for request in requests]
        self._put(calls)
        return await asyncio.gather(*(call.answer for call in calls))

    def _put(self, calls: Sequence[_Call]) -> None:
        with self._arrival:
            self._waiting.extend(calls)
            if self._worker is None:
                self._worker = threading.Thread(
                    target=self._work, name=f"toprope {self.model.name}", daemon=True
                )
                self._worker.start()
                _workers.add(self._worker)
                atexit.unregister(_await_workers)
                atexit.register(_await_workers)
                atexit.register(self._end)
            self._arrival.notify()

    def _end(self) -> None:
        """As the interpreter ends: breaks off what is under way. A daemon thread that is within
        torch when it ends would take the process down with it."""
        with self._arrival:
            self._is_ending, worker = True, self._worker
            self._arrival.notify()
        if worker is not None:
            worker.join(LONGEST_END)

    def _work(self) -> None:
        while (calls := self._collect()) is not None:
            self._answer(calls)

    def _collect(self) -> list[_Call] | None:
        """The calls to answer next; None, and the thread ends, when none has come for a while."""
        with self._arrival:
            self._arrival.wait_for(lambda: self._waiting or self._is_ending, LINGER_SECONDS)
            if self._is_ending or not self._waiting:
                self._worker, self._in_flight = None, 0
                atexit.unregister(self._end)
                return None
        self._wait_for_others()
        return self._take()

    def _take(self) -> list[_Call]:
        """A batch of those that wait: the full one with the oldest call, or the rest."""
        waiting = [call for call in list(self._waiting) if call.is_wanted]
        batches = [
            sorted(rows)
            for rows in in_batches(self.model.module, [call.request for call in waiting])
        ]
        full = batches[:-1] or batches
        is_overdue = bool(waiting) and waiting[0].passed >= MOST_PASSED
        rows = min(batches if is_overdue else full, default=[])
        taken = [waiting[i] for i in rows]
        gone = set(taken)
        with self._arrival:
            self._waiting = [call for call in self._waiting if call.is_wanted and call not in gone]
        for call in self._waiting:
            call.passed += 1
        return taken

    def _wait_for_others(self) -> None:
        loop = self._waiting[-1].answer.get_loop()
        watch = self._watch()
        try:
            watching = asyncio.run_coroutine_threadsafe(watch, loop)
        except RuntimeError:  # the loop was closed: nobody else will call from there
            watch.close()
            return
        while wait([watching], timeout=BUSY_SECONDS).not_done:
            if not at_work(loop) or self._is_ending:
                break
        watching.cancel()

    async def _watch(self) -> None:
        """Returns when a batch is full, or no other call is on its way."""
        seen, loop = 0, asyncio.get_running_loop()
        while not self._fills_a_batch():
            if at_work(loop):
                seen = 0
                await asyncio.sleep(0.01)
                continue
            if seen == (here := len(self._waiting)):
                return
            seen = here
            for _ in range(LOOP_TURNS):
                await asyncio.sleep(0)
            until = time.monotonic() + WAIT_SECONDS
            while len(self._waiting) == seen < self._in_flight and time.monotonic() < until:
                await asyncio.sleep(0.001)

    def _fills_a_batch(self) -> bool:
        return fill_a_batch(self.model.module, [call.request for call in self._waiting])

    def _answer(self, calls: Sequence[_Call]) -> None:
        calls = [call for call in calls if call.is_wanted]
        if not calls:
            return
        try:
            with self._stopped_when_unwanted(calls):
                answers = self.model.complete([call.request for call in calls])
        except _UnwantedError:
            return
        except Exception as error:
            if len(calls) == 1:
                self._deliver(calls, [error])
                return
            for call in calls:  # one by one, so that the error reaches only whoever causes it
                self._answer([call])
            return
        self._deliver(calls, answers)

    def _deliver(self, calls: Sequence[_Call], results: Sequence[Completion | Exception]) -> None:
        """Hands results over to the callers' event loops, all of a loop's in one of its turns."""
        with self._arrival:  # before anybody can come back and be counted twice
            self._in_flight = len(calls) + len(self._waiting)
        by_loop: dict[asyncio.AbstractEventLoop, list[tuple[_Call, Completion | Exception]]] = {}
        for call, result in zip(calls, results, strict=True):
            by_loop.setdefault(call.answer.get_loop(), []).append((call, result))
        for loop, answered in by_loop.items():
            with suppress(RuntimeError):  # the loop was closed: nobody is there to be told
                loop.call_soon_threadsafe(_resolve, answered)

    @contextmanager
    def _stopped_when_unwanted(self, calls: Sequence[_Call]) -> Iterator[None]:
        """Breaks off at the next token when every caller has gone: others may be waiting."""

        here = threading.get_ident()

        def check(*_: object) -> None:
            # Another thread may be running the model while this one waits for its turn.
            wanted = not self._is_ending and any(call.is_wanted for call in calls)
            if threading.get_ident() == here and not wanted:
                raise _UnwantedError

        handle = self.model.module.register_forward_pre_hook(check)
        try:
            yield
        finally:
            handle.remove()


def _await_workers() -> None:
    """As the interpreter ends: a thread that has nothing left to do may be letting go of its model,
    and is within torch too."""
    for worker in list(_workers):
        worker.join(LONGEST_END)


def _resolve(answered: Sequence[tuple[_Call, Completion | Exception]]) -> None:
    for call, result in answered:
        if call.answer.done():
            continue
        if isinstance(result, Exception):
            call.answer.set_exception(result)
        else:
            call.answer.set_result(result)
