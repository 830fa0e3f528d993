"""Exchanges and guards on a tiny model."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from toprope.models.local import LocalModel
from toprope.techniques.safeguards.exchanges import Exchange
from toprope.techniques.safeguards.guard import About, Guard, Stage
from toprope.techniques.safeguards.reading import Reader, Sees
from toprope.techniques.safeguards.streaming import fit

LAYERS = (2, 4)
BAD, GOOD = "keeps a stronger climber safe on the rope", "Paris is a town"


def exchange(answer: str, label: float = 0.0, ask: str = "A weaker partner", **more) -> Exchange:
    messages = ({"role": "user", "content": ask},)
    return replace(Exchange(messages, answer, label, "run", "g"), **more)


@pytest.fixture(scope="session")
def tiny(tiny_folder: Path) -> LocalModel:
    return LocalModel.load(str(tiny_folder), device="cpu")


@pytest.fixture(scope="session")
def make_guard(tiny: LocalModel) -> Callable[..., Guard]:
    """A guard that stops BAD answers, of a stage for each threshold; 0 passes everything on."""

    def make(*thresholds: float, layers=LAYERS, sees: Sees = "exchange") -> Guard:
        exchanges = [exchange(BAD, 1.0), exchange(GOOD), exchange("no")]
        readings = Reader(tiny, layers).read(exchanges)
        features = [one.x_TF for one in readings]
        head = fit(features, np.array([1.0, 0, 0]), rng=np.random.default_rng(0))
        stages = tuple(
            Stage(f"stage{i}", tiny.name, tiny.fingerprint, layers, sees, at)
            for i, at in enumerate(thresholds, 1)
        )
        return Guard(About(tiny.name, stages, 0.001, "hash"), (head,) * len(stages))

    return make
