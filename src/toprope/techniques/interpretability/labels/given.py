"""Labels that a user gives: their own, or another tool's, to be scored as ours are."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from toprope.errors import UserError
from toprope.techniques.interpretability.examples import LatentExamples
from toprope.techniques.interpretability.labels.labeller import Label
from toprope.techniques.interpretability.labels.scorers.asking import digest


@dataclass(frozen=True)
class Given:
    """A labeller that has its labels already.

    Attributes:
        source: the file they are from, for messages.
    """

    labels: Mapping[int, str]
    source: str
    name: str = field(default="given", init=False)

    def fingerprint(self, examples: LatentExamples) -> str:
        return digest(self.name, self.labels[examples.latent])

    async def label(self, examples: LatentExamples) -> Label:
        text = self.labels[examples.latent].strip()
        return Label(text) if text else Label("", "empty")


def read_labels(path: Path) -> Given:
    """Labels of a JSONL file, a line each with `latent`, a number, and `label`.

    Raises:
        UserError: no such file, a line that isn't such a record, or two labels of one latent.
    """
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"can't read the labels in '{path}': {error}") from None
    found: dict[int, str] = {}
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            record = json.loads(line)
            latent, label = record["latent"], record["label"]
        except (ValueError, KeyError, TypeError):
            latent = label = None
        if not isinstance(latent, int) or not isinstance(label, str):
            raise UserError(
                f"{path}, line {number}: not a label; it needs 'latent', a number, and 'label'"
            )
        if latent in found:
            raise UserError(f"{path}, line {number}: latent {latent} has a label already")
        found[latent] = label
    if not found:
        raise UserError(f"{path} holds no labels: a line each with 'latent' and 'label'")
    return Given(found, source=path.name)
