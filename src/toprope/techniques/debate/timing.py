"""How long models took, of all the time that passed: the rest is what the framework costs.

A model in this process takes time while somebody holds its turn (`LocalModel.turn`): reading,
decoding, nothing around it. A served model takes time while a call of it is under way. What two
models do at once counts once.
"""

import threading
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from toprope.models.chat import Chat, is_served

if TYPE_CHECKING:
    from toprope.models.local import LocalModel


class Stopwatch:
    """Runs while at least one of several things is under way; any thread may say so."""

    def __init__(self) -> None:
        self._turn = threading.Lock()
        self._under_way = 0
        self._since = 0.0
        self._seconds = 0.0

    @property
    def seconds(self) -> float:
        """So far."""
        with self._turn:
            running = time.monotonic() - self._since if self._under_way else 0.0
            return self._seconds + running

    def begin(self) -> None:
        with self._turn:
            if not self._under_way:
                self._since = time.monotonic()
            self._under_way += 1

    def end(self) -> None:
        with self._turn:
            self._under_way -= 1
            if not self._under_way:
                self._seconds += time.monotonic() - self._since


@contextmanager
def timed(chats: Iterable[Chat], locals: "Iterable[LocalModel]") -> Iterator[Stopwatch]:
    """What these models take within the block."""
    watch = Stopwatch()
    served = [chat for chat in chats if is_served(chat.name)]
    here = list(locals)
    turns, models = [one.turn for one in here], [chat.model for chat in served]
    try:
        for one in here:
            one.turn = _TimedTurn(one.turn, watch)  # type: ignore[assignment]
        for chat in served:
            chat.model = _TimedCalls(chat.model, watch)  # type: ignore[assignment]
        yield watch
    finally:
        for one, turn in zip(here, turns, strict=True):
            one.turn = turn
        for chat, model in zip(served, models, strict=True):
            chat.model = model


class _TimedTurn:
    """A model's turn that says when it's held."""

    def __init__(self, turn: Any, watch: Stopwatch) -> None:
        self._turn, self._watch = turn, watch

    def __enter__(self) -> None:
        self._turn.__enter__()
        self._watch.begin()

    def __exit__(self, *error: Any) -> None:
        self._watch.end()
        self._turn.__exit__(*error)


class _TimedCalls:
    """A served model that says when it's called."""

    def __init__(self, model: Any, watch: Stopwatch) -> None:
        self._model, self._watch = model, watch

    async def generate(self, *args: Any, **kwargs: Any) -> Any:
        self._watch.begin()
        try:
            return await self._model.generate(*args, **kwargs)
        finally:
            self._watch.end()
