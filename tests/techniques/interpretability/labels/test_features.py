"""What the trained scorer reads of a label and windows."""

import asyncio
from dataclasses import replace

import numpy as np
import pytest

from toprope.techniques.interpretability.labels.features import (
    CosineFeatures,
    Joined,
    LexicalFeatures,
    StateFeatures,
    words_of,
)
from toprope.techniques.interpretability.labels.scorers.embedding import Embedder
from toprope.techniques.interpretability.labels.scorers.scorer import Item
from toprope.techniques.interpretability.windows import Window


def item(*tokens: str) -> Item:
    return Item(Window(0, 0, 0, tokens, (0.0,) * len(tokens), "hard"), False)


def of(features, label: str, *items: Item) -> list[list[float]]:
    return asyncio.run(features.of(label, items)).tolist()


@pytest.mark.parametrize(
    ("label", "words"),
    [
        ('tokens: "the", "ing", ","', ["the", "ing", ","]),
        ('tokens: """, "a"', ['"', "a"]),
        ("the word “Not” and other negations", ["not"]),
        ("names of cities, mostly after a comma", ["names", "cities", "mostly", "comma"]),
        ("the", []),
        ("climbing and climbing of ropes", ["climbing", "ropes"]),
    ],
)
def test_what_a_label_names(label: str, words: list[str]) -> None:
    assert words_of(label) == words


def test_lexical_features_by_hand() -> None:
    """Of five words whether each is there, the share that are, whether any is, log(1 + times)."""
    found = of(
        LexicalFeatures(),
        'tokens: "The", "ing", "\u21b5", "new york"',
        item(" the", " climb", "ing", " the", " sing"),
        item("\n", " in", " New", " York"),
        item(" other"),
        item(" cli", "mbed", " thing"),
    )
    assert found == [
        [1, 1, 0, 0, 0, 0.5, 1, pytest.approx(np.log(4))],
        [0, 0, 1, 1, 0, 0.5, 1, pytest.approx(np.log(3))],
        [0, 0, 0, 0, 0, 0, 0, 0],
        [0, 0, 0, 0, 0, 0, 0, 0],
    ]


def test_a_word_that_several_tokens_spell_is_found() -> None:
    (found,) = of(LexicalFeatures(most=1), "climbing", item(" cl", "imb", "ing", " up"))
    assert found == [1, 1, 1, pytest.approx(np.log(2))]
    (none,) = of(LexicalFeatures(most=1), "climb", item(" cl", "imb", "ing", " up"))
    assert none == [0, 0, 0, 0]


def test_features_read_the_text_alone(latent, tiny_encoder) -> None:
    """Not which window it is, of what kind, or where its latent fires."""
    window = latent(7, "climb").score[0]
    other = replace(
        window, row=5, document=6, centre=0, activations=(0.0,) * 6, kind="hard", quantile=None
    )
    features = Joined((CosineFeatures(Embedder(tiny_encoder)), LexicalFeatures()))
    a, b = of(features, "climb", Item(window, True), Item(other, False))
    assert a == b


def test_joined_features_stand_side_by_side(latent, tiny_encoder) -> None:
    embedder = Embedder(tiny_encoder)
    items = [Item(one, True) for one in latent(7, "climb").score[:3]]
    x_ND = asyncio.run(Joined((CosineFeatures(embedder), LexicalFeatures())).of("climb", items))
    u_D, v_D = asyncio.run(embedder.of(["climb", items[1].window.text.strip()]))
    assert x_ND.shape == (3, 9)
    assert x_ND[1, 0] == pytest.approx(u_D @ v_D)
    assert x_ND[1, 1:].tolist() == of(LexicalFeatures(), "climb", items[1])[0]


def test_features_of_states(tiny_model, latent) -> None:
    items = [Item(one, True) for one in latent(7, "climb").score[:3]]
    states = StateFeatures(tiny_model)
    x_ND = asyncio.run(states.of("climb", items))
    assert x_ND.shape == (3, tiny_model.d_model)
    assert not np.allclose(x_ND[0], asyncio.run(states.of("sing", items[:1]))[0])
