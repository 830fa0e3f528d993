"""Simulation (Bills et al. 2023, "Language models can explain neurons in language models"): given
the label, a local model predicts how strongly the latent fires on each token, and the score is the
correlation with how it does.

All tokens of a window are read in one pass (their "all at once" simulation): after each comes a tab
and then a word in place of the number; the prediction is the expected digit at the tab. The scale
is 0 to 9, one token in most vocabularies, where theirs is 0 to 10. Served models give no such
probabilities.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
import torch

from toprope.errors import UserError
from toprope.models.together import Together
from toprope.techniques.interpretability.examples import LatentExamples
from toprope.techniques.interpretability.labels.prompting import prompt, prompt_text
from toprope.techniques.interpretability.labels.scorers.asking import digest
from toprope.techniques.interpretability.labels.scorers.scorer import (
    Item,
    Negatives,
    Verdict,
    detection_items,
    named,
)

if TYPE_CHECKING:
    from toprope.models.local import LocalModel

HIDDEN = "unknown\n"
"""Stands in place of each number, as in the original."""

TOGETHER = 16


@dataclass(frozen=True)
class SimulationScorer:
    """Verdicts carry the predictions; their score is the highest in the window."""

    model: LocalModel
    negatives: Negatives = "hard"
    needs_label: bool = field(default=True, init=False)
    _together: Together[tuple[str, tuple[str, ...]], tuple[float, ...]] = field(
        init=False, repr=False
    )

    def __post_init__(self) -> None:
        if not self.model.is_causal:
            raise UserError(
                f"model '{self.model.name}' is an encoder and predicts no words: simulation needs "
                "a model that generates text"
            )
        object.__setattr__(self, "_together", Together(self._simulated, TOGETHER))

    @property
    def name(self) -> str:
        return named("simulation", self.negatives)

    @property
    def fingerprint(self) -> str:
        return digest(self.model.fingerprint, prompt_text("simulation"), HIDDEN, self.negatives)

    def items(self, examples: LatentExamples, rng: np.random.Generator) -> list[Item]:
        return detection_items(examples, rng, self.negatives)

    async def score(self, label: str, items: Sequence[Item]) -> list[Verdict]:
        found = await asyncio.gather(
            *(self._together((label, item.window.tokens)) for item in items)
        )
        return [Verdict(max(values), None, per_token=values) for values in found]

    def _simulated(self, asked: Sequence[tuple[str, tuple[str, ...]]]) -> list[tuple[float, ...]]:
        return [simulate(self.model, label, tokens) for label, tokens in asked]


@torch.inference_mode()
def simulate(model: LocalModel, label: str, tokens: Sequence[str]) -> tuple[float, ...]:
    """The expected activation of each token, 0 to 9."""
    ids = list(model.tokens(prompt("simulation", label=label) + "\n"))
    places = []
    for token in tokens:
        ids += model.continuation(token.replace("\n", "↵").replace("\t", " ") + "\t")
        places.append(len(ids) - 1)
        ids += model.continuation(HIDDEN)
    digits_C = torch.tensor([model.continuation(str(digit))[-1] for digit in range(10)])
    with model.turn:
        logits_TV = model.module(
            input_ids=torch.tensor([ids], device=model.device),
            use_cache=False,
            logits_to_keep=torch.tensor(places, device=model.device),
        ).logits[0]
        model.tokens_read += len(ids)
    probs_TC = logits_TV[:, digits_C].float().softmax(-1)
    return tuple((probs_TC @ torch.arange(10.0, device=probs_TC.device)).tolist())


def correlation(items: Sequence[Item], verdicts: Sequence[Verdict]) -> float | None:
    """Of predicted and true activations over all tokens of a latent's windows; 0 where the
    predictions don't vary, None where nothing was predicted or the latent doesn't vary."""
    pairs = [
        (item.window.activations, verdict.per_token)
        for item, verdict in zip(items, verdicts, strict=True)
        if verdict.per_token
    ]
    if not pairs:
        return None
    true_N, predicted_N = (np.concatenate([np.asarray(p[k]) for p in pairs]) for k in (0, 1))
    if np.ptp(true_N) == 0:
        return None
    if np.ptp(predicted_N) == 0:
        return 0.0
    return float(np.corrcoef(true_N, predicted_N)[0, 1])
