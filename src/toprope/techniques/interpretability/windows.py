"""Windows: stretches of tokens around the one on which a latent peaks, and how they are written.

A window is what an explainer and a scorer see of a text. What a token says is found from the
tokenizer a token at a time, so that activations stay with their tokens; characters that several
tokens share (an emoji's bytes) are written at the first of these.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

Kind = Literal["activating", "hard", "random"]
"""activating: the latent fires; hard: it's silent, and a latent whose decoder direction is near to
its own fires; random: it's silent, drawn from all rows."""

UNFINISHED = "\ufffd"
"""What a decoder writes for bytes that are no whole character."""


@dataclass(frozen=True)
class Window:
    """Tokens of one document around a row of a capture.

    Attributes:
        row: of the capture, which the window is around: where the latent peaks, or for a hard
            negative where its neighbour does.
        centre: which of the tokens that is.
        tokens: what each token says; joined they are the text.
        activations: the latent's, a token each; all zero in a negative.
        quantile: of the peak among the latent's peaks, from 0, the weakest; None where the window
            isn't from a stratified sample.
    """

    row: int
    document: int
    centre: int
    tokens: tuple[str, ...]
    activations: tuple[float, ...]
    kind: Kind
    quantile: int | None = None

    @property
    def text(self) -> str:
        return "".join(self.tokens)

    @property
    def peak(self) -> float:
        return max(self.activations)

    @property
    def active(self) -> tuple[int, ...]:
        """Which tokens the latent fires on."""
        return tuple(i for i, value in enumerate(self.activations) if value > 0)

    def marked(self, places: Iterable[int], marks: tuple[str, str] = ("<<", ">>")) -> str:
        """The text with tokens in delimiters; what stands side by side shares a pair of them."""
        chosen = set(places)
        before, after = marks
        parts = []
        for i, token in enumerate(self.tokens):
            opens = before if i in chosen and i - 1 not in chosen else ""
            closes = after if i in chosen and i + 1 not in chosen else ""
            # A token's leading space stays outside, so that the text reads as it would without.
            space = token[: len(token) - len(token.lstrip(" "))] if opens else ""
            parts.append(f"{space}{opens}{token[len(space) :]}{closes}")
        return "".join(parts)


class Pieces:
    """What each token of a tokenizer says, remembered."""

    def __init__(self, tokenizer: Any) -> None:
        self._tokenizer = tokenizer
        self._known: dict[int, str] = {}
        # Some tokenizers drop the space before a text's first word: each token is read behind one.
        self._anchor: list[int] = list(tokenizer("a", add_special_tokens=False).input_ids)
        self._lead = len(self._decode(self._anchor))

    def of(self, ids: Sequence[int] | np.ndarray) -> tuple[str, ...]:
        """A text for each token."""
        tokens = [int(one) for one in ids]
        said = [self._one(token) for token in tokens]
        start = 0
        while start < len(said):
            if UNFINISHED not in said[start]:
                start += 1
                continue
            stop = start
            while stop < len(said) and UNFINISHED in said[stop]:
                stop += 1
            said[start] = self._behind_anchor(tokens[start:stop])
            said[start + 1 : stop] = [""] * (stop - start - 1)
            start = stop
        return tuple(said)

    def _one(self, token: int) -> str:
        if token not in self._known:
            self._known[token] = self._behind_anchor([token])
        return self._known[token]

    def _behind_anchor(self, ids: Sequence[int]) -> str:
        return self._decode([*self._anchor, *ids])[self._lead :]

    def _decode(self, ids: Sequence[int]) -> str:
        return self._tokenizer.decode(
            list(ids), skip_special_tokens=False, clean_up_tokenization_spaces=False
        )
