"""Named random generators: the same seed and name give the same numbers in every process."""

from collections.abc import Iterable
from hashlib import sha256

import numpy as np


def named_rng(seed: int, *names: str) -> np.random.Generator:
    """The generator for one purpose. Different names give independent streams under one seed."""
    return np.random.default_rng(int.from_bytes(_digest(seed, names)[:16], "little"))


def named_seed(seed: int, *names: str) -> int:
    """The seed for one purpose, of 31 bits: what every server takes."""
    return int.from_bytes(_digest(seed, names)[:4], "little") >> 1


def _digest(seed: int, names: Iterable[str]) -> bytes:
    return sha256("/".join([str(seed), *names]).encode()).digest()
