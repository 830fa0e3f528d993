"""Erase-and-check: what can be proved of a filter on prompts (Kumar et al. 2023, arXiv 2309.02705).

The paper erases tokens. A suffix may join the prompt's last token with its own first, though, and
then no erasing of tokens gives the prompt back: nothing would be proved. So words are erased: what
white space parts.

The filter is asked about the prompt without the white space at its end, and about that without its
last word and the white space before it, without its last two, and so on to `most`, as long as a
word is left; the prompt is stopped if any of them is.

*Proved.* Let the filter stop a conversation whose last message is P, which has a word and ends in
one. Then erase-and-check stops the same conversation with P + S as its last message, for every text
S that is empty or begins with white space, and has up to `most` words. For as many words as S has
are erased, and with them the white space before each; what is left is P to the letter, whatever
tokens either is read as.

That holds to within rounding: a model's scores of one text in two batches may differ in the last
digits. What it costs is `most` + 1 readings, and more refusals of harmless prompts, which have as
many chances to be stopped.

Nothing is proved of a suffix that goes on with P's last word, of more words, of paraphrases,
framings or what comes before the prompt, nor under another system prompt or other earlier messages
than those that were certified.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from toprope.progress import Progress
from toprope.techniques.safeguards.exchanges import Exchange
from toprope.techniques.safeguards.reading import Reader
from toprope.techniques.safeguards.streaming import StreamingHead


def erased(exchange: Exchange, most: int) -> list[Exchange]:
    """The exchange, its last message without white space at the end, and the same with the last 1
    .. `most` words erased, as long as one is left."""
    *before, last = exchange.messages
    texts = [last["content"].rstrip()]
    while len(texts) <= most and len(parts := texts[-1].rsplit(maxsplit=1)) > 1:
        texts.append(parts[0])
    return [replace(exchange, messages=(*before, {**last, "content": text})) for text in texts]


def suffixed(
    exchange: Exchange, words: Sequence[str], most: int, rng: np.random.Generator
) -> Exchange:
    """The exchange with `most` words, drawn from those, after its last message."""
    *before, last = exchange.messages
    text = " ".join([last["content"].rstrip(), *rng.choice(words, most)])
    return replace(exchange, messages=(*before, {**last, "content": text}))


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
        exchanges: with the system prompt of the target that is certified, if it has one.
    """
    versions = [erased(one, most) for one in exchanges]
    readings = reader.read([one for some in versions for one in some], progress=progress)
    scores = iter(head.highest(reading.x_TF) for reading in readings)
    return np.array([max(next(scores) for _ in some) for some in versions])
