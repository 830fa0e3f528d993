"""Ways of doing the same work timed beside each other: interleaved rounds, ratios within a round.

A machine's speed drifts; the ratio of two times that were taken one after the other hardly does.
"""

import os
import platform
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from typing import Any

import click
import numpy as np
import torch
from scipy.stats import quantile_test

ROUNDS_FOR_AN_INTERVAL = 6  # with fewer, no order statistic is below the median 97.5% of the time

Arms = Mapping[str, Callable[[], float]]
"""By name, what does a round's work once; it returns how much that was."""


@dataclass(frozen=True)
class Ratio:
    """How many times faster than `other` something is: the median over the rounds.

    Attributes:
        low, high: of the exact 95% interval of the median; None with too few rounds for one.
    """

    name: str
    other: str
    value: float
    low: float | None
    high: float | None

    def __str__(self) -> str:
        if self.low is None:
            return f"{self.value:.3f} x (no interval: fewer than {ROUNDS_FOR_AN_INTERVAL} rounds)"
        return f"{self.value:.3f} x ({self.low:.3f} to {self.high:.3f})"


def interleaved(arms: Arms, rounds: int, what: str) -> dict[str, list[float]]:
    """What each arm did in a second, round by round; every round begins with another arm."""
    for name, work in arms.items():
        click.echo(f"{what}: warming up, {name}", err=True)
        work()
    rates: dict[str, list[float]] = {name: [] for name in arms}
    names = list(arms)
    for i in range(rounds):
        shift = i % len(names)
        for name in names[shift:] + names[:shift]:
            began = time.perf_counter()
            done = arms[name]()
            rates[name].append(done / (time.perf_counter() - began))
        click.echo(f"{what}: round {i + 1} of {rounds}", err=True)
    return rates


def ratios_to_the_first(rates: Mapping[str, Sequence[float]]) -> list[Ratio]:
    """The first arm's rate over each other's, within each round."""
    first, *others = rates
    return [median_ratio(first, other, rates[first], rates[other]) for other in others]


def median_ratio(name: str, other: str, ours: Sequence[float], theirs: Sequence[float]) -> Ratio:
    ratios = np.array(ours) / np.array(theirs)
    median = float(np.median(ratios))
    low = high = None
    if len(ratios) >= ROUNDS_FOR_AN_INTERVAL:
        # scipy's signature says int of a q that is any value of the sample's kind
        found = quantile_test(ratios, q=median, p=0.5)  # pyright: ignore[reportArgumentType]
        low, high = map(float, found.confidence_interval(0.95))
    return Ratio(name, other, median, low, high)


def machine() -> dict[str, Any]:
    """Where it was timed."""
    return {
        "cpu": platform.processor() or platform.machine(),
        "cores": os.cpu_count(),
        "threads": torch.get_num_threads(),
        "cuda": torch.cuda.is_available(),
        "versions": {name: version(name) for name in ("toprope", "torch", "transformers")},
    }
