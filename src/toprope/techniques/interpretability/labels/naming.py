"""Labellers and scorers by name: what a study and the command line may ask for."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal, get_args

from toprope.errors import UserError
from toprope.models.chat import is_served
from toprope.models.embedding import EMBEDDER
from toprope.study import NOBODY
from toprope.techniques.interpretability.labels.features import (
    CosineFeatures,
    Features,
    Joined,
    LexicalFeatures,
    StateFeatures,
)
from toprope.techniques.interpretability.labels.scorers.asking import ChatScorer, LocalScorer
from toprope.techniques.interpretability.labels.scorers.detection import DETECTION
from toprope.techniques.interpretability.labels.scorers.embedding import Embedder, EmbeddingScorer
from toprope.techniques.interpretability.labels.scorers.fuzzing import FUZZING
from toprope.techniques.interpretability.labels.scorers.intruder import ChatIntruder, LocalIntruder
from toprope.techniques.interpretability.labels.scorers.scorer import Negatives, Scorer
from toprope.techniques.interpretability.labels.scorers.simulation import SimulationScorer

if TYPE_CHECKING:
    from toprope.lab import Lab

ScorerName = Literal[
    "trained", "trained_states", "detection", "fuzzing", "embedding", "simulation", "intruder"
]
SCORERS: tuple[str, ...] = get_args(ScorerName)
JUDGED = ("trained_states", "detection", "fuzzing", "simulation", "intruder")
"""Those that read or ask the overseer."""
TRAINED = ("trained", "trained_states")
"""Those that learn from the labels."""
INSIDE = {
    "trained_states": "reads a model's states",
    "simulation": "reads a model's probabilities",
}
"""What a served model doesn't give."""


def check_scorers(names: tuple[str, ...], overseer: str) -> None:
    """
    Raises:
        UserError: a scorer that asks an overseer, and there's none, or one that it can't be asked
            by.
    """
    for name in names:
        if name in JUDGED and overseer == NOBODY:
            raise UserError(
                f"the scorer '{name}' asks an overseer: name one (--overseer MODEL), or score by "
                "'trained' or 'embedding', which need none"
            )
        if name in INSIDE and is_served(overseer):
            raise UserError(
                f"the scorer '{name}' {INSIDE[name]}, and the served model '{overseer}' gives "
                "none: name a local overseer"
            )


def make_scorers(
    names: tuple[str, ...], overseer: str, lab: Lab, negatives: Negatives = "hard"
) -> list[Scorer[Any]]:
    """Scorers by name, but for those that learn from the labels (`make_features`).

    Raises:
        UserError: as `check_scorers`; the overseer can't be opened.
    """
    check_scorers(names, overseer)
    return [_made(name, overseer, lab, negatives) for name in names if name not in TRAINED]


def make_features(names: tuple[str, ...], overseer: str, lab: Lab) -> dict[str, Features]:
    """What those scorers read that learn from the labels (`crossfitted.with_trained`), by name."""
    found: dict[str, Features] = {}
    if "trained" in names:
        cosine = CosineFeatures(Embedder(lab.local(EMBEDDER)))
        found["trained"] = Joined((cosine, LexicalFeatures()))
    if "trained_states" in names:
        found["trained_states"] = StateFeatures(lab.local(overseer))
    return found


def _made(name: str, overseer: str, lab: Lab, negatives: Negatives) -> Scorer[Any]:
    if name == "embedding":
        return EmbeddingScorer(Embedder(lab.local(EMBEDDER)), negatives)
    if name == "simulation":
        return SimulationScorer(lab.local(overseer), negatives)
    served = is_served(overseer)
    if name == "intruder":
        if served:
            return ChatIntruder(negatives, chat=lab.chat(overseer))
        return LocalIntruder(negatives, model=lab.local(overseer))
    task = {"detection": DETECTION, "fuzzing": FUZZING}[name]
    if served:
        return ChatScorer(lab.chat(overseer), task, negatives=negatives)
    return LocalScorer(lab.local(overseer), task, negatives)
