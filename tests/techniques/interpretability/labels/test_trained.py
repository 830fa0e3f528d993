"""The trained scorer: what it learns of some latents holds for others, never for themselves."""

import asyncio
from collections.abc import Sequence

import numpy as np
import pytest

from toprope.errors import UserError
from toprope.techniques.interpretability.labels.scorers.embedding import Embedder
from toprope.techniques.interpretability.labels.scorers.scorer import Item
from toprope.techniques.interpretability.labels.trained import (
    EmbeddingFeatures,
    StateFeatures,
    crossfit,
    train,
)

WORDS = ["climb", "sing", "paint", "sail", "write", "bake", "swim", "read"]


class Matching:
    """Features of which the first says, noisily, whether the label's word is in the window, and the
    others are noise; one says which latent's word it is, so that a head could learn latents."""

    fingerprint = "0"

    def __init__(self) -> None:
        self.rng = np.random.default_rng(0)
        self.seen: list[str] = []

    async def of(self, label: str, items: Sequence[Item]) -> np.ndarray:
        self.seen.append(label)
        fits = np.array([label in item.window.text for item in items])
        noise = self.rng.normal(size=(len(items), 6))
        return np.concatenate([(fits * 3 + self.rng.normal(size=len(items)))[:, None], noise], 1)


@pytest.fixture
def made(latent):
    """Labels and items of eight latents, each a word; negatives have another one's word."""
    labels = dict(enumerate(WORDS))
    items = {
        number: [
            *(Item(one, True) for one in examples.score),
            *(Item(one, False) for one in examples.hard),
        ]
        for number, word in labels.items()
        for examples in [latent(number, word, WORDS[(number + 1) % 8], each=20)]
    }
    return labels, items


def right(verdicts, items) -> float:
    return np.mean([v.says == i.truth for v, i in zip(verdicts, items, strict=True)]).item()


def test_other_latents_teach_it_what_fitting_means(made, latent) -> None:
    labels, items = made
    some = {number: labels[number] for number in range(6)}
    scorer = asyncio.run(train(Matching(), some, items))

    for number in (6, 7):
        verdicts = asyncio.run(scorer.score(labels[number], items[number]))
        assert right(verdicts, items[number]) > 0.8
        # By another's label nothing fits.
        control = asyncio.run(scorer.score("nothing", items[number]))
        assert right(control, items[number]) == pytest.approx(0.5, abs=0.2)
    with pytest.raises(ValueError, match="was trained on latent 3"):
        scorer.items(latent(3, "sail"), np.random.default_rng(0))
    assert scorer.items(latent(7, "read"), np.random.default_rng(0))


def test_crossfit_scores_every_latent_by_the_others(made) -> None:
    labels, items = made
    others = {number: labels[(number + 3) % 8] for number in labels}
    rng = np.random.default_rng(0)
    found, control = asyncio.run(crossfit(Matching(), labels, items, rng=rng, controls=others))

    assert set(found) == set(control) == set(labels)
    assert np.mean([right(found[number], items[number]) for number in labels]) > 0.8
    assert np.mean([right(control[number], items[number]) for number in labels]) < 0.62


def test_a_latents_own_truth_never_trains_its_head(made) -> None:
    """With one latent's truth turned around, what is said of it stays the same."""
    labels, items = made
    turned = items | {2: [Item(one.window, not one.truth) for one in items[2]]}
    said = [
        asyncio.run(crossfit(Matching(), labels, some, rng=np.random.default_rng(0)))[0]
        for some in (items, turned)
    ]
    assert said[0][2] == said[1][2]
    assert said[0][5] != said[1][5]


def test_too_few_latents_are_told(made) -> None:
    labels, items = made
    few = {number: labels[number] for number in range(3)}
    with pytest.raises(UserError, match="4 labelled latents or more, and there are 3"):
        asyncio.run(train(Matching(), few, items))
    with pytest.raises(UserError, match="there are 3 in all"):
        asyncio.run(crossfit(Matching(), few, items, rng=np.random.default_rng(0)))


def test_features_of_embeddings_and_of_states(tiny_encoder, tiny_model, made) -> None:
    _, items = made
    embedder = Embedder(tiny_encoder)
    x_ND = asyncio.run(EmbeddingFeatures(embedder).of("climb", items[0][:3]))
    u_D, v_D = asyncio.run(embedder.of(["climb", items[0][1].window.text.strip()]))
    assert x_ND[1] == pytest.approx(np.concatenate([[u_D @ v_D], u_D * v_D, abs(u_D - v_D)]))

    states = StateFeatures(tiny_model)
    x_ND = asyncio.run(states.of("climb", items[0][:3]))
    assert x_ND.shape == (3, tiny_model.d_model)
    assert not np.allclose(x_ND[0], asyncio.run(states.of("sing", items[0][:1]))[0])
