"""A consensus dictionary: the features that recur across seeds, and nothing else.

How it's built. Latents of different seeds are joined where their pair (`stability.py`) has both
cosines above a threshold. From the latent with the most partners down, each takes its partners that
are still free; where that makes members in at least `recurs_in` seeds, they are one feature: its
decoder row is the mean of their unit decoder rows, scaled to length one, its encoder row and bias
are the means of theirs. A feature whose decoder row is nearer than `duplicate` to that of one with
more members is dropped. Codes aren't negative, so that a direction and its opposite are two
features and no signs are matched.

It is a TopK dictionary. Its number of active latents is how many of a row's active latents are
members, on average over rows and seeds. Then the encoder's biases, the lengths of its rows and the
decoder's bias are refitted on some batches; directions stay as the seeds have them.

What that loses is measured in `consensus_losses.py`.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor

from toprope.errors import UserError
from toprope.progress import Progress
from toprope.techniques.interpretability.dictionaries.dictionary import Dictionary, make
from toprope.techniques.interpretability.quality.members import Members
from toprope.techniques.interpretability.quality.pairing import SHARED
from toprope.techniques.interpretability.quality.raw_units import check_reconstructs
from toprope.techniques.interpretability.quality.stability import SeedRecurrence

_CELLS = 2**24
"""Cosines that are held at once."""


class ConsensusSettings(BaseModel):
    """How features are joined, and how long the result is refitted.

    Attributes:
        recurs_in: the fewest seeds that must have a feature.
        threshold: both cosines of a pair are above it.
        duplicate: a decoder cosine from which two features are one.
        active: of a row; None: as many members as the seeds have active, on average.
        rate: Adam's.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    recurs_in: int = Field(default=2, ge=2)
    threshold: float = Field(default=SHARED, gt=0, lt=1)
    duplicate: float = Field(default=0.95, gt=0, le=1)
    active: int | None = Field(default=None, gt=0)
    steps: int = Field(default=200, ge=0)
    rate: float = Field(default=1e-3, gt=0)


@dataclass(frozen=True)
class Consensus:
    """A dictionary of what recurs, and what each of its latents is in the seeds."""

    dictionary: Dictionary
    members: Members

    def save(self, folder: Path) -> None:
        """Writes the dictionary, and consensus.safetensors and consensus.json beside it."""
        # The members first: a folder that has a dictionary is complete.
        self.members.save(folder)
        self.dictionary.save(folder)


def build(
    dictionaries: Sequence[Dictionary],
    found: SeedRecurrence,
    batches: Iterable[Tensor],
    settings: ConsensusSettings | None = None,
    *,
    progress: Progress | None = None,
) -> Consensus:
    """
    Args:
        found: `recurrence` of the dictionaries.
        batches: standardised training rows [B, D]: `steps` batches are taken, and one before them.

    Raises:
        UserError: nothing recurs, there are fewer seeds than it should recur in, or no rows.
    """
    settings = settings or ConsensusSettings()
    for one in dictionaries:
        check_reconstructs(one)
    if settings.recurs_in > len(dictionaries):
        raise UserError(
            f"recurs_in: {settings.recurs_in} seeds are asked for, and {len(dictionaries)} given"
        )
    members_CS = _features(found, len(dictionaries), settings)
    if len(members_CS) == 0:
        raise UserError(
            f"no feature recurs in {settings.recurs_in} of {len(dictionaries)} seeds at cosine "
            f"{settings.threshold}: train longer, or lower recurs_in or threshold"
        )
    decoder_CD, encoder_CD, bias_C = _averages(dictionaries, members_CS)
    kept = _distinct(decoder_CD, settings.duplicate)
    members_CS = members_CS[kept]
    rows = iter(batches)
    first_BD = first_of(rows)
    active = settings.active or _active_members(dictionaries, members_CS, first_BD)
    made = topk(
        dictionaries[0],
        decoder_CD[kept],
        encoder_CD[kept],
        bias_C[kept],
        torch.stack([one.decoder_bias_D.detach().cpu() for one in dictionaries]).mean(0),
        active,
    )
    refit(made, rows, settings, progress)
    return Consensus(
        dictionary=made,
        members=Members(
            members_CS=members_CS,
            cohesion_C=_cohesion(dictionaries, members_CS, made.decoder_FD.detach().cpu()),
            threshold=settings.threshold,
        ),
    )


def _features(found: SeedRecurrence, seeds: int, settings: ConsensusSettings) -> NDArray[np.int64]:
    """[C, S]: each feature's members, those with most members first."""
    width = found.share_SF.shape[1]
    partner_SFS = np.full((seeds, width, seeds), -1, dtype=np.int64)
    weight_SFS = np.zeros((seeds, width, seeds))
    for (i, j), pairing in found.pairings.items():
        here_P = np.flatnonzero(pairing.shared(settings.threshold))
        there_P = pairing.partner_F[here_P]
        partner_SFS[i, here_P, j], partner_SFS[j, there_P, i] = there_P, here_P
        weight_SFS[i, here_P, j] = weight_SFS[j, there_P, i] = pairing.mean_F[here_P]
    order = np.lexsort((-weight_SFS.sum(2).ravel(), -(partner_SFS >= 0).sum(2).ravel()))
    free_SF = np.ones((seeds, width), dtype=bool)
    features = []
    for node in order.tolist():
        seed, latent = divmod(node, width)
        if not free_SF[seed, latent]:
            continue
        members_S = partner_SFS[seed, latent].copy()
        members_S[seed] = latent
        members_S[[m >= 0 and not free_SF[s, m] for s, m in enumerate(members_S)]] = -1
        if (members_S >= 0).sum() < settings.recurs_in:
            continue
        of = np.flatnonzero(members_S >= 0)
        free_SF[of, members_S[of]] = False
        features.append(members_S)
    features.sort(key=lambda members_S: -int((members_S >= 0).sum()))
    return np.array(features, dtype=np.int64).reshape(-1, seeds)


