"""A latent's page with everything on it, and the same as an attacker would fill it."""

from collections.abc import Callable
from dataclasses import replace

import pytest

from toprope.statistics import Interval
from toprope.techniques.interpretability.pages import (
    Group,
    Histogram,
    LatentPage,
    Neighbour,
    Recurrence,
    Score,
    Steered,
)
from toprope.techniques.interpretability.windows import Kind, Window

HOSTILE = (
    "<script>window.pwned=1</script>",
    '"><img src=x onerror="window.pwned=1">',
    "' onmouseover='window.pwned=1",
    "</span></style></title><svg onload=window.pwned=1>",
    "{{ 7 * 7 }}{% include 'frame.html' %}",
    "\u202egnp.exe\u2066\x00\x1b[2J\ud800",
    "a-token-without-any-place-to-break-it-" * 8,
)


def make_window(
    tokens: tuple[str, ...],
    activations: tuple[float, ...] | None = None,
    kind: Kind = "activating",
    quantile: int | None = None,
    centre: int = 0,
) -> Window:
    silent = (0.0,) * len(tokens)
    return Window(7, 3, centre, tokens, activations or silent, kind, quantile)


def make_interval(value: float, low: float, high: float) -> Interval:
    return Interval(value, low, high, 0.95, 40, "wilson")


def make_page() -> LatentPage:
    """Every field has a text or number that no other has."""
    return LatentPage(
        latent=1234,
        dictionary="the dictionary",
        highest=8.0,
        label="the label",
        labelled_by="the explainer",
        interpretable=True,
        definition="the definition",
        scores=(
            Score(
                "the scorer",
                make_interval(0.84, 0.78, 0.89),
                (
                    ("the shuffled label", make_interval(0.53, 0.45, 0.60)),
                    ("the floor", make_interval(0.50, 0.42, 0.58)),
                ),
            ),
        ),
        recurrence=Recurrence(0.75, 4, 0.91),
        rate=0.00236,
        histogram=Histogram((1.0, 2.0, 4.0, 8.0), (1000, 100, 10)),
        groups=(
            Group("Strongest", (make_window((" the", " bill"), (0.0, 6.0)),), "the note"),
            Group("Hard negatives", (make_window((" a", " dog"), kind="hard", centre=1),)),
        ),
        neighbours=(Neighbour(77, 0.61, "the neighbour", "latent-77.html"),),
        promoted=((" promoted", 1.9),),
        suppressed=((" suppressed", -1.4),),
        steered=(Steered(2.0, 0.55, 0.05, (" steered",)),),
        corpus="a web crawl",
        index="index.html",
    )


def make_hostile_page() -> LatentPage:
    """All that a corpus, a model or a folder's name can say, said by an attacker."""
    page, script, image = make_page(), HOSTILE[0], HOSTILE[1]
    shown = make_interval(0.8, 0.7, 0.9)
    values = tuple(float(i + 1) for i in range(len(HOSTILE)))
    windows = (make_window(HOSTILE, values), make_window(HOSTILE, kind="hard"))
    return replace(
        page,
        dictionary=image,
        label=script,
        labelled_by=image,
        definition=script,
        corpus=image,
        scores=tuple(Score(text, shown, ((text, shown),)) for text in HOSTILE),
        groups=tuple(Group(text, windows, text) for text in HOSTILE),
        neighbours=tuple(Neighbour(1, 0.5, text) for text in HOSTILE),
        promoted=tuple((text, 1.0) for text in HOSTILE),
        suppressed=tuple((text, -1.0) for text in HOSTILE),
        steered=(Steered(1.0, 0.1, 0.0, HOSTILE),),
    )


@pytest.fixture(scope="session")
def hostile() -> tuple[str, ...]:
    return HOSTILE


@pytest.fixture(scope="session")
def window() -> Callable[..., Window]:
    return make_window


@pytest.fixture(scope="session")
def interval() -> Callable[[float, float, float], Interval]:
    return make_interval


@pytest.fixture(scope="session")
def page() -> LatentPage:
    return make_page()


@pytest.fixture(scope="session")
def hostile_page() -> LatentPage:
    return make_hostile_page()
