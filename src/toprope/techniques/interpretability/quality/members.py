"""Which latents of the seeds a consensus dictionary's features are, kept beside it."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from toprope.errors import UserError
from toprope.files import write_tensors, write_text

MEMBERS = "consensus"
"""What the files are called."""


@dataclass(frozen=True)
class Members:
    """Features C in S seeds.

    Attributes:
        members_CS: int64, which latent of each seed is the feature; -1: none.
        cohesion_C: the mean cosine of its members' decoder rows with its own.
        threshold: both cosines of a feature's members with the first of them are above it.
    """

    members_CS: NDArray[np.int64]
    cohesion_C: NDArray[np.float64]
    threshold: float

    @property
    def recurrence_C(self) -> NDArray[np.int64]:
        """int64, in how many seeds each feature is."""
        return (self.members_CS >= 0).sum(1)

    def save(self, folder: Path) -> None:
        """Writes consensus.safetensors and consensus.json, each whole or not at all."""
        arrays = {"members": self.members_CS, "cohesion": self.cohesion_C}
        about = {"seeds": self.members_CS.shape[1], "threshold": self.threshold}
        write_tensors(folder / f"{MEMBERS}.safetensors", arrays)
        write_text(folder / f"{MEMBERS}.json", json.dumps(about, indent=1) + "\n")


def load_members(folder: Path) -> Members:
    """What `Consensus.save` wrote beside the dictionary.

    Raises:
        UserError: the folder holds none, or damaged ones.
    """
    from safetensors import SafetensorError
    from safetensors.numpy import load_file

    try:
        about = json.loads((folder / f"{MEMBERS}.json").read_text(encoding="utf-8"))
        arrays = load_file(folder / f"{MEMBERS}.safetensors")
        return Members(arrays["members"], arrays["cohesion"], float(about["threshold"]))
    except (OSError, ValueError, KeyError, TypeError, SafetensorError) as error:
        reason = " ".join(str(error).split())
        raise UserError(f"no whole consensus of seeds in '{folder}': {reason[:200]}") from None
