"""What the making of a guard says, as evidence: how well its classifiers tell the sources that were
left out, and what came through in each round."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from toprope.evidence import Evidence
from toprope.techniques.safeguards.loop import Loop
from toprope.techniques.safeguards.measures import GuardMeasures
from toprope.techniques.safeguards.training import wanted


def evidence(loop: Loop, measures: GuardMeasures) -> Iterator[Evidence]:
    groups = [f"{one.origin}/{one.group}" for one in loop.exchanges]
    for name, one in loop.trainer.classifiers.items():
        labels_N = wanted(one.reader, loop.exchanges)
        yield measures.left_out(name, one.left_out_N, labels_N, groups)
    for number, (tried, through) in enumerate(loop.rounds, 1):
        yield measures.share(
            f"round {number}",
            "came_through",
            np.arange(tried) < through,
            controls={},
            notes=f"{through} of {tried} attempts on the training side, the guard in place",
            better="lower",
        )
