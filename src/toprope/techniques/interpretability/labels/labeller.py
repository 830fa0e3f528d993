"""What every labeller is: it reads a latent's examples and writes a label, or says why there's
none."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, Protocol

from toprope.techniques.interpretability.examples import LatentExamples

Outcome = Literal["labelled", "empty", "refused", "unparsable", "lost"]
"""lost: no answer came."""


@dataclass(frozen=True)
class Label:
    """Attributes:
    text: empty where there's no label.
    """

    text: str
    outcome: Outcome = "labelled"


class Labeller(Protocol):
    """Attributes:
    name: as results call it.
    """

    @property
    def name(self) -> str: ...
    def fingerprint(self, examples: LatentExamples) -> str:
        """Of all that decides the latent's label."""
        ...

    async def label(self, examples: LatentExamples) -> Label: ...
