"""Named random generators: the same seed and name give the same numbers in every process."""

from hashlib import sha256

import numpy as np


def named_rng(seed: int, *names: str) -> np.random.Generator:
    """The generator for one purpose. Different names give independent streams under one seed."""
    digest = sha256("/".join([str(seed), *names]).encode()).digest()
    return np.random.default_rng(int.from_bytes(digest[:16], "little"))
