"""A capture as what several processes train on: each opens it, and draws the same batches."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import Tensor

from toprope.data.seeding import named_rng
from toprope.techniques.interpretability.activations.batches import MEMORY_BYTES, batches
from toprope.techniques.interpretability.activations.captured import open_capture
from toprope.techniques.interpretability.activations.settings import Scaling
from toprope.techniques.interpretability.dictionaries.dictionary import Origin
from toprope.techniques.interpretability.dictionaries.topk import TopKSettings
from toprope.techniques.interpretability.scale.sharded import Work
from toprope.techniques.interpretability.training import TrainingSettings


@dataclass(frozen=True)
class CaptureBatches:
    """Called with a number, it gives the batches after the first so many; what it is made of can be
    sent to another process.

    Attributes:
        size: rows of a batch, over all groups.
        memory: bytes of each process's buffer.
    """

    folder: Path
    layer: int
    size: int
    seed: int = 0
    epochs: int | None = 1
    memory: int = MEMORY_BYTES
    scaling: Scaling = "channel"

    def __call__(self, skip: int) -> Iterator[Tensor]:
        return batches(
            open_capture(self.folder, self.scaling),
            self.layer,
            self.size,
            named_rng(self.seed, "batches"),
            skip=skip,
            epochs=self.epochs,
            memory=self.memory,
        )


def work_on(
    source: CaptureBatches,
    settings: TopKSettings,
    training: TrainingSettings,
    *,
    shards: int,
    **more: Any,
) -> Work:
    """A dictionary of the capture's layer.

    Args:
        more: of `Work`.

    Raises:
        UserError: there is no such capture, or it doesn't have the layer.
    """
    capture = open_capture(source.folder, source.scaling)
    layer, about = capture.layer(source.layer), capture.about.source
    origin = Origin(
        model=about.model,
        layer=source.layer,
        dtype=about.dtype,
        corpus=about.corpus_fingerprint,
    )
    return Work(
        settings=settings,
        training=training,
        source=source,
        shards=shards,
        origin=origin,
        mean_D=layer.mean_D,
        scale_D=layer.scale_D,
        **more,
    )
