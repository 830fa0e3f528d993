"""The two ways to learn from readings: a head on the model's states, or the model itself by LoRA.

A learner holds the readings of all its hearings, and learns from some of them at a time.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from numpy.typing import NDArray

from toprope.data.seeding import named_rng
from toprope.models.adapters import Lora
from toprope.models.local import LocalModel, Prompt
from toprope.progress import Progress
from toprope.techniques.debate.judges import letters
from toprope.techniques.debate.trained import comparing
from toprope.techniques.debate.trained.judge import HeadScorer, LoraScorer, Scorer, states
from toprope.techniques.debate.trained.reading import Readings

DEPTHS = (0.5, 0.625, 0.75, 0.875, 1.0)
"""Layers that a head may read, as shares of the model's depth."""

HELD_OUT = 0.2
"""The share of a fine-tuning's groups of questions by which it's stopped."""

LORA = Lora(epochs=4, learning_rate=3e-4, batch_size=16)

Hearings = Sequence[int]
"""Indices of some of a learner's hearings."""


class Learner(Protocol):
    @property
    def shuffles(self) -> int:
        """How often the control with a wrong truth is done: as often as it's cheap."""
        ...

    def fit(self, hearings: Hearings, right: Sequence[int]) -> Scorer:
        """
        Args:
            right: of each of these hearings, the option that is.
        """
        ...

    def scores(self, scorer: Scorer, hearings: Hearings) -> list[NDArray]:
        """Of each option of these hearings."""
        ...


@dataclass(frozen=True)
class HeadLearner:
    """
    Attributes:
        states: layer -> the state of every letter of the readings, [N * letters, D].
        units: of each hearing, what is left out together.
    """

    model: LocalModel
    readings: Readings
    states: Mapping[int, NDArray]
    units: Sequence[str]
    shuffles = 8

    @classmethod
    def of(
        cls, model: LocalModel, readings: Readings, units: Sequence[str], progress: Progress | None
    ) -> HeadLearner:
        """Reads everything once."""
        layers = sorted({max(1, round(depth * model.n_layers)) for depth in DEPTHS})
        found = states(model, readings.prompts, readings.letters, layers, progress=progress)
        return cls(model, readings, found, units)

    def fit(self, hearings: Hearings, right: Sequence[int]) -> HeadScorer:
        places = [self.readings.places[h] for h in hearings]
        units = [self.units[h] for h in hearings]
        found = comparing.fit(self.states, places, right, units)
        return HeadScorer(self.model, found.layer, found.head)

    def scores(self, scorer: Scorer, hearings: Hearings) -> list[NDArray]:
        assert isinstance(scorer, HeadScorer)
        scores_N = scorer.head.logits(self.states[scorer.layer])[:, 0]
        return [scores_N[self.readings.places[h]] for h in hearings]


@dataclass(frozen=True)
class LoraLearner:
    """Fine-tunes the model anew for each fit, to name the right letter.

    Some of the questions only say when to stop.
    """

    model: LocalModel
    readings: Readings
    units: Sequence[str]
    lora: Lora
    seed: int
    progress: Progress | None
    shuffles = 1

    def fit(self, hearings: Hearings, right: Sequence[int]) -> LoraScorer:
        rng = named_rng(self.seed, "debate", "trained judge", "held out")
        groups = rng.permutation(sorted({self.units[h] for h in hearings}))
        held = set(groups[: max(1, round(HELD_OUT * len(groups)))])
        taught: dict[int, tuple[Prompt, str]] = {}
        validation: dict[int, tuple[Prompt, str]] = {}
        for h, option in zip(hearings, right, strict=True):
            # What seatings share is learned once.
            n, letter = divmod(int(self.readings.places[h][option]), self.readings.letters)
            pair = self.readings.prompts[n], letters(self.model, letter + 1)[-1]
            (validation if self.units[h] in held else taught)[n] = pair
        adapter = self.model.finetune_text(
            list(taught.values()),
            self.lora.model_copy(update={"seed": self.seed}),
            validation=list(validation.values()),
            progress=self.progress,
        )
        return LoraScorer.of(adapter)

    def scores(self, scorer: Scorer, hearings: Hearings) -> list[NDArray]:
        n = self.readings.letters
        read = sorted({int(self.readings.places[h][0]) // n for h in hearings})
        prompts = [self.readings.prompts[one] for one in read]
        found = dict(zip(read, scorer.scores(prompts, n, progress=self.progress), strict=True))
        return [
            found[int(place_O[0]) // n][place_O % n]
            for place_O in (self.readings.places[h] for h in hearings)
        ]
