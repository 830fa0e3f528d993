"""What a sentence encoder sees of an exchange: its embedding of the prompt, and beside it that of
the answer's last words, which it reads anew every few tokens.

An encoder's states at a token depend on those that follow, so that it can't go on from what it has
read, as a causal model does. A small one is cheap enough to read a short span again and again.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from toprope.models.embedding import embedded, of_length_one
from toprope.models.local import LocalModel
from toprope.progress import Progress

STRIDE = 4
"""Tokens of an answer after which it's read again."""

SPAN = 64
"""Of its last tokens, that are read then."""

PART = 256
"""Tokens of a prompt that are embedded together; of a longer one, the mean over its parts counts:
MiniLM was trained on no more."""


def texts(model: LocalModel, answer: str) -> tuple[list[str], list[int]]:
    """What is embedded at each token of an answer, and where each token ends, in characters."""
    offsets = _offsets(model, answer)
    ends = [STRIDE * (t // STRIDE) for t in range(1, len(offsets) + 1)]
    return [_span(answer, offsets, end) for end in ends], [end for _, end in offsets]


def rest(model: LocalModel, answer: str) -> list[str]:
    """What is embedded once more of an answer that has ended: its last tokens, where they were
    waiting for more."""
    offsets = _offsets(model, answer)
    return [_span(answer, offsets, len(offsets))] if len(offsets) % STRIDE else []


def parts(model: LocalModel, prompt: Sequence[Mapping[str, str]]) -> list[str]:
    """A conversation's text, in parts that are embedded each."""
    text = "\n".join(message["content"] for message in prompt)
    offsets = _offsets(model, text)
    cut = [offsets[at : at + PART] for at in range(0, len(offsets), PART)]
    return [text[some[0][0] : some[-1][1]] for some in cut] or [""]


@dataclass
class Embeddings:
    """Those of texts, each made once; of no text, zeros."""

    model: LocalModel
    progress: Progress | None = None
    _known: dict[str, NDArray] = field(default_factory=dict)

    def learn(self, texts: Iterable[str]) -> None:
        """Makes those that are missing, by the batch."""
        new = [text for text in dict.fromkeys(texts) if text and text not in self._known]
        if new:
            made = of_length_one(embedded(self.model, new, progress=self.progress))
            self._known |= zip(new, made, strict=True)

    def of(self, text: str) -> NDArray:
        """[D], of length one."""
        return self._known[text] if text else np.zeros(self.model.d_model)

    def rows(self, prompt: Sequence[str], texts: Sequence[str]) -> NDArray:
        """[T, 2 D]: of each text, the embedding beside the mean of those of the prompt's parts."""
        self.learn([*prompt, *texts])
        prompt_D = np.mean([self.of(part) for part in prompt], axis=0)
        answer_TD = np.array([self.of(text) for text in texts]).reshape(-1, len(prompt_D))
        return np.concatenate([np.tile(prompt_D, (len(texts), 1)), answer_TD], axis=1)


def _span(text: str, offsets: Sequence[tuple[int, int]], end: int) -> str:
    """The last tokens of the first `end`."""
    return text[offsets[max(0, end - SPAN)][0] : offsets[end - 1][1]] if end else ""


def _offsets(model: LocalModel, text: str) -> list[tuple[int, int]]:
    read = model.tokenizer(text, add_special_tokens=False, return_offsets_mapping=True)
    return read["offset_mapping"]
