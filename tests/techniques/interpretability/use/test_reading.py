"""A text's latents are those of its tokens."""

from collections.abc import Callable

import numpy as np
import pytest
import torch

from toprope.errors import UserError
from toprope.techniques.interpretability.dictionaries.dictionary import make
from toprope.techniques.interpretability.use.reading import (
    Pool,
    latents_of,
    lengths_of,
    matched,
)


def test_latents_of_a_text_are_those_of_its_tokens_but_the_first(tiny_model, dictionary, texts):
    states = tiny_model.activations(list(texts), [2], pool="none")
    reductions: dict[Pool, Callable] = {
        "max": lambda codes: codes.max(0),
        "mean": lambda codes: codes.mean(0),
        "last": lambda codes: codes[-1],
    }
    for pool, reduce in reductions.items():
        found = latents_of(tiny_model, dictionary, 2, texts, pool=pool)
        for i in range(len(texts)):
            raw = torch.tensor(states.item(2, i)[1:])
            codes = dictionary.encode(dictionary.standardise(raw)).dense().numpy()
            assert found[i] == pytest.approx(reduce(codes), abs=1e-4)


def test_an_answer_is_read_with_its_prompt(tiny_model, dictionary):
    whole = latents_of(tiny_model, dictionary, 2, ["Is it true? yes"], pool="max")
    parts = latents_of(tiny_model, dictionary, 2, ["Is it true?"], prefills=[" yes"], pool="max")
    assert np.array_equal(whole, parts)


def test_texts_are_read_to_lengths_of_their_own(tiny_model, dictionary, texts):
    lengths = lengths_of(tiny_model, texts)
    assert lengths == [len(tiny_model.tokens(text)) for text in texts]
    assert max(lengths_of(tiny_model, texts, most_tokens=5)) == 5
    assert lengths_of(tiny_model, ["Is it true?"], prefills=[" yes"]) == lengths_of(
        tiny_model, ["Is it true? yes"]
    )
    cut = [4, 7, 100, 5]
    found = latents_of(tiny_model, dictionary, 2, texts, most_tokens=cut)
    for i, most in enumerate(cut):
        alone = latents_of(tiny_model, dictionary, 2, [texts[i]], most_tokens=most)
        assert found[i] == pytest.approx(alone[0], abs=1e-4)


def test_the_mean_over_tokens_is_the_default(tiny_model, dictionary, texts):
    """The highest of more tokens is higher."""
    found = latents_of(tiny_model, dictionary, 2, texts)
    assert np.array_equal(found, latents_of(tiny_model, dictionary, 2, texts, pool="mean"))


def test_sets_are_cut_to_the_same_lengths():
    first, second = matched([30, 5, 12, 9], [7, 40, 10, 11])
    assert (first, second) == ([30, 5, 11, 9], [5, 30, 9, 11])
    # Of sets of different sizes, by the ranks' shares.
    first, second = matched([10] * 3 + [20] * 3, [15, 15])
    assert (first, second) == ([10] * 3 + [15] * 3, [10, 15])


def test_what_cannot_be_read_is_refused(tiny_model, dictionary):
    with pytest.raises(UserError, match="text 2 has one token"):
        latents_of(tiny_model, dictionary, 2, ["Is it true?", "a"])
    other = make({"kind": "topk", "width": 20, "d_model": 16, "active": 2})
    with pytest.raises(UserError, match="16 channels doesn't fit"):
        latents_of(tiny_model, other, 2, ["Is it true?"])
