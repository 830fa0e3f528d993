"""A chat model with a script, and latents that each fire on one word."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import pytest

from toprope.models.chat import Reply
from toprope.techniques.interpretability.examples import EDGES, LatentExamples
from toprope.techniques.interpretability.windows import Kind, Window

FILLER = ("the", "rope", "was", "long", "and", "held")


class Scripted:
    """Answers by a function of the question; a Reply or a text."""

    name, fingerprint = "scripted", "0"

    def __init__(self, answer: Callable[[str], str | Reply]) -> None:
        self.answer = answer
        self.asked: list[str] = []
        self.settings: list[dict[str, Any]] = []

    async def ask(self, messages: Sequence[Mapping[str, str]], **settings: Any) -> Reply:
        question = messages[-1]["content"]
        self.asked.append(question)
        self.settings.append(settings)
        answer = self.answer(question)
        if isinstance(answer, Reply):
            return answer
        return Reply(answer, "answered" if answer.strip() else "empty", tokens=3)


@pytest.fixture
def scripted() -> type[Scripted]:
    return Scripted


def window(word: str, row: int, kind: Kind = "activating", peak: float = 4.0) -> Window:
    """Six tokens, the third the word; the latent fires on it, and half as much behind it."""
    said = [FILLER[(row + i) % len(FILLER)] for i in range(6)]
    said[2] = word
    values = (0.0, 0.0, peak, peak / 2, 0.0, 0.0) if kind == "activating" else (0.0,) * 6
    quantile = row % 4 if kind == "activating" else None
    return Window(row, row, 2, tuple(f" {one}" for one in said), values, kind, quantile)


@pytest.fixture
def latent() -> Callable[..., LatentExamples]:
    """A latent that fires on a word; its negatives have another one there."""

    def make(number: int, word: str, other: str = "ground", *, each: int = 8, firings: int = 100):
        base = 1000 * number
        fires = [window(word, base + i, peak=1.0 + i % 4) for i in range(3 * each)]
        score = sorted(fires[2 * each :], key=lambda one: one.peak)
        return LatentExamples(
            latent=number,
            rows=10_000,
            firings=firings,
            peaks=3 * each,
            highest=4.0,
            mean=2.0,
            histogram=(0,) * (len(EDGES) - 1),
            top=tuple(sorted(fires[:each], key=lambda one: -one.peak)),
            strata=tuple(fires[each : 2 * each]),
            score=tuple(score),
            hard=tuple(window(other, base + 500 + i, "hard") for i in range(each)),
            random=tuple(window("sky", base + 700 + i, "random") for i in range(each)),
        )

    return make
