"""A latent's output side: the tokens that it promotes and suppresses by itself, through the final
norm and the unembedding (direct logit attribution; nostalgebraist 2020, Bloom and Lin 2024).

What later blocks make of the latent isn't in it: see `steering.py` for that. The final norm divides
by a state's size, which changes how large the effects are and not their order; so they are given
as z-scores over the vocabulary. A random direction's highest is about 4.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from toprope.errors import UserError
from toprope.models.local import LocalModel
from toprope.techniques.interpretability.dictionaries.dictionary import Dictionary
from toprope.techniques.interpretability.quality.raw_units import (
    check_fit,
    check_latent,
    directions,
)

_NORMS = ("norm", "ln_f", "final_layer_norm", "final_layernorm", "norm_f", "ln_final")


@dataclass(frozen=True)
class TokenEffect:
    token: int
    text: str
    effect: float


@dataclass(frozen=True)
class OutputSide:
    """Tokens with z-scores of what the latent adds to their logits."""

    latent: int
    promoted: list[TokenEffect]
    suppressed: list[TokenEffect]


@torch.no_grad()
def output_side(
    model: LocalModel, dictionary: Dictionary, latents: Sequence[int], *, top: int = 10
) -> list[OutputSide]:
    """
    Raises:
        UserError: the model has no output layer, or doesn't fit the dictionary; or no such latent.
    """
    check_fit(model, dictionary)
    for latent in latents:
        check_latent(dictionary, latent)
    rows_ND = directions(dictionary)[list(latents)].to(model.device)
    effects_NV = direct_effects(model, rows_ND)
    effects_NV = effects_NV - effects_NV.mean(1, keepdim=True)
    z_NV = effects_NV / effects_NV.std(1, keepdim=True).clamp_min(1e-12)
    return [
        OutputSide(
            latent, extremes(model, z_V, top=top), extremes(model, z_V, top=top, lowest=True)
        )
        for latent, z_V in zip(latents, z_NV, strict=True)
    ]


def direct_effects(model: LocalModel, rows_ND: Tensor) -> Tensor:
    """[N, V], float32: logits of directions that make up a state alone, less those of their
    opposites, halved: so that a norm's and an output layer's biases drop out.

    Raises:
        UserError: the model has no output layer, or its final norm can't be found.
    """
    head = model.module.get_output_embeddings()
    if head is None:
        raise UserError(f"model '{model.name}' is an encoder: it has no output side")
    norm = _final_norm(model)
    rows_ND = rows_ND.to(model.module.dtype)
    return (head(norm(rows_ND)).float() - head(norm(-rows_ND)).float()) / 2


def extremes(
    model: LocalModel, values_V: Tensor, *, top: int, lowest: bool = False
) -> list[TokenEffect]:
    """The tokens with the highest or lowest values, and their texts."""
    # Some models have more output rows than their tokenizer has tokens.
    known_V = values_V[: len(model.tokenizer)]
    found = known_V.topk(min(top, len(known_V)), largest=not lowest)
    return [
        TokenEffect(token, model.tokenizer.decode([token]), value)
        for token, value in zip(found.indices.tolist(), found.values.tolist(), strict=True)
    ]


def _final_norm(model: LocalModel) -> Any:
    blocks = model.blocks
    for part in model.module.modules():
        if any(child is blocks for child in part.children()):
            for name in _NORMS:
                if (norm := getattr(part, name, None)) is not None:
                    return norm
    raise UserError(f"model '{model.name}': can't find its final norm")
