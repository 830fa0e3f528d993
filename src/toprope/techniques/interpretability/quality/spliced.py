"""What a dictionary's error does to the model: next-token cross-entropy and KL divergence with the
reconstruction spliced in, beside the unspliced pass and two ablations.

The residual stream after the dictionary's layer is replaced by its reconstruction at every position
of a text but the first, which is the beginning-of-text token where the tokenizer has one and
carries the massive norms that captures leave out. A share recovered is 1 where the model doesn't
notice, and 0 where the reconstruction is no better than the ablation: every position is set to zero
(Bricken et al. 2023), or to the mean activation (Cunningham et al. 2023, arXiv 2309.08600), which
is the harder of the two to beat. KL is from the unspliced next-token distribution.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from toprope.errors import UserError
from toprope.models.batching import batches, right_padded
from toprope.models.hooks import changed
from toprope.models.local import LocalModel
from toprope.progress import Progress
from toprope.resampling import Floats
from toprope.techniques.interpretability.dictionaries.dictionary import Dictionary
from toprope.techniques.interpretability.quality.measure import Measure, Sums, of_sums
from toprope.techniques.interpretability.quality.raw_units import check_fit, check_reconstructs

TOKEN_BUDGET = 512
"""Tokens in a batch, padding included: their logits are held three times over."""

Change = Callable[[Tensor], Tensor]
"""From the model's own activations [N, D], float32, to others of that shape."""


@dataclass(frozen=True)
class SplicedLoss:
    """Over tokens that follow a replaced position; nats a token, intervals over documents.

    Attributes:
        ce: of the model as it is.
        ce_spliced, ce_zero, ce_mean: with the reconstruction, and with either ablation; their
            control is `ce`.
        kl_spliced, kl_zero, kl_mean: KL(as it is || changed).
        ce_recovered_from_zero, ce_recovered_from_mean: (CE ablated - CE spliced) / (CE ablated -
            CE); likewise for KL, 1 - KL spliced / KL ablated. Their control, by definition of the
            scale, is 0: the ablation.
        tokens: predicted.
    """

    ce: Measure
    ce_spliced: Measure
    ce_zero: Measure
    ce_mean: Measure
    kl_spliced: Measure
    kl_zero: Measure
    kl_mean: Measure
    ce_recovered_from_zero: Measure
    ce_recovered_from_mean: Measure
    kl_recovered_from_zero: Measure
    kl_recovered_from_mean: Measure
    tokens: int


def spliced(
    model: LocalModel, layer: int, change: Change, *, outlier_norm: float | None = None
) -> AbstractContextManager[None]:
    """While the context is open, the residual stream after `layer` is what `change` makes of it, at
    every position but the first.

    Args:
        outlier_norm: activations longer than this stay as they are, as they do in a capture that
            drops them.

    Raises:
        UserError: a layer the model doesn't have.
    """

    def exchange(state_BTD: Tensor) -> Tensor:
        raw_ND = state_BTD[:, 1:].reshape(-1, state_BTD.shape[-1]).float()
        changed_ND = change(raw_ND)
        if outlier_norm is not None:
            ordinary_N1 = raw_ND.norm(dim=1, keepdim=True) <= outlier_norm
            changed_ND = torch.where(ordinary_N1, changed_ND, raw_ND)
        changed_BTD = changed_ND.to(state_BTD.dtype).view_as(state_BTD[:, 1:])
        return torch.cat([state_BTD[:, :1], changed_BTD], dim=1)

    return changed(model, layer, exchange)


def reconstructing(dictionary: Dictionary) -> Change:
    """The dictionary's reconstruction, as a change of a model's own activations.

    Raises:
        UserError: a transcoder, which doesn't reconstruct what it reads.
    """
    check_reconstructs(dictionary)

    def change(raw_ND: Tensor) -> Tensor:
        return dictionary.restore(dictionary.reconstruct(dictionary.standardise(raw_ND)))

    return change


