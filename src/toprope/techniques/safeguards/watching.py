"""Watching an exchange as it comes: a guard's stages read the text piece by piece.

What it stops, and where, is what `Guard.stop` says of the whole. A stage is asked only from where
the one before it has passed the exchange on; it then reads all that there is so far.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from toprope.errors import UserError
from toprope.techniques.safeguards.growing import growing
from toprope.techniques.safeguards.guard import Guard, Stage
from toprope.techniques.safeguards.reading import Reader
from toprope.techniques.safeguards.streaming import Monitor, StreamingHead


@dataclass(frozen=True)
class Flagged:
    """A guard has stopped an exchange: its last stage's name, and the score."""

    stage: str
    score: float


class Watching:
    """One exchange under way.

    Args:
        readers: of the guard's stages.
        messages: the conversation; a last message of the assistant is the answer's beginning.

    Raises:
        UserError: a stage's model can't read it: its template refuses it, or it's too long.
    """

    def __init__(
        self, guard: Guard, readers: Sequence[Reader], messages: Sequence[Mapping[str, str]]
    ) -> None:
        begun = messages[-1]["content"] if messages[-1]["role"] == "assistant" else ""
        prompt = messages[:-1] if begun else messages
        if not prompt:
            raise UserError("there must be a message before the answer's beginning")
        self._answer = begun
        self._stages = [
            _StageWatch(stage, head, reader, prompt)
            for stage, head, reader in zip(guard.about.stages, guard.heads, readers, strict=True)
        ]
        self._at = 0
        self._has_ended = False

    @property
    def is_cheap(self) -> bool:
        """Whether the stage that reads now only looks tokens up: no pass of a model."""
        return self._stages[self._at].is_cheap

    def is_near(self, share: float) -> bool:
        """Whether the last stage has been asked, and its score has come to this share of its
        threshold, now or before."""
        last = self._stages[-1]
        was_asked = self._at + 1 == len(self._stages)
        return was_asked and last.monitor.highest >= share * last.stage.threshold

    def add(self, text: str) -> None:
        """What is new of the answer; `step` reads it."""
        self._answer += text

    def end(self) -> None:
        """No more of the answer will come; `step` reads what was waiting for more."""
        self._has_ended = True

    def step(self) -> Flagged | bool:
        """One stage's reading of what is new to it: whether it has passed the exchange on, so that
        there is another step to take; the last stage's is what stops it."""
        watch = self._stages[self._at]
        if not watch.passes_on(self._answer, has_ended=self._has_ended):
            return False
        if self._at + 1 == len(self._stages):
            return Flagged(watch.stage.name, watch.monitor.highest)
        self._at += 1
        return True

    def read(self, text: str = "") -> Flagged | None:
        """Reads a piece of the answer; the first time, the prompt too."""
        self.add(text)
        while (found := self.step()) is True:
            pass
        return found or None


class _StageWatch:
    """One stage's reading of one exchange."""

    def __init__(
        self,
        stage: Stage,
        head: StreamingHead,
        reader: Reader,
        prompt: Sequence[Mapping[str, str]],
    ) -> None:
        self.stage, self.monitor = stage, Monitor(head)
        self._reader = reader
        self._growing = growing(reader, prompt)
        self._is_begun = False

    @property
    def is_cheap(self) -> bool:
        return max(self._reader.layers) == 0

    def passes_on(self, answer: str, *, has_ended: bool) -> bool:
        """Whether the score has come to the threshold, now or before."""
        answer = answer if self._reader.sees == "exchange" else ""
        if answer or not self._is_begun:
            self._is_begun = True
            read = self._growing.rest if has_ended else self._growing.read
            for x_F in read(answer):
                self.monitor.read(x_F)
        return self.monitor.highest >= self.stage.threshold
