"""Reading: what a classifier sees of an exchange: a model's states, position by position.

The positions are those of the answer and, before them, the last `WINDOW` of the prompt: the first
full window is that of the prompt's end, at which the answer's first token is chosen. The model is
the target itself, whose states cost nothing, or any other that reads the same text.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from toprope.models.local import LocalModel
from toprope.progress import Progress
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
        layers: whose states are put side by side.
        sees: the prompt alone, or the whole exchange.
    """

    model: LocalModel
    layers: tuple[int, ...]
    sees: Sees = "exchange"

    def read(
        self, exchanges: Sequence[Exchange], *, progress: Progress | None = None
    ) -> list[Reading]:
        """
        Raises:
            UserError: a layer that the model doesn't have, or an exchange longer than it reads.
        """
        if self.sees == "prompt":
            exchanges = [replace(one, answer="") for one in exchanges]
        prompts = [list(one.messages) for one in exchanges]
        answers = [one.answer for one in exchanges]
        found = self.model.activations(
            prompts,  # type: ignore[arg-type]
            self.layers,
            pool="none",
            prefills=answers,
            progress=progress,
        )
        readings = []
        for i, (prompt, answer) in enumerate(zip(prompts, answers, strict=True)):
            ends_T = _ends(self.model, prompt, answer)
            since = max(0, int((ends_T <= 0).sum()) - WINDOW)
            x_TF = np.concatenate([found.item(n, i)[since:] for n in self.layers], axis=1)
            readings.append(Reading(features(x_TF), ends_T[since:].clip(min=0)))
        return readings


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


def _ends(model: LocalModel, prompt: Sequence, answer: str) -> NDArray:
    """[T]: where each token of the rendered exchange ends, in characters of the answer."""
    text = model.render(prompt, prefill=answer)
    read = model.tokenizer(text, add_special_tokens=False, return_offsets_mapping=True)
    return np.array([end for _, end in read["offset_mapping"]]) - (len(text) - len(answer))
