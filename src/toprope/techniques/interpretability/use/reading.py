"""A text's latents: which are active on its tokens, and how strongly; over the whole text, the most
or the mean. The first token isn't read: captures leave it out, and its activations are of another
size."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from toprope.errors import UserError
from toprope.models.local import LocalModel, Prompt
from toprope.progress import Progress
from toprope.techniques.interpretability.dictionaries.dictionary import Dictionary
from toprope.techniques.interpretability.quality.raw_units import check_fit

Pool = Literal["max", "mean", "last"]

AT_ONCE = 64
"""Texts whose activations are held at a time."""


def latents_of(
    model: LocalModel,
    dictionary: Dictionary,
    layer: int,
    texts: Sequence[Prompt],
    *,
    pool: Pool = "max",
    prefills: Sequence[str] = (),
    most_tokens: int | None = None,
    progress: Progress | None = None,
) -> NDArray[np.float32]:
    """[N, F]: each latent's activation over each text.

    Args:
        pool: its highest, its mean over the tokens (inactive ones count as 0), or that on the last.
        prefills: for each text, what has been answered to it, which is read with it.
        most_tokens: of each text's beginning.

    Raises:
        UserError: the model and the dictionary don't fit, or a text is of one token.
    """
    check_fit(model, dictionary)
    behind = list(prefills) or [""] * len(texts)
    found_NF = np.zeros((len(texts), dictionary.width), dtype=np.float32)
    with (progress or Progress(quiet=True)).task("encoding texts", len(texts)) as task:
        for start in range(0, len(texts), AT_ONCE):
            part = slice(start, start + AT_ONCE)
            states = model.activations(
                texts[part],
                [layer],
                pool="none",
                prefills=behind[part],
                most_tokens=most_tokens,
            )
            for i in range(len(texts[part])):
                raw_TD = states.item(layer, i)[1:]
                if len(raw_TD) == 0:
                    raise UserError(
                        f"text {start + i + 1} has one token: latents are read from the second on"
                    )
                found_NF[start + i] = _pooled(dictionary, torch.tensor(raw_TD), pool)
            task.advance(len(texts[part]))
    return found_NF


@torch.no_grad()
def _pooled(dictionary: Dictionary, raw_TD: Tensor, pool: Pool) -> NDArray[np.float32]:
    raw_TD = raw_TD.to(dictionary.decoder_FD.device)
    codes = dictionary.encode(dictionary.standardise(raw_TD[-1:] if pool == "last" else raw_TD))
    values, latents = codes.values_BK.flatten(), codes.latents_BK.flatten()
    found_F = values.new_zeros(dictionary.width)
    if pool == "mean":
        found_F = found_F.scatter_add(0, latents, values) / len(codes.values_BK)
    else:
        found_F = found_F.scatter_reduce(0, latents, values, "amax")
    return found_F.cpu().numpy()
