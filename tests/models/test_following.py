"""A text read as it grows has the states of reading it whole, also where its tokens changed."""

import numpy as np
import pytest

from toprope.models.following import Following

TEXTS = [
    [[5, 6, 7, 8], [5, 6, 7, 8, 9, 10]],
    [[5, 6, 7, 8], [5, 6, 9], [5, 6, 9, 10, 11]],
    [[5, 6, 7, 8], [9, 6, 7, 8, 5]],
]
"""Growing; the last tokens become others, as when a word goes on; nothing stays."""


@pytest.mark.parametrize("texts", TEXTS)
def test_what_is_new_has_the_states_of_the_whole_text(tiny_model, texts: list[list[int]]) -> None:
    layers = (0, 2)
    following = Following(tiny_model, layers)
    before: list[int] = []
    for tokens in texts:
        start, states_TF = following.read(tokens)
        _, whole_TF = Following(tiny_model, layers).read(tokens)
        assert start == len([1 for i in range(len(before)) if before[: i + 1] == tokens[: i + 1]])
        assert len(states_TF) == len(tokens) - start
        np.testing.assert_allclose(states_TF, whole_TF[start:], rtol=1e-4, atol=1e-5)
        before = tokens
