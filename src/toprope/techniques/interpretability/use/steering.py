"""Steering by a latent: its decoder direction is added to the residual stream at every token, at
multiples of its typical maximum (Templeton et al. 2024), and what that does to the model's next
tokens is measured. A transcoder's latents write to its later layer: steer there.

A push of that length in any direction changes something: the control is random directions of the
same norm, drawn like the activations (the standardised ones are isotropic, the model's own aren't).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from toprope.errors import UserError
from toprope.models.batching import batches, right_padded
from toprope.models.local import LocalModel, Prompt
from toprope.progress import Progress
from toprope.techniques.interpretability.dictionaries.dictionary import Dictionary
from toprope.techniques.interpretability.quality.measure import Measure, of_sums
from toprope.techniques.interpretability.quality.raw_units import (
    check_fit,
    check_latent,
    directions,
)
from toprope.techniques.interpretability.use.unembedding import TokenEffect, extremes

MULTIPLES = (-1.0, 0.5, 1.0, 2.0, 4.0)
TOKEN_BUDGET = 512


@dataclass(frozen=True)
class SteeringEffect:
    """The effect at one strength.

    Attributes:
        multiple: of the typical maximum.
        norm: of what was added, in the model's own units.
        kl: KL(as it is || steered) of next tokens, nats a token; interval over prompts; the
            control is that of random directions of this norm, their mean.
        promoted, suppressed: the mean change of the tokens' log-probabilities.
    """

    multiple: float
    norm: float
    kl: Measure
    promoted: list[TokenEffect]
    suppressed: list[TokenEffect]


def steering(
    model: LocalModel,
    dictionary: Dictionary,
    layer: int,
    latent: int,
    prompts: Sequence[Prompt],
    *,
    typical_maximum: float,
    multiples: Sequence[float] = MULTIPLES,
    randoms: int = 3,
    top: int = 10,
    rng: np.random.Generator,
    progress: Progress | None = None,
) -> list[SteeringEffect]:
    """
    Args:
        prompts: two or more; effects are read after each of their tokens but the first.
        typical_maximum: of the latent's activation, such as the mean of `latents_of` by their
            "max" over texts that it's active on.
        randoms: random directions a strength.

    Raises:
        UserError: no such latent, a model that doesn't fit, fewer than two prompts, or a maximum
            that isn't positive.
    """
    check_fit(model, dictionary)
    check_latent(dictionary, latent)
    if len(prompts) < 2:
        raise UserError("steering is measured on two prompts or more")
    if not typical_maximum > 0:
        raise UserError(
            f"latent {latent} has a typical maximum of {typical_maximum:g}: it must be active on "
            "some text to be steered by"
        )
    rows = [model.tokens(prompt) for prompt in prompts]
    if min(map(len, rows)) < 2:
        raise UserError("a prompt has one token: effects are read from the second on")
    unit_D = directions(dictionary)[latent].cpu() * typical_maximum
    shown = progress or Progress(quiet=True)
    found = []
    with shown.task("steering", len(multiples) * (1 + randoms)) as task:
        for multiple in multiples:
            push_D = multiple * unit_D
            sums_N2, change_V = _effect(model, layer, rows, push_D)
            task.advance()
            by_chance = []
            for _ in range(randoms):
                random_D = _like(push_D, dictionary, rng)
                of_random, _ = _effect(model, layer, rows, random_D)
                by_chance.append(of_random[:, 0].sum() / of_random[:, 1].sum())
                task.advance()
            control = float(np.mean(by_chance)) if by_chance else None
            found.append(
                SteeringEffect(
                    multiple=multiple,
                    norm=float(push_D.norm()),
                    kl=of_sums(sums_N2, lambda s: s[:, 0] / s[:, 1], rng=rng, control=control),
                    promoted=extremes(model, change_V, top=top),
                    suppressed=extremes(model, change_V, top=top, lowest=True),
                )
            )
    return found


def _like(push_D: Tensor, dictionary: Dictionary, rng: np.random.Generator) -> Tensor:
    """A random direction with the norm of another."""
    random_D = torch.from_numpy(rng.standard_normal(len(push_D)).astype(np.float32))
    random_D = random_D * dictionary.scale_D.cpu()
    return random_D * (push_D.norm() / random_D.norm())


@torch.inference_mode()
def _effect(
    model: LocalModel, layer: int, rows: Sequence[list[int]], push_D: Tensor
) -> tuple[np.ndarray, Tensor]:
    """Per prompt the sum of KL over its positions, and their number [N, 2]; and the mean change of
    log-probabilities [V]."""
    sums_N2 = np.zeros((len(rows), 2))
    change_V: Tensor | float = 0.0
    for indices in batches([len(row) for row in rows], budget=TOKEN_BUDGET):
        batch = [rows[i] for i in indices]
        ids_BT = right_padded(batch, model.tokenizer.pad_token_id, model.device)
        lengths_B1 = torch.tensor([[len(row)] for row in batch], device=model.device)
        steps_T = torch.arange(ids_BT.shape[1], device=model.device)
        read_BT = (steps_T >= 1) & (steps_T < lengths_B1)
        with model.turn:
            plain_MV = _log_probs(model, ids_BT, read_BT)
            with model.steer(layer, push_D):
                steered_MV = _log_probs(model, ids_BT, read_BT)
        kl_M = (plain_MV.exp() * (plain_MV - steered_MV)).sum(1).double().cpu().numpy()
        row_M = read_BT.nonzero()[:, 0].cpu().numpy()
        np.add.at(sums_N2[:, 0], np.array(indices)[row_M], kl_M)
        sums_N2[indices, 1] = lengths_B1[:, 0].cpu().numpy() - 1
        change_V = change_V + (steered_MV - plain_MV).sum(0)
        model.tokens_read += 2 * sum(map(len, batch))
    return sums_N2, torch.as_tensor(change_V) / sums_N2[:, 1].sum()


def _log_probs(model: LocalModel, ids_BT: Tensor, read_BT: Tensor) -> Tensor:
    """[M, V] at the positions chosen."""
    logits_BTV = model.module(input_ids=ids_BT, use_cache=False).logits
    return logits_BTV[read_BT].float().log_softmax(-1)
