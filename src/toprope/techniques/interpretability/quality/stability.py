"""Seed stability: which features of a dictionary does another one have, that was trained on the
same data from another seed?

Latents are paired one to one so that the mean of their decoder and encoder cosines is largest (the
Hungarian method, Kuhn 1955); a latent is shared if both cosines of its pair are above 0.7 (Paulo
and Belrose 2025, arXiv 2501.16615, who also pair by decoder and by encoder alone: `agreeing` is the
share that all three pair alike). Two controls are paired the same way: random dictionaries of the
same size, and the dictionary itself after a random rotation, which keeps its inner geometry.

The costs of all pairs are held at once: 8 bytes F^2, 0.13 GB at F = 4096 and 0.54 GB at 8192. A
pairing takes about 1.2 s at 4096 and 5 s at 8192 on one core, and there are five of them.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from toprope.errors import UserError
from toprope.progress import Progress
from toprope.techniques.interpretability.dictionaries.dictionary import Dictionary
from toprope.techniques.interpretability.quality.measure import Measure, of_sums, share

SHARED = 0.7
"""The cosine above which a pair counts as the same feature."""
MOST_WIDTH = 16_384
"""Wider than this the costs would take over 2 GB."""
_BLOCK = 1024


@dataclass(frozen=True)
class Pairing:
    """Latents of a first dictionary with their partners in a second.

    Attributes:
        partner_F: int64, the partner's number; -1: none, as the second is narrower.
        decoder_F, encoder_F: cosines with the partner; -1 without one.
    """

    partner_F: NDArray[np.int64]
    decoder_F: NDArray[np.float32]
    encoder_F: NDArray[np.float32]

    @property
    def mean_F(self) -> NDArray[np.float32]:
        return (self.decoder_F + self.encoder_F) / np.float32(2)

    def shared(self, threshold: float = SHARED) -> NDArray[np.bool_]:
        """[F]: both cosines are above the threshold."""
        return (self.decoder_F > threshold) & (self.encoder_F > threshold)


@dataclass(frozen=True)
class Stability:
    """Of a first dictionary's latents in a second; each interval is over latents, and each control
    is the same share against a random dictionary.

    Attributes:
        shared: both cosines are above the threshold.
        mean, decoder, encoder: that cosine of the pair is.
        agreeing: paired alike by decoder, by encoder and by both.
        rotated: `shared` of the dictionary against itself, rotated.
        seconds: what one pairing took.
    """

    pairing: Pairing
    shared: Measure
    mean: Measure
    decoder: Measure
    encoder: Measure
    agreeing: Measure
    rotated: float
    threshold: float
    seconds: float


@dataclass(frozen=True)
class Recurrence:
    """Over several seeds.

    Attributes:
        pairings: (i, j), i < j -> latents of i with their partners in j.
        share_SF: for each seed's latents, the share of the other seeds in which they recur.
        overall: the mean of those; its interval is over latents, its control is a random dictionary
            of the same size against the first seed.
    """

    pairings: dict[tuple[int, int], Pairing]
    share_SF: NDArray[np.float64]
    overall: Measure
    threshold: float


def paired(a: Dictionary, b: Dictionary) -> Pairing:
    """Pairs latents by the mean of both cosines.

    Raises:
        UserError: the dictionaries are of different activations, or too wide.
    """
    _check(a, b)
    return _with_cosines(_units(a), _units(b), _assigned(_units(a), _units(b)))


def stability(
    a: Dictionary,
    b: Dictionary,
    *,
    rng: np.random.Generator,
    threshold: float = SHARED,
    progress: Progress | None = None,
) -> Stability:
    """How much of `a` is in `b`, beside the controls.

    Raises:
        UserError: the dictionaries are of different activations, or too wide.
    """
    _check(a, b)
    of_a, of_b = _units(a), _units(b)
    with (progress or Progress(quiet=True)).task("pairing latents", 5) as task:
        began = time.monotonic()
        both = _assigned(of_a, of_b)
        seconds = time.monotonic() - began
        task.advance()
        by_decoder, by_encoder = _assigned(of_a[:1], of_b[:1]), _assigned(of_a[1:], of_b[1:])
        task.advance(2)
        random = _random_units(b.width, b.d_model, rng)
        by_chance = _with_cosines(of_a, random, _assigned(of_a, random))
        task.advance()
        turned = _rotated(of_a, rng)
        rotated = _with_cosines(of_a, turned, _assigned(of_a, turned))
        task.advance()
    pairing = _with_cosines(of_a, of_b, both)
    alike_F = (by_decoder == both) & (by_encoder == both) & (both >= 0)
    alike_by_chance = 1 / max(a.width, b.width) ** 2

    def above(hits_F: NDArray[np.bool_], control_F: NDArray[np.bool_]) -> Measure:
        return share(int(hits_F.sum()), a.width, float(control_F.mean()))

    return Stability(
        pairing=pairing,
        shared=above(pairing.shared(threshold), by_chance.shared(threshold)),
        mean=above(pairing.mean_F > threshold, by_chance.mean_F > threshold),
        decoder=above(pairing.decoder_F > threshold, by_chance.decoder_F > threshold),
        encoder=above(pairing.encoder_F > threshold, by_chance.encoder_F > threshold),
        agreeing=share(int(alike_F.sum()), a.width, alike_by_chance),
        rotated=float(rotated.shared(threshold).mean()),
        threshold=threshold,
        seconds=seconds,
    )


def recurrence(
    dictionaries: Sequence[Dictionary],
    *,
    rng: np.random.Generator,
    threshold: float = SHARED,
    progress: Progress | None = None,
) -> Recurrence:
    """Pairs each dictionary with each other, all of one width.

    Raises:
        UserError: fewer than two, or of different activations or widths.
    """
    if len(dictionaries) < 2:
        raise UserError("features recur between seeds: train two or more")
    if len({one.width for one in dictionaries}) > 1:
        raise UserError("recurrence is measured on dictionaries of one width: these differ")
    n, width = len(dictionaries), dictionaries[0].width
    recurs_SF = np.zeros((n, width))
    pairings = {}
    pairs = list(combinations(range(n), 2))
    with (progress or Progress(quiet=True)).task("pairing seeds", len(pairs) + 1) as task:
        for i, j in pairs:
            pairings[i, j] = pairing = paired(dictionaries[i], dictionaries[j])
            shared_F = pairing.shared(threshold)
            recurs_SF[i] += shared_F
            recurs_SF[j, pairing.partner_F] += shared_F
            task.advance()
        first = _units(dictionaries[0])
        random = _random_units(width, dictionaries[0].d_model, rng)
        control = _with_cosines(first, random, _assigned(first, random)).shared(threshold).mean()
        task.advance()
    share_SF = recurs_SF / (n - 1)
    sums_N2 = np.stack([share_SF.ravel(), np.ones(n * width)], axis=1)
    overall = of_sums(sums_N2, lambda s: s[:, 0] / s[:, 1], rng=rng, control=float(control))
    return Recurrence(pairings, share_SF, overall, threshold)


def _check(a: Dictionary, b: Dictionary) -> None:
    if a.d_model != b.d_model:
        raise UserError(
            f"a dictionary of {a.d_model} channels can't be paired with one of {b.d_model}: take "
            "two that were trained on the same activations"
        )
    if max(a.width, b.width) > MOST_WIDTH:
        raise UserError(
            f"pairing dictionaries of width {max(a.width, b.width):,} would take "
            f"{8e-9 * a.width * b.width:.0f} GB: {MOST_WIDTH:,} is the most"
        )


def _units(dictionary: Dictionary) -> list[Tensor]:
    """The decoder's and the encoder's rows [F, D], of length one."""
    both = (dictionary.decoder_FD, dictionary.encoder_FD)
    return [torch.nn.functional.normalize(rows.detach().cpu().float(), dim=1) for rows in both]


def _random_units(width: int, d_model: int, rng: np.random.Generator) -> list[Tensor]:
    """A dictionary as training starts from: encoder and decoder alike."""
    rows_FD = torch.from_numpy(rng.standard_normal((width, d_model), dtype=np.float32))
    rows_FD = torch.nn.functional.normalize(rows_FD, dim=1)
    return [rows_FD, rows_FD]


def _rotated(units: list[Tensor], rng: np.random.Generator) -> list[Tensor]:
    """The same rotation, at random, of both matrices."""
    d = units[0].shape[1]
    turn_DD, triangle_DD = np.linalg.qr(rng.standard_normal((d, d)))
    turn = torch.from_numpy((turn_DD * np.sign(np.diag(triangle_DD))).astype(np.float32))
    return [rows_FD @ turn for rows_FD in units]


def _assigned(of_a: list[Tensor], of_b: list[Tensor]) -> NDArray[np.int64]:
    """Each row's partner, so that the sum over pairs of their cosines is largest; -1: none."""
    from scipy.optimize import linear_sum_assignment

    n_a, n_b = len(of_a[0]), len(of_b[0])
    # Costs in double precision from the start: the solver would copy anything else.
    costs = np.empty((n_a, n_b))
    for start in range(0, n_a, _BLOCK):
        block = slice(start, start + _BLOCK)
        costs[block] = -sum((a[block] @ b.T).numpy() for a, b in zip(of_a, of_b, strict=True))
    rows, columns = linear_sum_assignment(costs)
    partner_F = np.full(n_a, -1, dtype=np.int64)
    partner_F[rows] = columns
    return partner_F


def _with_cosines(of_a: list[Tensor], of_b: list[Tensor], partner_F: NDArray[np.int64]) -> Pairing:
    found = np.flatnonzero(partner_F >= 0)
    here, there = torch.from_numpy(found), torch.from_numpy(partner_F[found])
    cosines = []
    for a, b in zip(of_a, of_b, strict=True):
        cosine_F = np.full(len(partner_F), -1.0, dtype=np.float32)
        cosine_F[found] = (a[here] * b[there]).sum(1).numpy()
        cosines.append(cosine_F)
    return Pairing(partner_F, *cosines)
