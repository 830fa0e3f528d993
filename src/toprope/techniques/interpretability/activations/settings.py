"""What a user says about a capture: which layers, of how much text, cut and stored how."""

from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

Store = Literal["int8", "float16"]
Scaling = Literal["channel", "common"]
"""channel: each channel by its own standard deviation; common: all by one, so that rows keep the
model's own shape, and what is lost of them counts as it does there."""
Layers = Annotated[tuple[int, ...], AfterValidator(lambda layers: tuple(sorted(set(layers))))]


class CaptureSettings(BaseModel):
    """Settings of one capture; what it makes depends on these, the model and the corpus alone."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    layers: Layers = Field(min_length=1)
    """As `LocalModel` numbers them: 0 is the embedding, i the output of block i."""
    window: int = Field(default=128, ge=2, le=32_768)
    """Tokens that the model reads at once, of one document, a beginning-of-text token included."""
    shortest: int = Field(default=16, ge=2)
    """Tokens of a document's last window, below which it is left out and counted."""
    tokens: int | None = Field(default=None, ge=1)
    """Tokens to train on, before outliers are dropped; without it all that the corpus has."""
    held_out: float = Field(default=0.1, gt=0, lt=1)
    """The share of documents that is never trained on. A document's own hash decides, so that it's
    on the same side whatever else the corpus holds."""
    store: Store = "int8"
    """A byte a channel and a scale a row, or two bytes a channel."""
    outlier: float = Field(default=10.0, gt=1)
    """A token whose norm is over so many times the layer's median is dropped, from all layers.

    In smollm2-135m from layer 10 on, 0.02% of tokens have 40 to 190 times the median and the others
    at most 1.5 times (massive activations, Sun et al. 2024, arXiv 2402.17762)."""
    shard: int = Field(default=32_768, ge=64)
    """Tokens in a file; that much is lost at most when a capture is killed. They are in memory at
    once, as float32. The first shard's also give the median norm, the mean and the scale."""
