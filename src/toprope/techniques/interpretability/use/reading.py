"""A text's latents: which are active on its tokens, and how strongly; over the whole text, the most
or the mean. The first token isn't read: captures leave it out, and its activations are of another
size.

Over a whole text, a text's length counts: the highest of more tokens is higher, and a rare latent
is active on some token more often. Sets of texts are comparable when they're cut to equal lengths
(`matched`)."""

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
    pool: Pool = "mean",
    prefills: Sequence[str] = (),
    most_tokens: int | Sequence[int] | None = None,
    progress: Progress | None = None,
) -> NDArray[np.float32]:
    """[N, F]: each latent's activation over each text.

    Args:
        pool: its highest, its mean over the tokens (inactive ones count as 0), or that on the last.
        prefills: for each text, what has been answered to it, which is read with it.
        most_tokens: of each text's beginning; one number for all, or each text's own. An encoder's
            activations depend on the rest of a text nevertheless, up to the largest of them.

    Raises:
        UserError: the model and the dictionary don't fit, or a text is of one token.
    """
    check_fit(model, dictionary)
    behind = list(prefills) or [""] * len(texts)
    own = [None] * len(texts) if isinstance(most_tokens, int | None) else list(most_tokens)
    if len(own) != len(texts):
        raise ValueError(f"{len(own)} lengths of {len(texts)} texts")
    most = most_tokens if isinstance(most_tokens, int | None) else max(most_tokens, default=None)
    found_NF = np.zeros((len(texts), dictionary.width), dtype=np.float32)
    with (progress or Progress(quiet=True)).task("encoding texts", len(texts)) as task:
        for start in range(0, len(texts), AT_ONCE):
            part = slice(start, start + AT_ONCE)
            states = model.activations(
                texts[part],
                [layer],
                pool="none",
                prefills=behind[part],
                most_tokens=most,
            )
            for i in range(len(texts[part])):
                raw_TD = states.item(layer, i)[1 : own[start + i]]
                if len(raw_TD) == 0:
                    raise UserError(
                        f"text {start + i + 1} has one token: latents are read from the second on"
                    )
                found_NF[start + i] = _pooled(dictionary, torch.tensor(raw_TD), pool)
            task.advance(len(texts[part]))
    return found_NF


def lengths_of(
    model: LocalModel,
    texts: Sequence[Prompt],
    *,
    prefills: Sequence[str] = (),
    most_tokens: int | None = None,
) -> list[int]:
    """How many tokens `latents_of` is to read of each text, the first included."""
    behind = list(prefills) or [""] * len(texts)
    return [
        len(model.tokens(text, prefill=prefill)[:most_tokens])
        for text, prefill in zip(texts, behind, strict=True)
    ]


def matched(first: Sequence[int], second: Sequence[int]) -> tuple[list[int], list[int]]:
    """What to cut the texts of two sets to, so that both have the same lengths.

    The longest of one set is held against the longest of the other, and so on down, by their ranks'
    shares where one set has more; of each two, the longer is cut to the shorter. Sets of one size
    have exactly the same lengths then.

    Returns:
        `most_tokens` for `latents_of`, of each set.
    """
    cut = []
    for own, other in ((first, second), (second, first)):
        own_N, n = np.asarray(own), len(own)
        rank_N = np.empty(n)
        rank_N[np.argsort(own_N, kind="stable")] = np.arange(n) + 0.5
        others_N = np.quantile(other, rank_N / n, method="inverted_cdf")
        cut.append(np.minimum(own_N, others_N).astype(int).tolist())
    return cut[0], cut[1]


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
