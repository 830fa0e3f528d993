"""Planted sentences and fillers -> one document of about so many words."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from toprope.techniques.debate.passages.scene import Scene, listed
from toprope.techniques.debate.passages.telling import Planted

SIDE_BY_SIDE = 0.02
"""The share of a document in which the sentences of an easy question lie."""
PARAGRAPH = (3, 7)
"""A paragraph has 3 to 6 sentences."""


@dataclass(frozen=True)
class Document:
    """
    Attributes:
        text: paragraphs, with an empty line between.
        distances: for each question, the words from the first sentence that proves it to the last.
    """

    text: str
    distances: tuple[int, ...]


def arranged(
    scene: Scene, planted: Sequence[Planted], difficulties: Sequence[int], words: int
) -> Document:
    """The document: a title, an opening, then everything in an order that the difficulty decides.

    The sentences of an easy question (1, 2) are side by side, those of difficulty 3 anywhere, those
    of 4 spread over the whole.
    """
    placed: list[tuple[float, str]] = []
    for one, difficulty in zip(planted, difficulties, strict=True):
        texts = [told.text for told in one.sentences]
        placed += zip(_places(len(texts), difficulty, scene.rng), texts, strict=True)
    length = least_words(scene, planted)
    fillers = []
    people = scene.extras()
    while length < words:
        fillers.append(_filler(scene, people))
        length += len(fillers[-1].split())
    placed += zip(scene.rng.random(len(fillers)), fillers, strict=True)
    body = [text for _, text in sorted(placed)]
    sentences = [_opening(scene), *body]
    distances = tuple(_distance(sentences, one) for one in planted)
    return Document("\n\n".join([scene.title, *_paragraphs(sentences, scene.rng)]), distances)


def least_words(scene: Scene, planted: Sequence[Planted]) -> int:
    """The words of a document without fillers, its title aside."""
    texts = [_opening(scene), *(told.text for one in planted for told in one.sentences)]
    return sum(len(text.split()) for text in texts)


def _opening(scene: Scene) -> str:
    return scene.domain.opening.format(entities=listed(scene.entities))


def _places(n: int, difficulty: int, rng: np.random.Generator) -> np.ndarray:
    """Where each of a question's sentences goes, from 0 to 1: float [n]."""
    if difficulty <= 2:
        return rng.random() + SIDE_BY_SIDE * rng.random(n)
    if difficulty == 3:
        return rng.random(n)
    return (rng.permutation(n) + rng.random(n)) / n


def _filler(scene: Scene, people: Sequence[str]) -> str:
    words = scene.common.words
    person, other = (people[i] for i in scene.rng.choice(len(people), size=2, replace=False))
    good, second = (words["good"][i] for i in scene.rng.choice(len(words["good"]), 2, False))
    slots = {key: scene.pick(words[key]) for key in ("weather", "manner", "room", "thing")}
    return scene.sentence(
        (*scene.domain.fillers, *scene.common.fillers),
        entity=scene.pick(scene.entities),
        person=person,
        other=other,
        month=scene.pick(scene.common.months),
        good=good,
        second_good=second,
        **slots,
    )


def _distance(sentences: Sequence[str], one: Planted) -> int:
    proof = {told.text for told in one.sentences if told.bearing == "proves"}
    at = [i for i, text in enumerate(sentences) if text in proof]
    return sum(len(text.split()) for text in sentences[at[0] : at[-1] + 1])


def _paragraphs(sentences: Sequence[str], rng: np.random.Generator) -> list[str]:
    result, start = [], 0
    while start < len(sentences):
        end = start + int(rng.integers(*PARAGRAPH))
        result.append(" ".join(sentences[start:end]))
        start = end
    return result
