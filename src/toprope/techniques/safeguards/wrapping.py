"""A local model with a guard on its own states: a probe that watches while the model answers.

It costs nothing but the probe, since the states are there anyway. The answer ends at the token at
which the guard stops it: no other is generated.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from toprope.errors import UserError
from toprope.models import generation
from toprope.models.generation import Completion, StateWatch
from toprope.models.local import LocalModel
from toprope.progress import Progress
from toprope.techniques.safeguards.guard import Guard
from toprope.techniques.safeguards.reading import features
from toprope.techniques.safeguards.streaming import WINDOW, Monitor


@dataclass(eq=False)
class GuardedModel(LocalModel):
    """A LocalModel whose answers its guard may stop: such a completion is "flagged". Make one with
    `wrap`; for Inspect, `Chat.of(guarded)` or `toprope serve model NAME --guard FOLDER`."""

    guard: Guard

    def complete(
        self, requests: Sequence[generation.Request], *, progress: Progress | None = None
    ) -> list[Completion]:
        watched = [replace(one, watch=_watch(self.guard)) for one in requests]
        return super().complete(watched, progress=progress)


def wrap(model: LocalModel, guard: Guard) -> GuardedModel:
    """
    Raises:
        UserError: the guard was made for other weights, or it reads with another model, or the
            prompt alone.
    """
    if len(guard.about.stages) != 1 or guard.about.stages[0].sees != "exchange":
        names = ", ".join(stage.name for stage in guard.about.stages)
        raise UserError(
            f"this guard is of {names}: what watches a model's own states is a guard of kind "
            "'probe'; put the others in front of a served model with 'toprope serve guard'"
        )
    guard.readers({stage.model: model for stage in guard.about.stages})
    made = GuardedModel(
        model.name, model.module, model.tokenizer, f"{model.fingerprint} {guard.fingerprint}", guard
    )
    made.turn = model.turn
    return made


def _watch(guard: Guard) -> StateWatch:
    """Of one answer."""
    [stage], [head] = guard.about.stages, guard.heads
    monitor = Monitor(head)

    def read(x_TF: np.ndarray) -> bool:
        for x_F in features(x_TF):
            monitor.read(x_F)
        return monitor.highest >= stage.threshold

    return StateWatch(stage.layers, WINDOW, read)