def _averages(
    dictionaries: Sequence[Dictionary], members_CS: NDArray[np.int64]
) -> tuple[Tensor, Tensor, Tensor]:
    """Decoder rows of unit length, encoder rows and biases: the means over members."""
    there_SC = torch.from_numpy((members_CS >= 0).T.astype(np.float32))
    decoder, encoder, bias = [], [], []
    for one, latents_C, there_C in zip(dictionaries, members_CS.T, there_SC, strict=True):
        latents = torch.from_numpy(latents_C.clip(0))
        decoder.append(one.decoder_FD.detach().cpu()[latents] * there_C[:, None])
        encoder.append(one.encoder_FD.detach().cpu()[latents] * there_C[:, None])
        bias.append(one.encoder_bias_F.detach().cpu()[latents] * there_C)
    count_C = there_SC.sum(0)
    return (
        torch.nn.functional.normalize(torch.stack(decoder).sum(0), dim=1),
        torch.stack(encoder).sum(0) / count_C[:, None],
        torch.stack(bias).sum(0) / count_C,
    )


def _distinct(decoder_CD: Tensor, duplicate: float) -> NDArray[np.int64]:
    """Which features stay: those that aren't near one before them."""
    stays_C = np.ones(len(decoder_CD), dtype=bool)
    size = max(1, _CELLS // len(decoder_CD))
    for start in range(0, len(decoder_CD), size):
        block = slice(start, start + size)
        near = (decoder_CD[block] @ decoder_CD[: block.stop].T >= duplicate).numpy()
        for i, near_C in enumerate(near, start):
            stays_C[i] = not (near_C[:i] & stays_C[:i]).any()
    return np.flatnonzero(stays_C)


def _active_members(
    dictionaries: Sequence[Dictionary], members_CS: NDArray[np.int64], x_BD: Tensor
) -> int:
    """Active latents of a row that are members, on average over rows and seeds; 1 at least."""
    counts = []
    for one, latents_C in zip(dictionaries, members_CS.T, strict=True):
        member_F = torch.zeros(one.width, dtype=torch.bool)
        member_F[torch.from_numpy(latents_C[latents_C >= 0])] = True
        codes = one.encode(x_BD.to(one.decoder_FD.device))
        active_BK = (codes.values_BK > 0).cpu()
        counts.append((member_F[codes.latents_BK.cpu()] & active_BK).sum().item() / len(x_BD))
    return min(max(1, round(float(np.mean(counts)))), len(members_CS))


def topk(
    like: Dictionary,
    decoder_CD: Tensor,
    encoder_CD: Tensor,
    bias_C: Tensor,
    bias_D: Tensor,
    active: int,
) -> Dictionary:
    made = make(
        {
            "kind": "topk",
            "width": len(decoder_CD),
            "d_model": like.d_model,
            "active": active,
            "seed": like.settings.seed,
        },
        like.origin,
    )
    with torch.no_grad():
        made.decoder_FD.copy_(decoder_CD)
        made.encoder_FD.copy_(encoder_CD)
        made.encoder_bias_F.copy_(bias_C)
        made.decoder_bias_D.copy_(bias_D)
        made.mean_D.copy_(like.mean_D)
        made.scale_D.copy_(like.scale_D)
    return made.to(like.decoder_FD.device)


def refit(
    made: Dictionary, rows: Iterable[Tensor], settings: ConsensusSettings, progress: Progress | None
) -> None:
    """Trains biases and the lengths of the encoder's rows; directions stay."""
    units_FD = torch.nn.functional.normalize(made.encoder_FD.detach(), dim=1)
    decoder_FD = made.decoder_FD.detach().clone()
    free = [made.encoder_FD, made.encoder_bias_F, made.decoder_bias_D]
    adam = torch.optim.Adam(free, lr=settings.rate)
    with (progress or Progress(quiet=True)).task("refitting", settings.steps) as task:
        for x_BD, _ in zip(rows, range(settings.steps), strict=False):
            adam.zero_grad()
            made.loss(x_BD.to(units_FD.device)).total.backward()
            adam.step()
            with torch.no_grad():
                lengths_F1 = (made.encoder_FD * units_FD).sum(1, keepdim=True)
                made.encoder_FD.copy_(lengths_F1 * units_FD)
            task.advance()
    with torch.no_grad():
        made.decoder_FD.copy_(decoder_FD)
    made.zero_grad(set_to_none=True)


def _cohesion(
    dictionaries: Sequence[Dictionary], members_CS: NDArray[np.int64], decoder_CD: Tensor
) -> NDArray[np.float64]:
    totals_C = np.zeros(len(members_CS))
    for one, latents_C in zip(dictionaries, members_CS.T, strict=True):
        of = one.decoder_FD.detach().cpu()[torch.from_numpy(latents_C.clip(0))]
        totals_C += (of * decoder_CD).sum(1).numpy() * (latents_C >= 0)
    return totals_C / (members_CS >= 0).sum(1)


def first_of(rows: Iterable[Tensor]) -> Tensor:
    first_BD = next(iter(rows), None)
    if first_BD is None:
        raise UserError("no training rows: a consensus dictionary is refitted on some")
    return first_BD
