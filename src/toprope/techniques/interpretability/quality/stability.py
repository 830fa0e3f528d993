"""Seed stability: which features of a dictionary does another one have, that was trained on the
same data from another seed?

Latents are paired one to one by their decoder and encoder cosines (`pairing.py`); a latent is
shared if both cosines of its pair are above 0.7 (Paulo and Belrose 2025, arXiv 2501.16615, who also
pair by decoder and by encoder alone: `agreeing` is the share that all three pair alike). Two
controls are paired the same way: random dictionaries of the same size, and the dictionary itself
after a random rotation, which keeps its inner geometry.

Over several seeds, intervals are over the features of one width: a feature that two seeds share is
one observation, not two. So seeds are never taken to tell more than the best they could if all had
the same features: their latents are put side by side by how often they recur, F sets of one latent
a seed, and sets are what is resampled. No pooling of the latents gives the mean a wider spread, and
that of two seeds has the interval that `stability` gives one of them. How other seeds would differ
from these isn't in it.
"""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from itertools import combinations
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from toprope.errors import UserError
from toprope.files import write_tensors, write_text
from toprope.progress import Progress
from toprope.techniques.interpretability.dictionaries.dictionary import Dictionary
from toprope.techniques.interpretability.quality.measure import Measure, of_sums, share
from toprope.techniques.interpretability.quality.pairing import (
    SHARED,
    Pairing,
    assigned,
    check_alike,
    paired,
    units,
    with_cosines,
)

RECURRENCE = "recurrence"


@dataclass(frozen=True)
class SeedStability:
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
class Recurring:
    """One seed's latents in the other seeds, S of them.

    Attributes:
        seeds: the others' numbers.
        share_F: in what share of them a latent recurs.
        partner_FS: its partner in each; -1: none.
        cosine_FS: the mean of both cosines with it; -1 without one.
    """

    seeds: list[int]
    share_F: NDArray[np.float64]
    partner_FS: NDArray[np.int64]
    cosine_FS: NDArray[np.float32]


@dataclass(frozen=True)
class SeedRecurrence:
    """Over several seeds.

    Attributes:
        pairings: (i, j), i < j -> latents of i with their partners in j.
        share_SF: for each seed's latents, the share of the other seeds in which they recur.
        overall: the mean of those; its interval is over F features, its control is a random
            dictionary of the same size against the first seed.
    """

    pairings: dict[tuple[int, int], Pairing]
    share_SF: NDArray[np.float64]
    overall: Measure
    threshold: float

    def of_seed(self, seed: int) -> Recurring:
        """What recurs of one seed's latents, and as what."""
        others = [one for one in range(len(self.share_SF)) if one != seed]
        width = self.share_SF.shape[1]
        partner_FS = np.full((width, len(others)), -1, dtype=np.int64)
        cosine_FS = np.full((width, len(others)), -1.0, dtype=np.float32)
        for at, other in enumerate(others):
            pairing = self.pairings[min(seed, other), max(seed, other)]
            here = np.flatnonzero(pairing.partner_F >= 0)
            there = pairing.partner_F[here]
            mine, its = (here, there) if seed < other else (there, here)
            partner_FS[mine, at], cosine_FS[mine, at] = its, pairing.mean_F[here]
        return Recurring(others, self.share_SF[seed], partner_FS, cosine_FS)

    def save(self, folder: Path) -> None:
        """Writes recurrence.safetensors and recurrence.json, each whole or not at all."""
        arrays: dict[str, NDArray] = {"share": self.share_SF}
        for (i, j), one in self.pairings.items():
            arrays[f"{i}.{j}.partner"] = one.partner_F
            arrays[f"{i}.{j}.decoder"] = one.decoder_F
            arrays[f"{i}.{j}.encoder"] = one.encoder_F
        about = {
            "threshold": self.threshold,
            "overall": asdict(self.overall),
            "complete": all(one.complete for one in self.pairings.values()),
        }
        write_tensors(folder / f"{RECURRENCE}.safetensors", arrays)
        write_text(folder / f"{RECURRENCE}.json", json.dumps(about, indent=1) + "\n")


def load_recurrence(folder: Path) -> SeedRecurrence:
    """What `SeedRecurrence.save` wrote.

    Raises:
        UserError: the folder holds none, or a damaged one.
    """
    from safetensors import SafetensorError
    from safetensors.numpy import load_file

    try:
        about = json.loads((folder / f"{RECURRENCE}.json").read_text(encoding="utf-8"))
        arrays = load_file(folder / f"{RECURRENCE}.safetensors")
        share_SF = arrays["share"]
        pairings = {
            (i, j): Pairing(
                *(arrays[f"{i}.{j}.{name}"] for name in ("partner", "decoder", "encoder")),
                complete=about["complete"],
            )
            for i, j in combinations(range(len(share_SF)), 2)
        }
        overall = Measure(**about["overall"])
        return SeedRecurrence(pairings, share_SF, overall, about["threshold"])
    except (OSError, ValueError, KeyError, TypeError, SafetensorError) as error:
        reason = " ".join(str(error).split())
        raise UserError(f"no whole recurrence of seeds in '{folder}': {reason[:200]}") from None


def stability(
    a: Dictionary,
    b: Dictionary,
    *,
    rng: np.random.Generator,
    threshold: float = SHARED,
    progress: Progress | None = None,
) -> SeedStability:
    """How much of `a` is in `b`, beside the controls.

    Raises:
        UserError: the dictionaries are of different activations.
    """
    check_alike(a, b)
    of_a, of_b = units(a), units(b)
    with (progress or Progress(quiet=True)).task("pairing latents", 5) as task:
        began = time.monotonic()
        both = assigned(of_a, of_b)
        seconds = time.monotonic() - began
        task.advance()
        by_decoder, by_encoder = assigned(of_a[:1], of_b[:1]), assigned(of_a[1:], of_b[1:])
        task.advance(2)
        random = _random_units(b.width, b.d_model, rng)
        by_chance = with_cosines(of_a, random, assigned(of_a, random))
        task.advance()
        turned = _rotated(of_a, rng)
        rotated = with_cosines(of_a, turned, assigned(of_a, turned))
        task.advance()
    pairing = with_cosines(of_a, of_b, both)
    alike_F = (by_decoder == both) & (by_encoder == both) & (both >= 0)
    alike_by_chance = 1 / max(a.width, b.width) ** 2

    def above(hits_F: NDArray[np.bool_], control_F: NDArray[np.bool_]) -> Measure:
        return share(int(hits_F.sum()), a.width, float(control_F.mean()))

    return SeedStability(
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
) -> SeedRecurrence:
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
            here = np.flatnonzero(pairing.shared(threshold))
            recurs_SF[i, here] += 1
            recurs_SF[j, pairing.partner_F[here]] += 1
            task.advance()
        first = units(dictionaries[0])
        random = _random_units(width, dictionaries[0].d_model, rng)
        control = with_cosines(first, random, assigned(first, random)).shared(threshold).mean()
        task.advance()
    share_SF = recurs_SF / (n - 1)
    side_by_side_F = np.sort(share_SF, axis=1).mean(0)
    sums_F2 = np.stack([side_by_side_F, np.ones(width)], axis=1)
    overall = of_sums(sums_F2, lambda s: s[:, 0] / s[:, 1], rng=rng, control=float(control))
    return SeedRecurrence(pairings, share_SF, overall, threshold)


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
