"""Labels again, from other windows and in other words."""

import asyncio

import numpy as np

from toprope.techniques.interpretability.labels.explainer import Explainer
from toprope.techniques.interpretability.labels.restating import restated
from toprope.techniques.interpretability.use.unembedding import OutputSide, TokenEffect

WORDS = {0: "climb", 1: "stitch", 2: "paint", 3: "sail"}


class Letters:
    """An embedder by which texts that share their first letter are the same."""

    async def of(self, texts) -> np.ndarray:
        x_ND = np.zeros((len(texts), 128))
        x_ND[np.arange(len(texts)), [ord(text[0]) for text in texts]] = 1
        return x_ND


def test_labels_are_held_against_their_like_and_those_of_other_latents(scripted, latent) -> None:
    def answer(question: str) -> str:
        word = next(word for word in WORDS.values() if word in question)
        return (
            "label: something else" if "Piece" in question and word == "sail" else f"label: {word}"
        )

    chat = scripted(answer)
    examples = {number: latent(number, word) for number, word in WORDS.items()}
    sides = {n: OutputSide(n, [TokenEffect(1, f" out{n}", 5.0)], []) for n in WORDS}
    explainer = Explainer(chat, outputs=sides, effects=dict.fromkeys(WORDS, "it sings"))
    found = asyncio.run(
        restated(explainer, WORDS, examples.__getitem__, Letters(), rng=np.random.default_rng(0))  # type: ignore[arg-type]
    )
    assert found.reseeded is not None
    assert found.reseeded.cosines == {0: 1.0, 1: 1.0, 2: 1.0, 3: 1.0}
    assert found.paraphrased is not None
    assert found.paraphrased.same.value == 1.0
    # "stitch", "sail" and "something else" begin alike.
    assert 0 < found.reseeded.different.value < 1
    explained = [one for one in chat.asked if "Piece" in one]
    assert len(explained) == 2 * len(WORDS)
    assert len(set(explained)) == len(explained)  # other windows each time
    # What the first labels were written from, besides windows.
    assert all("it sings" in one for one in explained)
    assert all(sum(f'"out{n}"' in one for one in explained) == 2 for n in WORDS)
    first = {explainer.asked(one) for one in examples.values()}
    assert not first & set(explained)


def test_without_second_labels_nothing_is_measured(scripted, latent) -> None:
    examples = {number: latent(number, word) for number, word in WORDS.items()}
    found = asyncio.run(
        restated(
            Explainer(scripted(lambda question: "")),
            WORDS,
            examples.__getitem__,
            Letters(),  # type: ignore[arg-type]
            rng=np.random.default_rng(0),
        )
    )
    assert found.reseeded is None
    assert found.paraphrased is None
