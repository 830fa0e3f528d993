"""Evidence and a run to report on, with made-up numbers."""

from collections.abc import Callable
from typing import Any

import pytest

from toprope.evidence import Cost, Evidence
from toprope.report.page import Machine, RunInfo

HOW = "confidence, chosen without ground truth by agreement on held-out labels"
NO_GAP = "the gap isn't clear of zero"

# arm: (role, accuracy, low, high)
ACCURACIES = {
    "supervisor": ("control", 0.640, 0.628, 0.652),
    "ceiling": ("control", 0.789, 0.780, 0.797),
    "zero_shot": ("control", 0.553, 0.535, 0.571),
    "random_errors": ("control", 0.751, 0.738, 0.764),
    "ccs": ("control", 0.601, 0.520, 0.670),
    "naive": ("result", 0.688, 0.671, 0.703),
    "confidence": ("result", 0.712, 0.690, 0.731),
    "filtered": ("result", 0.721, 0.708, 0.733),
    "headline": ("result", 0.712, 0.690, 0.731),
}
PGR = {
    "naive": (0.32, 0.20, 0.43),
    "confidence": (0.48, 0.31, 0.60),
    "filtered": (0.54, 0.45, 0.63),
    "headline": (0.48, 0.31, 0.60),
}


def make_row(
    arm: str, metric: str, numbers: tuple[float, float, float] | None, **fields: Any
) -> Evidence:
    """A row of weak-to-strong evidence; `fields` replace the usual ones."""
    value, low, high = numbers or (None, None, None)
    usual = {
        "study": "weak_to_strong",
        "role": "result",
        "n": 10,
        "unit": "seeds",
        "better": "higher",
        "controls": {"supervisor": 0.64, "ceiling": 0.789},
        "overseer": "weak-model",
        "target": "strong-model",
        "dataset": "cities",
        "split": "ab12",
        "seed": 0,
        "truth": "ground_truth",
        "cost": Cost(tokens=1000, seconds=2.0, calls=3),
        "config_hash": "9f3c2e11aa",
    }
    return Evidence(arm=arm, metric=metric, value=value, low=low, high=high, **(usual | fields))


def make_study(*, gap: bool = True, **fields: Any) -> list[Evidence]:
    """All rows of a weak-to-strong study; without a `gap`, none has a PGR."""
    notes = {"headline": HOW}
    rows = [
        make_row(arm, "accuracy", (value, low, high), role=role, notes=notes.get(arm, ""), **fields)
        for arm, (role, value, low, high) in ACCURACIES.items()
    ]
    rows += [
        make_row(arm, "pgr", numbers if gap else None, notes="" if gap else NO_GAP, **fields)
        for arm, numbers in PGR.items()
    ]
    diagnostic = {"role": "diagnostic", "better": "neither", **fields}
    rows += [
        make_row("confidence", "misfit", (0.182, 0.170, 0.195), **diagnostic),
        make_row(
            "confidence", "agreement_where_supervisor_wrong", (0.61, 0.58, 0.64), **diagnostic
        ),
        make_row(
            "confidence", "agreement_where_supervisor_right", (0.92, 0.91, 0.93), **diagnostic
        ),
    ]
    size = (0.149, 0.134, 0.163) if gap else (0.010, -0.010, 0.032)
    return [*rows, make_row("ceiling", "gap", size, **diagnostic)]


@pytest.fixture(scope="session")
def row() -> Callable[..., Evidence]:
    return make_row


@pytest.fixture(scope="session")
def study() -> Callable[..., list[Evidence]]:
    return make_study


@pytest.fixture(scope="session")
def run_info() -> RunInfo:
    return RunInfo(
        name="quickstart",
        created="2026-05-02 14:31 UTC",
        seed=0,
        toprope_version="0.1.0",
        machine=Machine(cpu="A CPU", cores=2, python="3.11.9", torch="2.13.0"),
        command="toprope climb config.yaml",
        config_yaml="name: quickstart\nseed: 0\n",
        cost=Cost(tokens=184_230, seconds=312, calls=4000),
        studies=[("weak_to_strong", 312.4)],
    )
