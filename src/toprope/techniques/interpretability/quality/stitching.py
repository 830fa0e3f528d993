"""Non-uniqueness by stitching: what a larger dictionary's latents add to a smaller one.

Leask et al. 2025 (arXiv 2502.04878): a latent of the larger dictionary is inserted, alone, into the
smaller one's reconstruction. Where the error falls it is *novel*: the smaller dictionary lacks it.
Where it rises, the smaller one has it already: a *reconstruction* latent. The change is exact here:
with the smaller one's error e and a latent a with direction d, it is a^2 |d|^2 - 2 a (e . d).

Latents are sorted on every second document; what inserting all the novel ones at once then does is
measured on the others. Both dictionaries must be of the same standardised activations. Groups of
latents that replace each other (the paper's swaps) aren't looked for.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from toprope.errors import UserError
from toprope.progress import Progress
from toprope.resampling import Floats
from toprope.techniques.interpretability.dictionaries.dictionary import Codes, Dictionary
from toprope.techniques.interpretability.quality.measure import (
    Measure,
    Rows,
    Sums,
    of_sums,
    share,
)
from toprope.techniques.interpretability.quality.raw_units import check_reconstructs

SIMILAR = 0.7
"""The decoder cosine that the paper finds to separate the two kinds best."""
_BLOCK = 256


@dataclass(frozen=True)
class Stitching:
    """F latents of the larger dictionary.

    Attributes:
        change_F: of the mean squared error (over sorting rows and channels) when the latent alone
            is inserted; 0 where it's never active.
        active_F: on how many sorting rows it is active.
        nearest_F: the highest cosine of its direction with one of the smaller dictionary's.
        novel: the share of active latents that lower the error, and as its control the share when
            each latent has another one's direction.
        novel_if_near, novel_if_far: the same for latents whose `nearest` is above SIMILAR, and
            for the rest; None where there are none.
        small, large, stitched: FVU on the measuring documents: of each dictionary, and of the
            smaller one with all novel latents inserted.
    """

    change_F: NDArray[np.float64]
    active_F: NDArray[np.int64]
    nearest_F: NDArray[np.float32]
    novel: Measure
    novel_if_near: Measure | None
    novel_if_far: Measure | None
    small: Measure
    large: Measure
    stitched: Measure

    @property
    def novel_F(self) -> NDArray[np.bool_]:
        return self.change_F < 0


@torch.no_grad()
def stitching(
    small: Dictionary,
    large: Dictionary,
    held_out: Callable[[], Rows],
    *,
    rng: np.random.Generator,
    total: int = 0,
    progress: Progress | None = None,
) -> Stitching:
    """
    Args:
        held_out: gives the same rows each time it's called; they are read twice.
        total: how many rows there are, for the progress.

    Raises:
        UserError: the dictionaries are of different activations, no latent is active, or there are
            fewer than four documents.
    """
    for one in (small, large):
        check_reconstructs(one)
    if not torch.equal(small.mean_D, large.mean_D) or not torch.equal(small.scale_D, large.scale_D):
        raise UserError(
            "stitching needs two dictionaries of the same capture: these are standardised "
            "differently"
        )
    elsewhere_F = torch.from_numpy(_moved(large.width, rng))
    other_FD = large.decoder_FD[elsewhere_F.to(large.decoder_FD.device)]
    change_2F, active_F = np.zeros((2, large.width)), np.zeros(large.width, dtype=np.int64)
    seen = 0
    with (progress or Progress(quiet=True)).task("stitching", 2 * total) as task:
        for x_BD, documents_B in held_out():
            here_BD = _of(x_BD, documents_B % 2 == 0)
            error_BD = here_BD - small.reconstruct(here_BD)
            codes = large.encode(here_BD)
            for row, decoder_FD in enumerate((large.decoder_FD, other_FD)):
                change_2F[row] += _changes(error_BD, codes, decoder_FD)
            hits = codes.latents_BK[codes.values_BK > 0]
            active_F += torch.bincount(hits, minlength=large.width).cpu().numpy()
            seen += len(here_BD)
            task.advance(len(x_BD))
        if not active_F.any():
            raise UserError("no latent of the larger dictionary is active: hold out more documents")
        change_2F /= seen * large.d_model
        novel_F = torch.from_numpy(change_2F[0] < 0).to(large.decoder_FD.device)
        sums = Sums()
        for x_BD, documents_B in held_out():
            measuring_B = documents_B % 2 == 1
            here_BD = _of(x_BD, measuring_B)
            sums.add(documents_B[measuring_B], _errors(small, large, here_BD, novel_F))
            task.advance(len(x_BD))
    nearest_F = (_unit(large.decoder_FD) @ _unit(small.decoder_FD).T).amax(1).cpu().numpy()
    alive_F = active_F > 0
    novel_share, by_chance = ((change_2F < 0) & alive_F).sum(1) / alive_F.sum()
    near_F = nearest_F > SIMILAR
    fvu = [_fvu(sums.of_documents(), at, rng) for at in range(3)]
    return Stitching(
        change_F=change_2F[0],
        active_F=active_F,
        nearest_F=nearest_F,
        novel=share(round(novel_share * alive_F.sum()), int(alive_F.sum()), float(by_chance)),
        novel_if_near=_share_of(change_2F[0] < 0, alive_F & near_F),
        novel_if_far=_share_of(change_2F[0] < 0, alive_F & ~near_F),
        small=fvu[0],
        large=fvu[1],
        stitched=fvu[2],
    )


def _changes(error_BD: Tensor, codes: Codes, decoder_FD: Tensor) -> Floats:
    """[F]: the sum over rows of how each latent, inserted alone, changes the squared error."""
    total_F = torch.zeros(codes.width, dtype=torch.float64, device=error_BD.device)
    for start in range(0, len(error_BD), _BLOCK):
        rows = slice(start, start + _BLOCK)
        values_BK, latents_BK = codes.values_BK[rows], codes.latents_BK[rows]
        directions_BKD = decoder_FD[latents_BK]
        along_BK = torch.einsum("bd,bkd->bk", error_BD[rows], directions_BKD)
        squared_BK = (values_BK**2) * (directions_BKD**2).sum(2)
        change_BK = (squared_BK - 2 * values_BK * along_BK).double()
        total_F.scatter_add_(0, latents_BK.flatten(), change_BK.flatten())
    return total_F.cpu().numpy()


def _errors(small: Dictionary, large: Dictionary, x_BD: Tensor, novel_F: Tensor) -> Tensor:
    """[B, 4 + D]: squared errors of the smaller, the larger and the stitched; then what the
    variance is made of: the square and the row itself, with a count in front of it."""
    codes = large.encode(x_BD)
    by_small_BD, by_large_BD = small.reconstruct(x_BD), large.decode(codes)
    kept = Codes(codes.values_BK * novel_F[codes.latents_BK], codes.latents_BK, codes.width)
    added_BD = large.decode(kept) - large.decoder_bias_D
    errors = [
        ((x_BD - back_BD).double() ** 2).sum(1, keepdim=True)
        for back_BD in (by_small_BD, by_large_BD, by_small_BD + added_BD)
    ]
    square_B1 = (x_BD.double() ** 2).sum(1, keepdim=True)
    return torch.cat([*errors, square_B1, torch.ones_like(square_B1), x_BD.double()], dim=1)


def _fvu(sums_GS: Floats, at: int, rng: np.random.Generator) -> Measure:
    return of_sums(
        sums_GS,
        lambda s: s[:, at] / (s[:, 3] - (s[:, 5:] ** 2).sum(1) / s[:, 4]),
        rng=rng,
    )


def _of(x_BD: Tensor, chosen_B: NDArray[np.bool_]) -> Tensor:
    return x_BD[torch.from_numpy(chosen_B)]


def _moved(n: int, rng: np.random.Generator) -> NDArray[np.int64]:
    """A permutation in which nothing stays in place: one cycle through all, in random order."""
    order = rng.permutation(n)
    moved = np.empty(n, dtype=np.int64)
    moved[order] = np.roll(order, 1)
    return moved


def _share_of(hits_F: NDArray[np.bool_], among_F: NDArray[np.bool_]) -> Measure | None:
    n = int(among_F.sum())
    return share(int((hits_F & among_F).sum()), n) if n else None


def _unit(rows_FD: Tensor) -> Tensor:
    return torch.nn.functional.normalize(rows_FD, dim=1)
