"""A model with its learned weights taken away: the control that a finding about a model's insides
has to beat.

Dictionaries of a randomly weighted transformer are labelled and scored nearly as well as those of a
trained one (Heap et al. 2025, arXiv 2501.17727), so a score says something only beside that.
"""

from __future__ import annotations

import copy
from dataclasses import replace
from hashlib import sha256
from typing import Literal

import numpy as np
import torch
from torch import Tensor

from toprope.models.local import LocalModel

How = Literal["drawn", "permuted"]


@torch.no_grad()
def randomised(
    model: LocalModel, rng: np.random.Generator, *, how: How = "drawn", embeddings: bool = True
) -> LocalModel:
    """A copy of a model, of the same architecture and tokenizer, in whose weights nothing is left
    of what was learned but their size.

    Args:
        how: "drawn": each tensor's weights from the normal distribution with its mean and standard
            deviation (Heap et al.'s re-randomised models); "permuted": its own weights in another
            order, which keeps their distribution and the tensor's norm.
        embeddings: False leaves the input embeddings as they are learned, and output ones that are
            tied to them.

    Returns:
        The copy; the model stays as it is. Weights that two modules share are shared there too.
    """
    seed = int(rng.integers(2**63))
    generator = torch.Generator().manual_seed(seed)
    module = copy.deepcopy(model.module)
    kept = None if embeddings else module.get_input_embeddings().weight
    for weight in module.parameters():
        if weight is not kept:
            weight.copy_(_anew(weight, generator, how))
    settings = f"{model.fingerprint}/{how}/{seed}/{embeddings}"
    return replace(
        model,
        name=f"{model.name} ({how} at random)",
        module=module,
        fingerprint=sha256(settings.encode()).hexdigest(),
    )


def _anew(weight: Tensor, generator: torch.Generator, how: How) -> Tensor:
    """On the CPU, so that the same seed gives the same weights on any device."""
    if how == "permuted":
        order = torch.randperm(weight.numel(), generator=generator)
        return weight.cpu().flatten()[order].view_as(weight)
    known = weight.float().cpu()
    spread = known.std(correction=0)
    return torch.randn(weight.shape, generator=generator) * spread + known.mean()
