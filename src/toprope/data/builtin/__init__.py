"""Sets that toprope generates itself, whose truth is known by construction."""

from collections.abc import Mapping
from typing import Protocol

from toprope.data.builtin.arithmetic import arithmetic
from toprope.data.builtin.cities import cities
from toprope.data.examples import Dataset


class Generator(Protocol):
    """Makes a set of `size` examples (None: its default), the same ones for the same seed."""

    def __call__(self, size: int | None = None, *, seed: int = 0) -> Dataset: ...


BUILTIN: Mapping[str, Generator] = {"arithmetic": arithmetic, "cities": cities}

__all__ = ["BUILTIN", "arithmetic", "cities"]
