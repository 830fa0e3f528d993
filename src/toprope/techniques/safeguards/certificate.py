"""Erase-and-check: what can be proved of a filter on prompts (Kumar et al. 2023, arXiv 2309.02705).

The filter is asked about the prompt and about the prompt without its last token, without its last
two, and so on to `most`; it's stopped if any of them is. Whatever suffix of up to `most` tokens is
appended to a harmful prompt that the filter stops as it stands, one of those prompts is the harmful
one itself: it is stopped, and that is certain. What it costs is `most` + 1 readings, and more
refusals of harmless prompts, which have as many chances to be stopped.

Only suffixes are covered, of tokens of the reader, and only the wording that was certified: nothing
is proved of paraphrases, framings or what comes before the prompt.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from toprope.models.local import LocalModel
from toprope.progress import Progress
from toprope.techniques.safeguards.exchanges import Exchange
from toprope.techniques.safeguards.reading import Reader
from toprope.techniques.safeguards.streaming import StreamingHead


def erased(model: LocalModel, exchange: Exchange, most: int) -> list[Exchange]:
    """The exchange, and the same with the last 1 .. `most` tokens of its last message erased, as
    long as some are left."""
    *before, last = exchange.messages
    tokens = model.continuation(last["content"]) if last["content"] else []
    found = [exchange]
    for gone in range(1, min(most, len(tokens) - 1) + 1):
        text = model.tokenizer.decode(tokens[:-gone])
        found.append(replace(exchange, messages=(*before, {**last, "content": text})))
    return found


def highest(
    reader: Reader,
    head: StreamingHead,
    exchanges: Sequence[Exchange],
    most: int,
    *,
    progress: Progress | None = None,
) -> NDArray:
    """[N]: the largest score of each prompt and its erasures: stopped where it is at or above the
    stage's threshold.

    Args:
        reader: of a stage that sees the prompt alone.
    """
    versions = [erased(reader.model, one, most) for one in exchanges]
    readings = reader.read([one for some in versions for one in some], progress=progress)
    scores = iter(head.highest(reading.x_TF) for reading in readings)
    return np.array([max(next(scores) for _ in some) for some in versions])
