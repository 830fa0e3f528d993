"""What a consensus dictionary loses: its reconstruction beside that of the seeds, and beside that
of as many latents of one seed, taken at random and refitted alike."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from torch import Tensor

from toprope.progress import Progress
from toprope.techniques.interpretability.dictionaries.dictionary import Dictionary
from toprope.techniques.interpretability.quality.consensus import (
    Consensus,
    ConsensusSettings,
    first_of,
    refit,
    topk,
)
from toprope.techniques.interpretability.quality.measure import Measure, Rows
from toprope.techniques.interpretability.quality.reconstruction import (
    Reconstruction,
    reconstruction,
)


@dataclass(frozen=True)
class Losses:
    """What leaving out features that don't recur costs.

    Attributes:
        seeds: each seed's own reconstruction.
        subset: the control: as many latents of the first seed, at random, refitted alike; all of
            them where the consensus is wider than a seed.
        fvu: of the consensus, beside the subset's.
        above_seeds: the consensus's FVU less the seeds' mean.
        kept: features of the consensus per latent of a seed.
    """

    consensus: Reconstruction
    seeds: list[Reconstruction]
    subset: Reconstruction
    fvu: Measure
    above_seeds: float
    kept: float


def losses(
    consensus: Consensus,
    dictionaries: Sequence[Dictionary],
    batches: Iterable[Tensor],
    held_out: Callable[[], Rows],
    settings: ConsensusSettings | None = None,
    *,
    rng: np.random.Generator,
    progress: Progress | None = None,
) -> Losses:
    """Reconstruction of held-out rows by the consensus, each seed and the control.

    Args:
        batches: training rows to refit the control on, as many as the consensus had.
        held_out: gives the same rows each time it's called.
    """
    made, source = consensus.dictionary, dictionaries[0]
    chosen = np.sort(rng.permutation(source.width)[: made.width])
    control = topk(
        source,
        source.decoder_FD.detach().cpu()[chosen],
        source.encoder_FD.detach().cpu()[chosen],
        source.encoder_bias_F.detach().cpu()[chosen],
        source.decoder_bias_D.detach().cpu(),
        made.settings.active,
    )
    rows = iter(batches)
    first_of(rows)
    refit(control, rows, settings or ConsensusSettings(), progress)

    def measured(one: Dictionary) -> Reconstruction:
        return reconstruction(one, held_out(), rng=rng, progress=progress)

    of_consensus, of_control = measured(made), measured(control)
    of_seeds = [measured(one) for one in dictionaries]
    return Losses(
        consensus=of_consensus,
        seeds=of_seeds,
        subset=of_control,
        fvu=of_consensus.fvu.beside(of_control.fvu),
        above_seeds=of_consensus.fvu.value - float(np.mean([one.fvu.value for one in of_seeds])),
        kept=made.width / source.width,
    )
