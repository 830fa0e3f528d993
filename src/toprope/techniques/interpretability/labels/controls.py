"""Shuffled labels: each latent scored by another one's label, the control that says what of a score
comes from the judge and the items, and not from the label.

Latents that fire about as often swap labels, so that a label's generality is no clue.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from toprope.errors import UserError

TOGETHER = 8
"""Latents next to each other in firing rate among which labels are swapped."""


def swappable(labels: Mapping[int, str]) -> bool:
    """Whether there are two different labels or more."""
    return len({_plain(label) for label in labels.values()}) > 1


def shuffled(
    labels: Mapping[int, str], rates: Mapping[int, float], rng: np.random.Generator
) -> dict[int, str]:
    """For each latent another's label, and never a label that reads as its own, as far as there are
    others.

    Raises:
        UserError: there are fewer than two different labels.
    """
    if not swappable(labels):
        raise UserError(
            "the control by shuffled labels needs two different labels or more: label more latents"
        )
    by_rate = sorted(labels, key=lambda latent: (rates[latent], latent))
    found = {}
    for start in range(0, len(by_rate), TOGETHER):
        some = by_rate[start : start + TOGETHER]
        # A last group of few is filled up with the ones before.
        group = by_rate[-TOGETHER:] if len(some) < TOGETHER else some
        order = [group[i] for i in rng.permutation(len(group))]
        for latent in some:
            place = order.index(latent)
            ring = order[place + 1 :] + order[:place]
            others = [one for one in ring if _plain(labels[one]) != _plain(labels[latent])]
            found[latent] = labels[others[0]] if others else _other(latent, labels, by_rate)
    return found


def _other(latent: int, labels: Mapping[int, str], by_rate: list[int]) -> str:
    """The label nearest in firing rate that isn't the latent's own."""
    place = by_rate.index(latent)
    others = [one for one in by_rate if _plain(labels[one]) != _plain(labels[latent])]
    return labels[min(others, key=lambda one: abs(by_rate.index(one) - place))]


def _plain(label: str) -> str:
    return " ".join(label.casefold().split())
