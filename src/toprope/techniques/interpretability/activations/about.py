"""What a capture says of itself, and how its folder is laid out.

    capture.json          whose activations these are, the settings, mean and scale, what was
                          dropped, and each shard's rows and hashes
    shards.jsonl          the same of each shard as it is done, for a capture under way
    windows.safetensors   the token windows that the model read, their documents
                          and groups
    rows/00000.safetensors       for each row its window and its place there
    layer-12/00000.safetensors   for each row its activations at layer 12

Nothing here reads or writes rows.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from toprope.errors import UserError
from toprope.journal import key_of
from toprope.techniques.interpretability.activations.settings import CaptureSettings

ABOUT = "capture.json"
JOURNAL = "shards.jsonl"
WINDOWS = "windows.safetensors"
ROWS = "rows"


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Source(_Frozen):
    """All that decides what a capture holds."""

    format: Literal[2] = 2
    model: str
    model_fingerprint: str
    dtype: str
    d_model: int
    corpus: str
    corpus_fingerprint: str
    settings: CaptureSettings

    @property
    def identity(self) -> str:
        """32 hex digits; the names of model and corpus don't count."""
        return key_of(self.model_dump(mode="json", exclude={"model", "corpus"}))

    def label(self, folder: str, shard: int) -> dict[str, str]:
        """What a shard's file says of itself."""
        return {"capture": self.identity, "folder": folder, "shard": str(shard)}


class Moments(_Frozen):
    """A layer's statistics, by which its rows are standardised: x = (raw - mean) / scale.

    Attributes:
        median_norm: of a token, outliers included.
        mean, scale: of each channel, D numbers, without outliers; a channel that never varies has
            scale 1.
    """

    median_norm: float
    mean: tuple[float, ...]
    scale: tuple[float, ...]


class Shard(_Frozen):
    """What became of the tokens of one shard's windows.

    Attributes:
        rows: kept; `first` and `outliers` were dropped, as the first of their window, where a model
            parks its attention, and for their norm.
        sha256: folder -> hash of the shard's file there.
    """

    training: bool
    rows: int
    first: int
    outliers: int
    sha256: Mapping[str, str]


class About(_Frozen):
    """What `capture.json` holds.

    Attributes:
        licence, texts: of the corpus, as its description has them.
        moments: by layer; none before the first shard is read.
        windows: SHA-256 (hex) of the file with the windows.
        left_out: tokens that weren't read, since their window was too short.
        shards: in order; None until all are done.
    """

    source: Source
    licence: str = ""
    texts: str = ""
    moments: Mapping[int, Moments] = Field(default_factory=dict)
    windows: str = ""
    left_out: int = 0
    shards: tuple[Shard, ...] | None = None


def load_about(folder: Path) -> About | None:
    """What a folder's capture says of itself; None where there is none.

    Raises:
        UserError: it can't be read.
    """
    path = folder / ABOUT
    if not path.is_file():
        return None
    try:
        return About.model_validate_json(path.read_bytes())
    except (OSError, ValidationError):
        raise UserError(
            f"{path} is damaged, or of another version: capture into another folder"
        ) from None


def layer_folder(layer: int) -> str:
    return f"layer-{layer}"


def file_name(shard: int) -> str:
    return f"{shard:05d}.safetensors"