def spliced_loss(
    model: LocalModel,
    layer: int,
    dictionary: Dictionary,
    windows: Sequence[Sequence[int]],
    documents: Sequence[int],
    *,
    rng: np.random.Generator,
    outlier_norm: float | None = None,
    budget: int = TOKEN_BUDGET,
    progress: Progress | None = None,
) -> SplicedLoss:
    """Reads held-out token windows four times over.

    Args:
        windows: token ids of each; the first is the beginning of what the model reads.
        documents: the document of each window.
        outlier_norm: see `spliced`; the ablations leave out the same activations.

    Raises:
        UserError: an encoder, a layer the model doesn't have, a dictionary that doesn't fit it or
            doesn't reconstruct, or windows of fewer than two documents with three tokens or more.
    """
    if not model.is_causal:
        raise UserError(f"model '{model.name}' is an encoder: it predicts no next tokens")
    check_fit(model, dictionary)
    usable = [i for i, window in enumerate(windows) if len(window) >= 3]
    rows = [list(windows[i]) for i in usable]
    of_rows = np.array([documents[i] for i in usable], dtype=np.int64)
    mean_D = dictionary.mean_D

    def arm(change: Change) -> AbstractContextManager[None]:
        return spliced(model, layer, change, outlier_norm=outlier_norm)

    arms: tuple[Callable[[], AbstractContextManager[None]], ...] = (
        nullcontext,
        lambda: arm(reconstructing(dictionary)),
        lambda: arm(torch.zeros_like),
        lambda: arm(lambda raw_ND: mean_D.expand_as(raw_ND)),
    )
    sums = Sums()
    total = sum(map(len, rows))
    shown = progress or Progress(quiet=True)
    with model.turn, shown.task("splicing", total) as task:
        for indices in batches([len(row) for row in rows], budget=budget):
            sums.add(of_rows[indices], _read(model, [rows[i] for i in indices], arms))
            task.advance(sum(len(rows[i]) for i in indices))
    model.tokens_read += len(arms) * total
    return _measured(sums.of_documents(), rng)


@torch.inference_mode()
def _read(
    model: LocalModel,
    batch: Sequence[list[int]],
    arms: Sequence[Callable[[], AbstractContextManager[None]]],
) -> Tensor:
    """[B, 1 + 2 A]: the number of tokens predicted; for each of A arms, the sums over them of the
    cross-entropy and of the KL divergence from the first arm."""
    ids_BT = right_padded(batch, model.tokenizer.pad_token_id, model.device)
    lengths_B1 = torch.tensor([[len(row)] for row in batch], device=model.device)
    steps_T = torch.arange(ids_BT.shape[1] - 1, device=model.device)
    scored_BT = (steps_T >= 1) & (steps_T < lengths_B1 - 1)
    targets_N1 = ids_BT[:, 1:][scored_BT][:, None]
    row_N = scored_BT.nonzero()[:, 0]
    plain_NV = torch.empty(0)
    columns = [scored_BT.sum(1).double()]
    for i, arm in enumerate(arms):
        with arm():
            logits_BTV = model.module(input_ids=ids_BT, use_cache=False).logits
        log_NV = logits_BTV[:, :-1][scored_BT].float().log_softmax(-1)
        plain_NV = plain_NV if i else log_NV
        ce_N = -log_NV.gather(1, targets_N1)[:, 0]
        kl_N = (plain_NV.exp() * (plain_NV - log_NV)).sum(1)
        for each_N in (ce_N, kl_N):
            zeros_B = torch.zeros(len(batch), dtype=torch.float64, device=model.device)
            columns.append(zeros_B.index_add(0, row_N, each_N.double()))
    return torch.stack(columns, dim=1)


def _measured(sums_GS: Floats, rng: np.random.Generator) -> SplicedLoss:
    n, ce, _, ce_spliced, kl_spliced, ce_zero, kl_zero, ce_mean, kl_mean = range(9)

    def mean(at: int, control: float | None = None) -> Measure:
        return of_sums(sums_GS, lambda s: s[:, at] / s[:, n], rng=rng, control=control)

    def recovered(ablated: int, spliced_at: int, plain: int | None) -> Measure:
        def function(s: Floats) -> Floats:
            floor = 0.0 if plain is None else s[:, plain]
            return (s[:, ablated] - s[:, spliced_at]) / (s[:, ablated] - floor)

        return of_sums(sums_GS, function, rng=rng, control=0.0)

    plain = mean(ce)
    return SplicedLoss(
        ce=plain,
        ce_spliced=mean(ce_spliced, plain.value),
        ce_zero=mean(ce_zero, plain.value),
        ce_mean=mean(ce_mean, plain.value),
        kl_spliced=mean(kl_spliced),
        kl_zero=mean(kl_zero),
        kl_mean=mean(kl_mean),
        ce_recovered_from_zero=recovered(ce_zero, ce_spliced, ce),
        ce_recovered_from_mean=recovered(ce_mean, ce_spliced, ce),
        kl_recovered_from_zero=recovered(kl_zero, kl_spliced, None),
        kl_recovered_from_mean=recovered(kl_mean, kl_spliced, None),
        tokens=int(sums_GS[:, n].sum()),
    )
