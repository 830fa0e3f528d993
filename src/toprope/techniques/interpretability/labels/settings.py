"""What a user says about labels: how many latents get one, from whom, and what scores it."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field, field_validator

from toprope.study import NOBODY
from toprope.techniques.interpretability.labels.definition import Definition
from toprope.techniques.interpretability.labels.naming import ScorerName, check_scorers


class LabelSettings(BaseModel):
    """What is labelled, by whom, and what counts as interpretable."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    overseer: str = Field(
        default=NOBODY,
        description="the model that explains latents and judges labels; none: labels are tokens",
    )
    latents: int = Field(default=100, ge=6, description="drawn at random to be labelled")
    steering: bool = Field(
        default=False,
        description="show the overseer what steering by a latent does, too: a second or so each",
    )
    scorers: tuple[ScorerName, ...] = Field(
        default=("trained", "embedding"),
        min_length=1,
        description="what scores labels; the first one decides what is interpretable",
    )
    windows: int = Field(
        default=20, ge=5, le=20, description="that fire and that don't, by which a label is scored"
    )
    threshold: float = Field(
        default=0.7, ge=0.5, le=1, description="of its score, from which a latent is interpretable"
    )

    @field_validator("scorers")
    @classmethod
    def _once(cls, scorers: tuple[str, ...]) -> tuple[str, ...]:
        if len(set(scorers)) < len(scorers):
            raise ValueError("name each scorer once")
        if scorers and scorers[0] == "intruder":
            raise ValueError("intruder scores no label: put another scorer first")
        return scorers

    @property
    def definition(self) -> Definition:
        return Definition(scorer=self.scorers[0], threshold=self.threshold)

    def check(self) -> None:
        """
        Raises:
            UserError: a scorer that asks an overseer, and there's none that it can ask.
        """
        check_scorers(self.scorers, self.overseer)
