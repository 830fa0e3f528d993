"""What a sentence encoder sees of an exchange: its embedding of the prompt, and beside it that of
the answer's last words, which it reads anew every few of them.

An encoder's states at a token depend on those that follow, so that it can't go on from what it has
read, as a causal model does. A small one is cheap enough to read a short span again and again.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from toprope.models.embedding import embedded, of_length_one
from toprope.models.local import LocalModel
from toprope.progress import Progress

STRIDE = 4
"""Words of an answer after which it's read again."""

SPAN = 48
"""Of its last words, that are read then."""

LONGEST = 16
"""Characters of a word; a longer one counts as several, which are embedded apart: of a hundred
characters without a space the tokenizer would make one unknown token."""

PART = 128
"""Words of a prompt that are embedded together; of a longer one, the mean over its parts counts:
MiniLM was trained on 256 tokens at most."""

_WORD = re.compile(rf"\S{{1,{LONGEST}}}")


def texts(answer: str, since: int = 0) -> tuple[list[str], list[int]]:
    """What is embedded at each word of an answer, and where each word ends, in characters.

    Of an answer that grows no word but the last changes, whatever comes.

    Args:
        since: words that are left out.
    """
    words = list(_WORD.finditer(answer))
    said = [word.group() for word in words]
    lasts = [STRIDE * (t // STRIDE) for t in range(since + 1, len(words) + 1)]
    return [_span(said, last) for last in lasts], [word.end() for word in words[since:]]


def rest(answer: str) -> list[str]:
    """What is embedded once more of an answer that has ended: its last words."""
    said = _WORD.findall(answer)
    return [_span(said, len(said))] if said else []


def parts(prompt: Sequence[Mapping[str, str]]) -> list[str]:
    """A conversation's text, in parts that are embedded each."""
    said = _WORD.findall("\n".join(message["content"] for message in prompt))
    return [" ".join(said[at : at + PART]) for at in range(0, len(said), PART)] or [""]


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


def _span(said: Sequence[str], last: int) -> str:
    return " ".join(said[max(0, last - SPAN) : last])
