"""Exchanges and guards on a tiny model."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from toprope.models.local import LocalModel
from toprope.statistics import Interval
from toprope.techniques.redteam.judges.calibration import Agreement, Calibration
from toprope.techniques.safeguards.exchanges import Exchange
from toprope.techniques.safeguards.guard import About, Guard, Stage
from toprope.techniques.safeguards.measures import GuardMeasures
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


@pytest.fixture
def measures() -> GuardMeasures:
    """By judges that are never wrong."""
    some = Interval(0.5, 0.4, 0.6, 0.95, 10, "by hand")
    agreements = [
        Agreement("set", "f", about, 1000, 0, 1000, 0, 0, some, some, some, some)
        for about in ("harm", "refusal")
    ]
    return GuardMeasures(
        about={
            "study": "safeguards",
            "overseer": "",
            "target": "t",
            "dataset": "d",
            "seed": 0,
            "truth": "model",
            "config_hash": "x",
        },
        calibration=Calibration("j", "1", (agreements[0],)),
        refusals=Calibration("r", "1", (agreements[1],)),
        rng=np.random.default_rng(0),
        resamples=1000,
    )
