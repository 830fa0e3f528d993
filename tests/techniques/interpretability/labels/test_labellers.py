"""Labellers without a chat model, the shuffled control, and stability."""

import asyncio
from collections import Counter
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest

from toprope.errors import UserError
from toprope.techniques.interpretability.labels.controls import shuffled
from toprope.techniques.interpretability.labels.floors import PRIOR, TokenStatistics, log_odds
from toprope.techniques.interpretability.labels.stability import stability
from toprope.techniques.interpretability.windows import Window


class Vectors:
    """An embedder with a vector for each text."""

    model = SimpleNamespace(fingerprint="0")

    def __init__(self, known: dict[str, list[float]]) -> None:
        self.known = known

    async def of(self, texts) -> np.ndarray:
        x_ND = np.array([self.known[text] for text in texts])
        return x_ND / np.linalg.norm(x_ND, axis=1, keepdims=True)


# --- floors ---


def test_log_odds_by_the_formula() -> None:
    """Monroe et al. 2008, equations 16, 19 and 22, worked out for one word."""
    fires, background = Counter(a=6, b=4), Counter(a=100, b=700, c=200)
    found = log_odds(fires, background)
    prior = PRIOR * 100 / 1000
    here = np.log((6 + prior) / (10 + PRIOR - 6 - prior))
    there = np.log((100 + prior) / (1000 + PRIOR - 100 - prior))
    assert found["a"] == pytest.approx(
        (here - there) / np.sqrt(1 / (6 + prior) + 1 / (100 + prior))
    )
    assert found["a"] > 0 > found["b"]


def test_token_statistics_names_what_fires_more_than_it_is_read(latent) -> None:
    """`climb` is rare and always fires; ` was`, `and` and the like, behind it, are common words."""
    words = [" climb", " Climb", " the", " rope", " was", " long", " and", " held"]
    examples = SimpleNamespace(
        background_V=np.array([3, 2, 900, 900, 900, 900, 900, 900]),
        pieces=SimpleNamespace(of=lambda ids: tuple(words[i] for i in ids)),
    )
    labeller = TokenStatistics(examples, most=1)  # type: ignore[arg-type]
    found = asyncio.run(labeller.label(latent(7, "climb")))
    assert found.text == 'tokens: "climb"'
    assert labeller.fingerprint(latent(7, "climb")) != labeller.fingerprint(latent(7, "sing"))


def test_a_further_token_is_named_for_the_windows_that_it_adds(latent) -> None:
    """It fires on `climb` and on `sing`, always beside `rock`; neighbours fire beside `rock`."""

    def window(row: int, *said: str, fires: bool = True) -> Window:
        values = (0.0, 1.0, 0.0) if fires else (0.0, 0.0, 0.0)
        kind = "activating" if fires else "hard"
        return Window(row, row, 1, tuple(f" {one}" for one in said), values, kind)

    words = ["climb", "high", "sing", "rock", "fall", "the"]
    fires = [window(i, "rock", ("climb", "sing")[i % 2], "the") for i in range(12)]
    with_high = [window(20 + i, "high", "climb", "rock") for i in range(4)]
    silent = tuple(window(50 + i, "rock", "fall", "the", fires=False) for i in range(12))
    examples = SimpleNamespace(
        background_V=np.array([3, 3, 3, 4, 3, 9000]),
        pieces=SimpleNamespace(of=lambda ids: tuple(f" {words[i]}" for i in ids)),
    )
    seen = replace(latent(1, "x"), top=(), strata=(*fires, *with_high), contrast=silent)
    found = asyncio.run(TokenStatistics(examples).label(seen))  # type: ignore[arg-type]
    assert found.text == 'tokens: "climb", "sing"'
    without = replace(seen, contrast=())
    assert '"rock"' in asyncio.run(TokenStatistics(examples).label(without)).text  # type: ignore[arg-type]


# --- the control ---


def test_every_latent_gets_anothers_label_of_like_rate() -> None:
    labels = {latent: f"label {latent}" for latent in range(100)}
    rates = {latent: 1.1 ** ((latent * 37) % 100) for latent in labels}
    found = shuffled(labels, rates, np.random.default_rng(0))
    owner = {label: latent for latent, label in labels.items()}
    assert set(found) == set(labels)
    for latent, label in found.items():
        assert owner[label] != latent
        # Within eight places of each other in rate.
        assert abs(np.log(rates[owner[label]] / rates[latent])) <= 8 * np.log(1.1)
    assert found != shuffled(labels, rates, np.random.default_rng(1))


def test_labels_that_read_alike_are_no_control() -> None:
    labels = {0: "The", 1: "the ", 2: "the", 3: "the", 4: "a"} | dict.fromkeys(range(5, 12), "the")
    rates = {latent: 0.01 * latent for latent in labels}
    found = shuffled(labels, rates, np.random.default_rng(0))
    assert all(found[latent] == "a" for latent in labels if latent != 4)
    assert found[4].strip().lower() == "the"
    with pytest.raises(UserError, match="two different labels"):
        shuffled({0: "the", 1: "The"}, rates, np.random.default_rng(0))


# --- stability ---


def test_stability_holds_labels_of_one_latent_against_others() -> None:
    vectors = {"a": [1, 0, 0], "a'": [1, 0.2, 0], "b": [0, 1, 0], "c": [0, 0, 1], "c'": [0, 0.1, 1]}
    labels = {1: ["a", "a'"], 2: ["b", "a"], 3: ["c", "c'"], 4: ["b"]}
    found = asyncio.run(
        stability(labels, Vectors(vectors), rng=np.random.default_rng(0))  # type: ignore[arg-type]
    )
    close, far = 1 / np.sqrt(1.04), 1 / np.sqrt(1.01)
    assert found.cosines == pytest.approx({1: close, 2: 0.0, 3: far})
    assert found.same.value == pytest.approx((close + 0 + far) / 3)
    assert found.gap.value == pytest.approx(found.same.value - found.different.value)
    assert found.gap.value > 0
    # Nearest to "b" is latent 1's second; to "a" itself latent 2's second, the same text.
    assert found.found.value == pytest.approx(1 / 3)
    assert found.chance == pytest.approx(1 / 5)


def test_stability_needs_two_labels_of_two_latents() -> None:
    with pytest.raises(UserError, match="more seeds"):
        asyncio.run(
            stability({1: ["a", "b"], 2: ["a"]}, Vectors({}), rng=np.random.default_rng(0))  # type: ignore[arg-type]
        )
