"""Recipe: what a folder of features is made from: whose activations on which texts, and what
dictionaries are trained on them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from toprope.errors import UserError
from toprope.techniques.interpretability.activations.settings import CaptureSettings, Scaling, Store

if TYPE_CHECKING:
    from toprope.techniques.interpretability.dictionaries.dictionary import DictionarySettings

DEPTH = 0.4
"""The share of a model's depth at which its states are read where no layer is named."""

FEWEST_FIRINGS = 50
"""Times that a latent is active in training, on average, below which a dictionary learns nothing of
most of them."""

Kind = Literal["topk", "batch_topk", "matryoshka", "jumprelu", "archetypal"]


class Recipe(BaseModel):
    """All that decides a folder's dictionaries, besides the model's weights and the texts."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    target: str = Field(description="the model whose states are read: a local one")
    texts: str = Field(
        description="what it reads: a corpus in the data folder, a .yaml that describes one, "
        "file:PATH or hf:OWNER/NAME"
    )
    layer: int | None = Field(
        default=None,
        ge=0,
        description="whose output is read, from 1; none: at two fifths of the depth",
    )
    also: tuple[int, ...] = Field(
        default=(),
        description="layers captured in the same pass, for other features that share the captures",
    )
    tokens: int | None = Field(
        default=1_000_000, ge=1000, description="to train on; none: all that the texts have"
    )
    window: int = Field(default=128, ge=2, description="tokens that the model reads at once")
    share: float = Field(default=0.1, gt=0, lt=1, description="of the documents, held out")
    store: Store = Field(default="int8", description="how activations are kept on disk")
    scaling: Scaling = Field(
        default="channel",
        description="of activations before a dictionary reads them: each channel by its own "
        "standard deviation, or all by a common one",
    )
    kind: Kind = Field(default="topk", description="of dictionary")
    width: int = Field(default=4096, ge=2, description="latents of a dictionary")
    active: int = Field(
        default=32, ge=1, description="latents active on a token: exactly, or on average, by kind"
    )
    seeds: int = Field(default=3, ge=1, description="dictionaries, which differ in their seed")
    epochs: int = Field(default=1, ge=1, description="how often each token is trained on")
    batch: int = Field(default=2048, ge=1, description="tokens of a step")
    learning_rate: float = Field(default=1e-3, gt=0, description="at its peak")
    recurs_in: int = Field(
        default=2, ge=2, description="seeds that must share a feature of the consensus"
    )
    controls: bool = Field(
        default=True,
        description="also train on a model with random weights, and with a decoder that stays so",
    )

    @model_validator(mode="after")
    def _fits(self) -> Recipe:
        if self.active > self.width:
            raise ValueError(f"{self.active} latents can't be active of {self.width}")
        if self.tokens is not None and self.tokens < self.batch:
            raise ValueError(
                f"{self.tokens:,} tokens make no batch of {self.batch:,}: take more tokens, or a "
                "smaller batch"
            )
        if 1 < self.seeds < self.recurs_in:
            raise ValueError(f"no feature can recur in {self.recurs_in} of {self.seeds} seeds")
        return self

    def check_width(self, tokens: int | None = None) -> None:
        """
        Args:
            tokens: that there are to train on; None: those that are asked for.

        Raises:
            UserError: too few: most latents would hardly ever be active.
        """
        tokens = tokens if tokens is not None else self.tokens
        if tokens is None:
            return
        firings = tokens * self.epochs * self.active / self.width
        if firings < FEWEST_FIRINGS:
            raise UserError(
                f"{tokens:,} tokens are too few for dictionaries of {self.width:,} latents: each "
                f"would be active {firings:.1f} times on average, and should be {FEWEST_FIRINGS}: "
                "take more tokens, a smaller width or more epochs"
            )

    def captured(self, layer: int) -> CaptureSettings:
        return CaptureSettings(
            layers=(layer, *self.also),
            window=self.window,
            tokens=self.tokens,
            held_out=self.share,
            store=self.store,
        )

    def dictionary(self, d_model: int, seed: int) -> DictionarySettings:
        from toprope.techniques.interpretability.dictionaries.kinds import KINDS

        form, _ = KINDS[self.kind]
        return form(
            kind=self.kind, width=self.width, d_model=d_model, active=self.active, seed=seed
        )
