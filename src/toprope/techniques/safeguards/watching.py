"""Watching an exchange as it comes: a guard's stages read the text piece by piece.

What it stops, and where, is what `Guard.stop` says of the whole. A stage is asked only from where
the one before it has passed the exchange on; it then reads all that there is so far.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from toprope.errors import UserError
from toprope.models.following import Following
from toprope.models.local import LocalModel
from toprope.techniques.safeguards.guard import Guard, Stage
from toprope.techniques.safeguards.reading import Reader, features
from toprope.techniques.safeguards.streaming import WINDOW, Monitor, StreamingHead


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

    def step(self) -> Flagged | bool:
        """One stage's reading of what is new to it: whether it has passed the exchange on, so that
        there is another step to take; the last stage's is what stops it."""
        watch = self._stages[self._at]
        if not watch.passes_on(self._answer):
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
        self._text = _Tokens(reader.model, prompt)
        self._following = Following(reader.model, reader.layers)
        self._done = 0

    @property
    def is_cheap(self) -> bool:
        return max(self._reader.layers) == 0

    def passes_on(self, answer: str) -> bool:
        """Whether the score has come to the threshold, now or before."""
        answer = answer if self._reader.sees == "exchange" else ""
        if self._done and not answer:
            return self.monitor.highest >= self.stage.threshold
        if not self._done:
            self._done = max(0, self._text.answer_at(answer) - WINDOW)
        tokens = self._text.of(answer)
        start, states_TF = self._following.read(tokens)
        # Tokens that were read once count once, though more text may have changed the last ones.
        for x_F in features(states_TF[max(0, self._done - start) :]):
            self.monitor.read(x_F)
        self._done = max(self._done, len(tokens))
        return self.monitor.highest >= self.stage.threshold


class _Tokens:
    """The tokens of a conversation and an answer that grows, those of the conversation once."""

    def __init__(self, model: LocalModel, prompt: Sequence[Mapping[str, str]]) -> None:
        self._model, self._prompt = model, list(prompt)
        self._asked = model.tokens(self._prompt)
        model.check_length(len(self._asked))
        self._apart: bool | None = None

    def answer_at(self, answer: str) -> int:
        """Where in the tokens of both the answer begins."""
        return self._model.answer_at(self._prompt, answer) if answer else len(self._asked)

    def of(self, answer: str) -> list[int]:
        if not answer:
            return self._asked
        if self._apart is None or not self._apart:
            whole = self._model.tokens(self._prompt, prefill=answer)
            # Where the answer's first characters join the template's last token, they never part.
            joint = [*self._asked, *self._model.continuation(answer)] != whole
            self._apart = not joint and not answer.isspace()
            return whole
        return [*self._asked, *self._model.continuation(answer)]
