"""What "interpretable" means, in one place, and the rate of latents that are."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import get_args

from pydantic import BaseModel, ConfigDict, Field

from toprope.statistics import LEVEL, Interval, wilson
from toprope.techniques.interpretability.examples import Shortfall
from toprope.techniques.interpretability.labels.measures import LatentScore


class Definition(BaseModel):
    """A latent is interpretable if a label lets a judge tell where it fires.

    Attributes:
        scorer: whose score counts: detection, against hard negatives, unless another is named.
        threshold: of the score. Detection's published mean is 0.74 against random negatives (Paulo
            et al. 2024, arXiv 2410.13928); hard negatives are harder, and 0.7 is not far below it.
        level: of the score's interval.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    scorer: str = "detection"
    threshold: float = Field(default=0.7, ge=0.5, le=1)
    level: float = Field(default=LEVEL, gt=0, lt=1)

    @property
    def text(self) -> str:
        """For whoever reads the rate."""
        negatives = "" if "negatives" in self.scorer else " against hard negatives"
        return (
            f"a latent is interpretable if its label's balanced accuracy in {self.scorer}"
            f"{negatives} is at least {self.threshold:g} and the lower end of its "
            f"{100 * self.level:g}% interval is above what another latent's label, matched for "
            "firing rate, scores on the same windows, and above 0.5; the rate is over the latents "
            "that fire often enough to be scored, and one without a usable label isn't "
            "interpretable"
        )

    def holds(self, score: LatentScore, control: LatentScore) -> bool:
        """Whether a label's score makes its latent interpretable.

        Args:
            control: of the same latent, by another's label: verdicts that it lacks count as right,
                and below chance it's no lower bar.
        """
        return self._clear_of(score, max(control.most, score.floor))

    def holds_shuffled(self, control: LatentScore) -> bool:
        """Whether another latent's label would make the latent interpretable, held against chance
        alone."""
        return self._clear_of(control, control.floor)

    def _clear_of(self, score: LatentScore, bar: float) -> bool:
        return score.value.value >= self.threshold and score.value.low > bar

    def could_hold(self, score: LatentScore, control: LatentScore) -> bool:
        """Whether it might, had every missing verdict been right."""
        bar = max(control.value.value, score.floor)
        return score.most >= self.threshold and score.most > bar


@dataclass(frozen=True)
class InterpretableRate:
    """
    Attributes:
        rate: among the latents that are alive and have examples enough; one whose label failed
            isn't interpretable.
        rate_of_scored: among those whose label was scored; None where none was.
        shuffled: by another latent's label in place of its own, among the same as `rate`: what the
            definition lets through by itself.
        low, high: among all that were drawn, dead and rare ones too, if none or all of those that
            weren't scored were interpretable, and all missing verdicts wrong or right.
        scored: how many.
        unscored: why, and how many.
        definition: the text.
    """

    rate: Interval
    rate_of_scored: Interval | None
    shuffled: Interval
    low: float
    high: float
    scored: int
    unscored: Mapping[str, int]
    definition: str


def interpretable_rate(
    definition: Definition,
    scores: Mapping[int, LatentScore],
    controls: Mapping[int, LatentScore],
    unscored: Sequence[str],
) -> InterpretableRate | None:
    """The rate; None where no latent that was drawn could have got a score.

    Args:
        scores, controls: of the same latents, by the definition's scorer and level.
        unscored: for each latent that has no score, why: what is a `Shortfall` isn't the label's
            failure.
    """
    failed = sum(why not in get_args(Shortfall) for why in unscored)
    looked_at = len(scores) + failed
    if not looked_at:
        return None
    level = definition.level
    holds = sum(definition.holds(scores[latent], controls[latent]) for latent in scores)
    could = sum(
        definition.holds(scores[latent], controls[latent])
        or definition.could_hold(scores[latent], controls[latent])
        for latent in scores
    )
    by_chance = sum(definition.holds_shuffled(controls[latent]) for latent in scores)
    everything = len(scores) + len(unscored)
    return InterpretableRate(
        rate=wilson(holds, looked_at, level=level),
        rate_of_scored=wilson(holds, len(scores), level=level) if scores else None,
        shuffled=wilson(by_chance, looked_at, level=level),
        low=holds / everything,
        high=(could + len(unscored)) / everything,
        scored=len(scores),
        unscored=dict(Counter(unscored)),
        definition=definition.text,
    )
