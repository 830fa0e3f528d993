"""Which latents an output comes from: the logit of one token less that of another, after the last
token of a prompt, attributed to the latents of a layer.

Gradient times activation, summed over the prompt's tokens (attribution patching to zero: Nanda
2023; Syed et al. 2023, arXiv 2310.10348; for latents, Marks et al. 2024, arXiv 2403.19647): one
pass forth and back for all latents, and an approximation. So the top ones are ablated as well, each
alone at all tokens, which is exact, and both are reported with their correlation. What the
dictionary's error carries is kept in the pass, and its share reported.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from toprope.errors import UserError
from toprope.models.capturing import captured
from toprope.models.local import LocalModel, Prompt
from toprope.techniques.interpretability.dictionaries.dictionary import Dictionary
from toprope.techniques.interpretability.quality.measure import Measure
from toprope.techniques.interpretability.quality.patching import scores, slopes
from toprope.techniques.interpretability.quality.raw_units import (
    check_fit,
    check_reconstructs,
    constant,
    directions,
)

AT_ONCE = 16
"""Ablations in one batch."""


@dataclass(frozen=True)
class Part:
    """A latent's part in the output.

    Attributes:
        attribution: the estimate of how much higher the output is for the latent's being active.
        ablation: the same, measured by taking it away.
        position: the token (from 0) where it counts for most.
    """

    latent: int
    attribution: float
    ablation: float
    position: int


@dataclass(frozen=True)
class Attribution:
    """
    Attributes:
        output: the difference of logits.
        parts: the latents of the largest attribution, up or down, first.
        correlation: of attribution and ablation over the parts (Pearson; Fisher's interval); its
            control is that of the latents' total activation and ablation. None for under four
            parts.
        latents, error: the sums of the attributions of all latents, and of the reconstruction's
            error.
    """

    output: float
    parts: list[Part]
    correlation: Measure | None
    latents: float
    error: float


def attribute(
    model: LocalModel,
    dictionary: Dictionary,
    layer: int,
    prompt: Prompt,
    wanted: str,
    other: str,
    *,
    top: int = 20,
) -> Attribution:
    """
    Args:
        wanted, other: the two tokens, as they continue the prompt (" yes"); of several tokens the
            first counts.
        top: how many latents to ablate.

    Raises:
        UserError: an encoder, a model that doesn't fit, a prompt of one token, or two texts that
            begin alike.
    """
    if not model.is_causal:
        raise UserError(f"model '{model.name}' is an encoder: it predicts no next tokens")
    check_fit(model, dictionary)
    check_reconstructs(dictionary)
    up, down = (model.continuation(text)[0] for text in (wanted, other))
    if up == down:
        raise UserError(f"{wanted!r} and {other!r} begin with the same token: nothing to attribute")
    ids_1T = torch.tensor([model.tokens(prompt)], device=model.device)
    if ids_1T.shape[1] < 2:
        raise UserError("a prompt of one token: latents are read from the second on")

    def score(logits_BV: Tensor) -> Tensor:
        return logits_BV[:, up] - logits_BV[:, down]

    state_TD = _state(model, layer, ids_1T)
    nothing_1TD = torch.zeros_like(state_TD)[None]
    output = float(scores(model, layer, ids_1T, nothing_1TD, score)[0])
    slope_TD = slopes(model, layer, ids_1T, nothing_1TD, score)[0].float()
    codes_TF = _codes(dictionary, state_TD)
    rows_FD = directions(dictionary).to(model.device)
    attributed_TF = codes_TF * (slope_TD @ rows_FD.T)
    total_F = attributed_TF.sum(0)
    active = int((codes_TF > 0).any(0).sum())
    chosen = total_F.abs().topk(min(top, active)).indices
    pushes_ND = [-codes_TF[:, latent, None] * rows_FD[latent] for latent in chosen.tolist()]
    ablated = _outputs(model, layer, ids_1T, pushes_ND, score)
    parts = [
        Part(
            latent=latent,
            attribution=float(total_F[latent]),
            ablation=output - without,
            position=int(attributed_TF[:, latent].abs().argmax()),
        )
        for latent, without in zip(chosen.tolist(), ablated, strict=True)
    ]
    # The first token isn't encoded: its state is error altogether.
    rest_TD = state_TD - constant(dictionary).to(model.device)
    error_TD = rest_TD - codes_TF @ rows_FD
    return Attribution(
        output=output,
        parts=parts,
        correlation=_correlation(
            np.array([part.attribution for part in parts]),
            np.array([part.ablation for part in parts]),
            codes_TF[:, chosen].sum(0).cpu().numpy(),
        ),
        latents=float(total_F.sum()),
        error=float((error_TD * slope_TD).sum()),
    )


@torch.inference_mode()
def _state(model: LocalModel, layer: int, ids_1T: Tensor) -> Tensor:
    """[T, D], float32: the residual stream after the layer."""
    with model.turn, captured(model.blocks, [layer]) as states:
        model.module(input_ids=ids_1T, use_cache=False, logits_to_keep=1)
    return states[layer][0].float().clone()


@torch.no_grad()
def _codes(dictionary: Dictionary, state_TD: Tensor) -> Tensor:
    """[T, F]; none on the first token."""
    device = dictionary.decoder_FD.device
    codes_TF = dictionary.encode(dictionary.standardise(state_TD[1:].to(device))).dense()
    return torch.nn.functional.pad(codes_TF, (0, 0, 1, 0)).to(state_TD.device)


def _outputs(
    model: LocalModel, layer: int, ids_1T: Tensor, pushes: list[Tensor], score
) -> list[float]:
    found: list[float] = []
    for start in range(0, len(pushes), AT_ONCE):
        push_BTD = torch.stack(pushes[start : start + AT_ONCE])
        ids_BT = ids_1T.expand(len(push_BTD), -1)
        found += scores(model, layer, ids_BT, push_BTD, score).tolist()
    return found


def _correlation(
    attribution_N: NDArray, ablation_N: NDArray, activation_N: NDArray
) -> Measure | None:
    n = len(ablation_N)
    if n < 4 or np.ptp(ablation_N) == 0 or np.ptp(attribution_N) == 0:
        return None
    r = float(np.corrcoef(attribution_N, ablation_N)[0, 1])
    control = float(np.corrcoef(activation_N, ablation_N)[0, 1]) if np.ptp(activation_N) else 0.0
    half = 1.959964 / np.sqrt(n - 3)
    z = np.arctanh(np.clip(r, -1 + 1e-12, 1 - 1e-12))
    return Measure(r, float(np.tanh(z - half)), float(np.tanh(z + half)), n, control)
