"""The trained scorer: what it learns of some latents holds for others, never for themselves."""

import asyncio
from collections.abc import Sequence

import numpy as np
import pytest

from toprope.errors import UserError
from toprope.techniques.interpretability.labels.crossfitted import with_trained
from toprope.techniques.interpretability.labels.labeller import Label
from toprope.techniques.interpretability.labels.labelling import Labelled
from toprope.techniques.interpretability.labels.scorers.scorer import Item
from toprope.techniques.interpretability.labels.trained import crossfit

WORDS = ["climb", "sing", "paint", "sail", "write", "bake", "swim", "read"]


class Matching:
    """Features of which the first says, noisily, whether the label's word is in the window, and the
    others are noise."""

    def __init__(self) -> None:
        self.rng = np.random.default_rng(0)

    async def of(self, label: str, items: Sequence[Item]) -> np.ndarray:
        fits = np.array([label in item.window.text for item in items])
        noise = self.rng.normal(size=(len(items), 6))
        return np.concatenate([(fits * 3 + self.rng.normal(size=len(items)))[:, None], noise], 1)


class Cued:
    """Whether the label's word is in the window, and what the window tells by itself: of every
    seventh the wrong thing."""

    async def of(self, label: str, items: Sequence[Item]) -> np.ndarray:
        fits = [label in item.window.text for item in items]
        rows = [item.window.row % 1000 for item in items]
        told = [(row < 500) != (row % 7 == 0) for row in rows]
        return np.array([fits, told], dtype=float).T


@pytest.fixture
def examples(latent):
    """Eight latents, each of a word; negatives have another one's word."""
    return {
        number: latent(number, word, WORDS[(number + 1) % 8], each=20)
        for number, word in enumerate(WORDS)
    }


@pytest.fixture
def made(examples):
    """Their labels and items."""
    items = {
        number: [
            *(Item(one, True) for one in seen.score),
            *(Item(one, False) for one in seen.hard),
        ]
        for number, seen in examples.items()
    }
    return dict(enumerate(WORDS)), items


def fit(features, labels, items):
    return asyncio.run(crossfit(features, labels, items, rng=np.random.default_rng(0)))


def right(verdicts, items) -> float:
    return np.mean([v.says == i.truth for v, i in zip(verdicts, items, strict=True)]).item()


def test_crossfit_scores_every_latent_by_the_others(made) -> None:
    labels, items = made
    found = fit(Matching(), labels, items)
    others = fit(Matching(), {number: labels[(number + 3) % 8] for number in labels}, items)

    assert set(found) == set(labels)
    assert np.mean([right(found[number], items[number]) for number in labels]) > 0.8
    assert np.mean([right(others[number], items[number]) for number in labels]) < 0.62


def test_a_latents_own_truth_never_trains_its_head(made) -> None:
    """With one latent's truth turned around, what is said of it stays the same."""
    labels, items = made
    turned = items | {2: [Item(one.window, not one.truth) for one in items[2]]}
    said = [fit(Matching(), labels, some) for some in (items, turned)]
    assert said[0][2] == said[1][2]
    assert said[0][5] != said[1][5]


def test_the_control_uses_what_windows_give_away(examples) -> None:
    """By heads that learned from true labels it would say no to everything, and be at chance."""
    labels = {number: Label(word) for number, word in enumerate(WORDS)}
    labelled = Labelled(
        labeller="",
        labels=labels,
        unscored={},
        scores={},
        controls={},
        controlled_by={number: WORDS[(number + 3) % 8] for number in labels},
        outcomes={},
        seconds=1.0,
        done=8,
    )
    found = asyncio.run(with_trained(labelled, "trained", Cued(), examples.__getitem__, seed=0))
    assert all(one.value.value == 1 for one in found.scores["trained"].values())
    control = [one.value.value for one in found.controls["trained"].values()]
    assert len(control) == 8
    assert np.mean(control) == pytest.approx(6 / 7, abs=0.03)


def test_too_few_latents_are_told(made) -> None:
    labels, items = made
    with pytest.raises(UserError, match="4 labelled latents to score another, and there are 3"):
        fit(Matching(), {number: labels[number] for number in range(3)}, items)
