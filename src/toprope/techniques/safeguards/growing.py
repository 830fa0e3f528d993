"""An exchange that grows, as a reader sees it: with each piece of the answer come the features of
the positions that are new. What they are in the end is what `Reader.read` has of the whole."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

from numpy.typing import NDArray

from toprope.models.following import Following
from toprope.models.local import LocalModel
from toprope.techniques.safeguards import encoding
from toprope.techniques.safeguards.reading import Reader, features
from toprope.techniques.safeguards.streaming import WINDOW


class Growing(Protocol):
    """Tokens that were read once count once, though more text may have changed the last ones."""

    def read(self, answer: str) -> NDArray:
        """
        Args:
            answer: all of it so far; none: the prompt alone is read.

        Returns:
            [T, F], of the positions that are new.

        Raises:
            UserError: it has become longer than the model reads.
        """
        ...

    def rest(self, answer: str) -> NDArray:
        """The same, of an answer that has ended."""
        ...


def growing(reader: Reader, prompt: Sequence[Mapping[str, str]]) -> Growing:
    """
    Raises:
        UserError: the model can't read the prompt: its template refuses it, or it's too long.
    """
    return _States(reader, prompt) if reader.model.is_causal else _Embeddings(reader, prompt)


class _States:
    """By a causal model, which goes on from what it has read."""

    def __init__(self, reader: Reader, prompt: Sequence[Mapping[str, str]]) -> None:
        self._text = _Tokens(reader.model, prompt)
        self._following = Following(reader.model, reader.layers)
        self._done = 0

    def read(self, answer: str) -> NDArray:
        if not self._done:
            self._done = max(0, self._text.answer_at(answer) - WINDOW)
        tokens = self._text.of(answer)
        start, states_TF = self._following.read(tokens)
        new_TF = states_TF[max(0, self._done - start) :]
        self._done = max(self._done, len(tokens))
        return features(new_TF)

    def rest(self, answer: str) -> NDArray:
        return self.read(answer)


class _Embeddings:
    """By an encoder, which reads the answer's end again and again."""

    def __init__(self, reader: Reader, prompt: Sequence[Mapping[str, str]]) -> None:
        self._known = encoding.Embeddings(reader.model)
        self._prompt = encoding.parts(prompt)
        self._done = 0
        self._waits = [""] * WINDOW

    def read(self, answer: str) -> NDArray:
        """A word counts when the next one has begun: until then it may grow."""
        return self._rows(self._new(answer, unsettled=1))

    def rest(self, answer: str) -> NDArray:
        return self._rows(self._new(answer, unsettled=0) + encoding.rest(answer))

    def _new(self, answer: str, *, unsettled: int) -> list[str]:
        texts, _ = encoding.texts(answer, self._done)
        texts = texts[: max(0, len(texts) - unsettled)]
        self._done += len(texts)
        new, self._waits = self._waits + texts, []
        return new

    def _rows(self, texts: Sequence[str]) -> NDArray:
        return features(self._known.rows(self._prompt, texts))


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
