"""What the making of a guard says, as evidence: how well its classifiers tell the sources that were
left out, and what came through in each round."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from toprope.evidence import Evidence
from toprope.techniques.safeguards.loop import Loop
from toprope.techniques.safeguards.measures import GuardMeasures
from toprope.techniques.safeguards.training import counted, wanted


def evidence(loop: Loop, measures: GuardMeasures) -> Iterator[Evidence]:
    groups_N = np.array([f"{one.origin}/{one.group}" for one in loop.exchanges])
    for name, one in loop.trainer.classifiers.items():
        # As its strength was chosen.
        counted_N = counted(one.reader, loop.exchanges)
        labels_N = wanted(one.reader, loop.exchanges)
        yield measures.left_out(
            name,
            one.left_out_N[counted_N],
            labels_N[counted_N],
            groups_N[counted_N].tolist(),
        )
    for number, tried in enumerate(loop.rounds, 1):
        through_N = np.array([success for _, success in tried], bool)
        yield measures.share(
            f"round {number}",
            "came_through",
            through_N,
            [behaviour for behaviour, _ in tried],
            controls={},
            notes=f"{through_N.sum()} of {len(tried)} attempts on the training side, the guard in "
            "place",
            better="lower",
        )
