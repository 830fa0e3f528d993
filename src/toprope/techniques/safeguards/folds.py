"""Folds: what is left out at a time, so that a score is by a head that never saw what it scores."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from toprope.errors import UserError
from toprope.techniques.redteam.attempts import SUCCESS
from toprope.techniques.safeguards.exchanges import Exchange

PARTS = 4
"""Into which what can't be left out whole is divided."""


def by_source(exchanges: Sequence[Exchange], labels_N: NDArray) -> dict[str, NDArray]:
    """What is left out at a time, [N] by name: a source; in parts, its groups whole, one without
    which there would be no harm, or no harmless request, to learn from.

    Raises:
        UserError: there is one side only, or too little of one to leave any out.
    """
    found: dict[str, NDArray] = {}
    for origin in sorted({one.origin for one in exchanges}):
        is_out = np.array([one.origin == origin for one in exchanges])
        if _teaches(exchanges, labels_N, is_out):
            found[origin] = is_out
            continue
        for part, mask in _parts(exchanges).items():
            if (is_out & mask).any():
                found[f"{origin}, {part}"] = is_out & mask
    return _checked(found, exchanges, labels_N)


def by_group(exchanges: Sequence[Exchange], labels_N: NDArray) -> dict[str, NDArray]:
    """The same of parts of all exchanges, whatever their source, their groups whole.

    Raises:
        UserError: as `by_source`.
    """
    return _checked(_parts(exchanges), exchanges, labels_N)


def _parts(exchanges: Sequence[Exchange]) -> dict[str, NDArray]:
    part_N = np.array([_part(one.group) for one in exchanges])
    return {f"part {k}": part_N == k for k in range(PARTS) if (part_N == k).any()}


def _part(group: str) -> int:
    return int(hashlib.sha256(group.encode()).hexdigest(), 16) % PARTS


def _teaches(exchanges: Sequence[Exchange], labels_N: NDArray, is_out: NDArray) -> bool:
    """Whether there's something of both sides to learn from without what is left out."""
    out = {one.group for one, gone in zip(exchanges, is_out, strict=True) if gone}
    inside = np.array([one.group not in out for one in exchanges])
    is_harmless_N = np.array([one.harmless for one in exchanges])
    return bool(is_harmless_N[inside].any() and (labels_N[inside] >= SUCCESS).any())


def _checked(
    found: dict[str, NDArray], exchanges: Sequence[Exchange], labels_N: NDArray
) -> dict[str, NDArray]:
    if not all(_teaches(exchanges, labels_N, is_out) for is_out in found.values()):
        raise UserError(
            f"{int((labels_N >= SUCCESS).sum())} of {len(labels_N)} exchanges are harmful: a guard "
            "needs more of both sides to learn from"
        )
    return found
