"""Reading: what a classifier sees of an exchange: a model's states, position by position.

The positions are those of the answer and, before them, the last `WINDOW` of the prompt: the first
full window is that of the prompt's end, at which the answer's first token is chosen. The model is
the target itself, whose states cost nothing, or any other that reads the same text; of a sentence
encoder, its embeddings take the states' place (`encoding`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from toprope.models.local import LocalModel
from toprope.progress import Progress
from toprope.techniques.safeguards import encoding
from toprope.techniques.safeguards.exchanges import Exchange
from toprope.techniques.safeguards.streaming import WINDOW

Sees = Literal["prompt", "exchange"]

LARGEST = 6e4
"""Features are kept in half precision, which ends at 65,504: some models have a few states beyond
it, all in the first positions or in a few channels."""


@dataclass(frozen=True)
class Reader:
    """A model as a classifier reads with it.

    Attributes:
        layers: whose states are put side by side; an encoder's embeddings are of its last.
        sees: the prompt alone, or the whole exchange.
    """

    model: LocalModel
    layers: tuple[int, ...]
    sees: Sees = "exchange"

    @property
    def width(self) -> int:
        """Features of a position."""
        return self.model.d_model * (len(self.layers) if self.model.is_causal else 2)

    def read(
        self, exchanges: Sequence[Exchange], *, progress: Progress | None = None
    ) -> list[Reading]:
        """
        Raises:
            UserError: a layer that the model doesn't have, or an exchange longer than it reads.
        """
        if self.sees == "prompt":
            exchanges = [replace(one, answer="") for one in exchanges]
        if not self.model.is_causal:
            return _embedded(self.model, exchanges, progress)
        return _states(self, exchanges, progress)

    def tokens(self, one: Exchange) -> int:
        """How many go through the model for an exchange, those that are read again too."""
        if self.model.is_causal:
            return tokens_of(self.model, one)
        texts, _ = encoding.texts(one.answer)
        texts += [*encoding.parts(one.messages), *encoding.rest(one.answer)]
        return sum(len(self.model.tokens(text)) for text in set(texts) - {""})


def tokens_of(model: LocalModel, one: Exchange) -> int:
    """How many an exchange has, to a causal model."""
    return len(model.tokens(list(one.messages), prefill=one.answer))


@dataclass(frozen=True)
class Reading:
    """One exchange as read.

    Attributes:
        x_TF: features of each position, half precision.
        ends_T: how many characters of the answer have been read after each position; 0 in the
            prompt.
    """

    x_TF: NDArray
    ends_T: NDArray


def features(x_TF: NDArray) -> NDArray:
    """States as a head gets them, whoever reads: so that a threshold means the same everywhere."""
    return x_TF.clip(-LARGEST, LARGEST).astype(np.float16)


def of_prompt(reading: Reading) -> Reading:
    """What a reader that sees the prompt alone has of an exchange, from what the same model read of
    all of it: in a causal model a prompt's states don't depend on the answer."""
    return Reading(reading.x_TF[:WINDOW], reading.ends_T[:WINDOW])


def _states(
    reader: Reader, exchanges: Sequence[Exchange], progress: Progress | None
) -> list[Reading]:
    model = reader.model
    found = model.activations(
        [list(one.messages) for one in exchanges],
        reader.layers,
        pool="none",
        prefills=[one.answer for one in exchanges],
        progress=progress,
    )
    readings = []
    for i, one in enumerate(exchanges):
        ends_T = _ends(model, one.messages, one.answer)
        since = max(0, int((ends_T <= 0).sum()) - WINDOW)
        x_TF = np.concatenate([found.item(n, i)[since:] for n in reader.layers], axis=1)
        readings.append(Reading(features(x_TF), ends_T[since:].clip(min=0)))
    return readings


def _embedded(
    model: LocalModel, exchanges: Sequence[Exchange], progress: Progress | None
) -> list[Reading]:
    known = encoding.Embeddings(model, progress)
    read = []
    for one in exchanges:
        texts, ends = encoding.texts(one.answer)
        rest = encoding.rest(one.answer)
        ends_T = np.array([0] * WINDOW + ends + ends[-1:] * len(rest))
        read.append((encoding.parts(one.messages), [""] * WINDOW + texts + rest, ends_T))
    known.learn(text for prompt, texts, _ in read for text in (*prompt, *texts))
    return [Reading(features(known.rows(prompt, texts)), ends) for prompt, texts, ends in read]


def _ends(model: LocalModel, prompt: Sequence, answer: str) -> NDArray:
    """[T]: where each token of the rendered exchange ends, in characters of the answer."""
    text = model.render(prompt, prefill=answer)
    read = model.tokenizer(text, add_special_tokens=False, return_offsets_mapping=True)
    return np.array([end for _, end in read["offset_mapping"]]) - (len(text) - len(answer))
