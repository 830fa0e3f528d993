"""Processes that do jobs side by side, each on one thread.

A job comes out the same whichever process does it and however many there are. With one process the
jobs are done in this one, on one thread too. Processes are started afresh (spawned), so a program
that uses them keeps its own work under `if __name__ == "__main__"`.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from typing import Any, Generic, Protocol, Self, TypeVar

import torch

from toprope.errors import UserError
from toprope.progress import Progress, Task

Shared = TypeVar("Shared")
_Does = TypeVar("_Does", contravariant=True)


class Job(Protocol[_Does]):
    """Something to do; pickled, as is what comes of it."""

    @property
    def size(self) -> float:
        """How long it takes, beside others."""
        ...

    def do(self, shared: _Does, progress: Progress, /) -> Any: ...


def cores() -> int:
    """How many of the machine's cores this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


class Crew(Generic[Shared]):
    """A context manager; the processes start when there are jobs, and end with it.

    Args:
        shared: what all jobs need, such as data; pickled once for each process.
    """

    def __init__(self, shared: Shared, processes: int) -> None:
        self.shared, self.processes = shared, processes
        self._members: list[tuple[BaseProcess, Connection]] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for process, connection in self._members:
            process.kill()
            process.join()
            connection.close()
        self._members = []

    def results(self, jobs: Sequence[Job[Shared]], task: Task) -> Iterator[tuple[int, Any]]:
        """(number of the job, what came of it), in the order in which they end.

        Args:
            task: advances by the size of each job, as it is done.

        Raises:
            UserError: a process was killed.
            Exception: as a job raised it.
        """
        if self.processes == 1:
            with one_thread():
                for number, job in enumerate(jobs):
                    yield number, job.do(self.shared, Relayed(job.size, task.advance))
            return
        while len(self._members) < min(self.processes, len(jobs)):
            self._members.append(self._start())
        yield from self._from_members(jobs, task)

    def _from_members(self, jobs: Sequence[Job[Shared]], task: Task) -> Iterator[tuple[int, Any]]:
        left = list(enumerate(jobs))[::-1]
        busy: dict[Connection, int] = {}
        for _, connection in self._members[: len(jobs)]:
            self._give(connection, left, busy)
        while busy:
            for connection in wait(list(busy)):
                assert isinstance(connection, Connection)
                kind, content = self._heard(connection)
                if kind == "advance":
                    task.advance(content)
                    continue
                number = busy.pop(connection)
                if kind == "raised":
                    raise content
                if left:
                    self._give(connection, left, busy)
                yield number, content

    def _give(
        self,
        connection: Connection,
        left: list[tuple[int, Job[Shared]]],
        busy: dict[Connection, int],
    ) -> None:
        number, job = left.pop()
        with suppress(OSError):  # one that has died is found when it should answer
            connection.send(job)
        busy[connection] = number

    def _heard(self, connection: Connection) -> tuple[str, Any]:
        try:
            return connection.recv()
        except (EOFError, OSError):
            process = next(one for one, own in self._members if own is connection)
            process.join()
            raise UserError(
                f"one of {len(self._members)} processes ended (exit status {process.exitcode}): if "
                "it was killed, memory ran out: give fewer processes"
            ) from None

    def _start(self) -> tuple[BaseProcess, Connection]:
        context = multiprocessing.get_context("spawn")
        ours, theirs = context.Pipe()
        process = context.Process(target=_serve, args=(theirs, self.shared), daemon=True)
        process.start()
        theirs.close()
        return process, ours


class Relayed(Progress):
    """Progress of a job, told as so much of its size."""

    def __init__(self, size: float, tell: Callable[[float], None]) -> None:
        super().__init__(quiet=True)
        self.size, self.tell = size, tell

    @contextmanager
    def task(self, description: str, total: float, *, unit: str = "") -> Iterator[Task]:
        yield _Share(self.size / total if total else 0.0, self.tell)


class _Share:
    def __init__(self, scale: float, tell: Callable[[float], None]) -> None:
        self.scale, self.tell = scale, tell

    def advance(self, amount: float = 1) -> None:
        self.tell(amount * self.scale)


@contextmanager
def one_thread() -> Iterator[None]:
    """Torch on one thread: on several, sums may come out otherwise in their last bits."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


def _serve(connection: Connection, shared: Any) -> None:
    """Does jobs until there is nobody to give any."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for who gives the jobs
    torch.set_num_threads(1)
    with suppress(EOFError, BrokenPipeError, ConnectionResetError):
        while True:
            job = connection.recv()
            progress = Relayed(job.size, lambda amount: connection.send(("advance", amount)))
            try:
                answer = ("done", job.do(shared, progress))
            except (BrokenPipeError, ConnectionResetError):
                raise
            except Exception as error:
                error.add_note(f"in a process of its own:\n{traceback.format_exc()}")
                answer = ("raised", error)
            connection.send(answer)
