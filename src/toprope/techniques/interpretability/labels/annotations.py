"""Annotations: what is kept of a dictionary's labelled latents, in one JSON file a labeller, for
whoever searches, shows or reviews them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from toprope.errors import UserError
from toprope.files import write_text
from toprope.statistics import Interval
from toprope.techniques.interpretability.labels.definition import Definition
from toprope.techniques.interpretability.labels.labelling import Labelled

FORMAT = 1


@dataclass(frozen=True)
class Annotation:
    """One latent.

    Attributes:
        label: empty where there is none; `why` says why, or why it has no score.
        scores, controls: by scorer, in the order in which they were asked for: the label's balanced
            accuracy (an intruder's accuracy), and that of another latent's label.
        interpretable: by the file's definition; None where it wasn't scored.
    """

    latent: int
    label: str
    why: str = ""
    scores: Mapping[str, Interval] = field(default_factory=dict)
    controls: Mapping[str, Interval] = field(default_factory=dict)
    interpretable: bool | None = None


@dataclass(frozen=True)
class Annotations:
    """All of one labeller.

    Attributes:
        definition: of interpretable, in words.
    """

    labeller: str
    scorer: str
    definition: str
    latents: Mapping[int, Annotation]

    @property
    def labels(self) -> dict[int, str]:
        return {latent: one.label for latent, one in self.latents.items() if one.label}


def annotated(labelled: Labelled, definition: Definition) -> Annotations:
    """What is kept of a labelling.

    Args:
        definition: its scorer is one that the labelling used.
    """
    found = {}
    everything = sorted({*labelled.labels, *labelled.unscored})
    for latent in everything:
        scores = {name: of[latent] for name, of in labelled.scores.items() if latent in of}
        controls = {name: of[latent] for name, of in labelled.controls.items() if latent in of}
        by = definition.scorer
        holds = None
        if by in scores and by in controls:
            holds = definition.holds(scores[by], controls[by])
        label = labelled.labels.get(latent)
        found[latent] = Annotation(
            latent=latent,
            label=label.text if label else "",
            why=labelled.unscored.get(latent, ""),
            scores={name: one.value for name, one in scores.items()},
            controls={name: one.value for name, one in controls.items()},
            interpretable=holds,
        )
    return Annotations(labelled.labeller, definition.scorer, definition.text, found)


def merged(before: Annotations, now: Annotations) -> Annotations:
    """Both, where they are by one labeller and one definition; a latent's newer one stays. Of
    others the newer ones alone: a file says who labelled, and by what latents are interpretable."""
    alike = (before.labeller, before.scorer, before.definition)
    if alike != (now.labeller, now.scorer, now.definition):
        return now
    both = {**before.latents, **now.latents}
    return replace(now, latents={latent: both[latent] for latent in sorted(both)})


def save(of: Annotations, path: Path) -> None:
    """Writes them, merged with those that the file has."""
    if path.exists():
        of = merged(load(path), of)
    path.parent.mkdir(parents=True, exist_ok=True)
    kept = {
        "format": FORMAT,
        "labeller": of.labeller,
        "scorer": of.scorer,
        "definition": of.definition,
        "latents": [asdict(one) for one in of.latents.values()],
    }
    write_text(path, json.dumps(kept, indent=1) + "\n")


def load(path: Path) -> Annotations:
    """
    Raises:
        UserError: there are none, or they can't be read.
    """
    try:
        kept = json.loads(path.read_text(encoding="utf-8"))
        found = [_annotation(one) for one in kept["latents"]]
        return Annotations(
            kept["labeller"],
            kept["scorer"],
            kept["definition"],
            {one.latent: one for one in found},
        )
    except FileNotFoundError:
        raise UserError(f"no labels in {path}: 'toprope features label' writes them") from None
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UserError(f"the labels in {path} are damaged: {error}") from None


def _annotation(kept: dict[str, Any]) -> Annotation:
    intervals = {
        name: {scorer: Interval(**one) for scorer, one in kept[name].items()}
        for name in ("scores", "controls")
    }
    return Annotation(**{**kept, **intervals})
