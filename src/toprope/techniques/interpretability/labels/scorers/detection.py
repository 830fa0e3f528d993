"""Detection (Paulo et al. 2024, arXiv 2410.13928, section 3): the judge says of each window, with
nothing marked, whether the latent fires somewhere in it."""

from __future__ import annotations

from toprope.techniques.interpretability.labels.scorers.asking import Task
from toprope.techniques.interpretability.labels.scorers.scorer import Item, detection_items


def _text(item: Item) -> str:
    return item.window.text


DETECTION = Task("detection", detection_items, _text)
