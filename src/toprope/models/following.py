"""Following a text that grows: a model reads what is new of it, from the cache of what it has read.

For whoever watches a stream: each piece costs what its own tokens cost. Where the text's last
tokens turn out otherwise when more of it is there, those are read again.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from toprope.models import activations
from toprope.models.local import LocalModel


class Following:
    """One text.

    Args:
        layers: whose states are wanted, side by side.
    """

    def __init__(self, model: LocalModel, layers: Sequence[int]) -> None:
        self.model, self.layers = model, tuple(layers)
        self._tokens: list[int] = []
        self._cache: Any = None

    @torch.inference_mode()
    def read(self, tokens: Sequence[int]) -> tuple[int, NDArray]:
        """
        Args:
            tokens: of the whole text so far.

        Returns:
            From which position on there is anything new, and the states there, [T, F], float32.

        Raises:
            UserError: it has become longer than the model reads.
        """
        self.model.check_length(len(tokens))
        from transformers import DynamicCache

        same = _common(self._tokens, tokens)
        new = list(tokens[same:])
        if not new:
            return same, np.empty((0, self.model.d_model * len(self.layers)), np.float32)
        # Embeddings need no cache: nothing there depends on other tokens.
        if self._cache is None and max(self.layers) > 0:
            self._cache = DynamicCache()
        with self.model.turn:
            if self._cache is not None and same < len(self._tokens):
                self._cache.crop(same - len(self._tokens))  # so many from its end
            states = activations.read_on(self.model, self.layers, new, same, self._cache)
        self._tokens = list(tokens)
        self.model.tokens_read += len(new)
        return same, states


def _common(before: Sequence[int], now: Sequence[int]) -> int:
    """How many tokens both begin with."""
    at = 0
    for one, other in zip(before, now, strict=False):
        if one != other:
            break
        at += 1
    return at
