"""What every kind of dictionary is: an encoder from activations to sparse codes, and a decoder.

A dictionary works on standardised activations x = (raw - mean) / scale; it keeps the mean and scale
of the activations that it was trained on. A kind adds how codes are chosen and what is minimised;
nothing here trains (see `toprope.techniques.interpretability.training`).
"""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from torch import Tensor, nn

from toprope.errors import UserError, unknown
from toprope.files import write_tensors, write_text

ABOUT = "dictionary.json"
WEIGHTS = "weights.safetensors"


@dataclass(frozen=True)
class Codes:
    """The latents that are active on each row, and how strongly.

    Attributes:
        values_BK: >= 0; zero is not active. K is the most that any row has.
        latents_BK: int64; no latent twice in a row, but for 0, which pads rows with fewer.
        width: F, how many latents there are.
    """

    values_BK: Tensor
    latents_BK: Tensor
    width: int

    def dense(self) -> Tensor:
        """[B, F], with zeros where a latent isn't active."""
        zeros_BF = self.values_BK.new_zeros(len(self.values_BK), self.width)
        return zeros_BF.scatter_add(1, self.latents_BK, self.values_BK)

    @property
    def l0(self) -> float:
        """Active latents on a row, on average."""
        return (self.values_BK > 0).sum().item() / max(1, len(self.values_BK))

    def active_F(self) -> Tensor:
        """bool [F]: which latents are active on any row."""
        active_F = torch.zeros(self.width, dtype=torch.bool, device=self.latents_BK.device)
        active_F[self.latents_BK[self.values_BK > 0]] = True
        return active_F


@dataclass(frozen=True)
class Loss:
    """One batch's loss; the first three are scalars, and `total` can be differentiated.

    Attributes:
        total: what is minimised.
        reconstruction: mean squared error over rows and channels.
        auxiliary: the kind's own second term, before its coefficient; zero without one.
        codes: what the batch was encoded to, detached.
    """

    total: Tensor
    reconstruction: Tensor
    auxiliary: Tensor
    codes: Codes


class DictionarySettings(BaseModel):
    """What makes a dictionary, besides the data; a kind adds its own numbers.

    Attributes:
        width: F, the number of latents.
        d_model: D, the channels of an activation.
        active: K, the latents active on a row: exactly, on average or as a target, by kind.
        seed: what the first weights come from.
        dead_after: rows without activity after which a latent counts as dead (Gao et al. 2024: 10
            million tokens, in runs of billions).
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    kind: str
    width: int = Field(gt=0)
    d_model: int = Field(gt=0)
    active: int = Field(default=32, gt=0)
    seed: int = 0
    dead_after: int = Field(default=200_000, gt=0)


class Origin(BaseModel):
    """Where the activations come from that a dictionary was trained on.

    Attributes:
        model, layer, dtype: what was captured, in what precision the model ran.
        output_layer: where a transcoder's targets come from; None for other kinds.
        corpus: the fingerprint of the texts.
        tokens: rows seen in training.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    model: str
    layer: int
    output_layer: int | None = None
    dtype: str = "float32"
    corpus: str = ""
    tokens: int = 0


class Dictionary(nn.Module, ABC):
    """Base of the kinds. Weights are float32, made on the CPU from `settings.seed`, so that they
    are the same on every device.

    Attributes:
        encoder_FD, encoder_bias_F, decoder_FD, decoder_bias_D: the weights; the decoder's rows are
            of unit norm.
        mean_D, scale_D: the standardisation, raw = mean + scale * x.
        silent_F: int64, rows seen since the latent was last active, as of the last `count`.
        origin: None until training says.
    """

    def __init__(self, settings: DictionarySettings, origin: Origin | None = None) -> None:
        super().__init__()
        if settings.active > settings.width:
            raise UserError(
                f"a dictionary of width {settings.width} can't have {settings.active} active "
                "latents: lower active, or raise width"
            )
        self._settings = settings
        self.origin = origin
        F, D = settings.width, settings.d_model
        rng = torch.Generator().manual_seed(settings.seed)
        directions_FD = nn.functional.normalize(torch.randn(F, D, generator=rng), dim=-1)
        self.encoder_FD = nn.Parameter(directions_FD.clone())
        self.encoder_bias_F = nn.Parameter(torch.zeros(F))
        self.decoder_FD = nn.Parameter(directions_FD)
        self.decoder_bias_D = nn.Parameter(torch.zeros(D))
        self.mean_D: Tensor
        self.scale_D: Tensor
        self.silent_F: Tensor
        self.register_buffer("mean_D", torch.zeros(D))
        self.register_buffer("scale_D", torch.ones(D))
        self.register_buffer("silent_F", torch.zeros(F, dtype=torch.int64))

    @property
    def settings(self) -> DictionarySettings:
        return self._settings

    @property
    def width(self) -> int:
        """F."""
        return self.settings.width

    @property
    def d_model(self) -> int:
        """D."""
        return self.settings.d_model

    @property
    def dead_F(self) -> Tensor:
        """bool [F]: which latents have been silent for `dead_after` rows."""
        return self.silent_F >= self.settings.dead_after

    @abstractmethod
    def encode(self, x_BD: Tensor) -> Codes:
        """The codes of standardised activations, without gradient."""

    @abstractmethod
    def loss(self, x_BD: Tensor, target_BD: Tensor | None = None) -> Loss:
        """What training minimises on a batch.

        Args:
            target_BD: what to reconstruct, standardised; None: x itself, but for transcoders.
        """

    @torch.no_grad()
    def decode(self, codes: Codes) -> Tensor:
        """Standardised [B, D] from codes."""
        from toprope.techniques.interpretability.dictionaries.sparse import decoded

        return decoded(codes, self.decoder_FD) + self.decoder_bias_D

    def reconstruct(self, x_BD: Tensor) -> Tensor:
        """Standardised [B, D]: decoded after encoding."""
        return self.decode(self.encode(x_BD))

    def standardise(self, raw_BD: Tensor) -> Tensor:
        """What `encode` takes, of a model's own activations."""
        return (raw_BD - self.mean_D) / self.scale_D

    def restore(self, x_BD: Tensor) -> Tensor:
        """The model's own activations, of what `decode` gives."""
        return x_BD * self.scale_D + self.mean_D

    def start(self, x_BD: Tensor, target_BD: Tensor | None = None) -> None:
        """Sets what the first weights take from data, of a first batch."""

    def before_step(self) -> None:
        """What is done to the gradients before the optimizer's step."""

    def after_step(self) -> None:
        """What is done to the weights after the optimizer's step: the decoder's rows go back to
        unit norm."""
        with torch.no_grad():
            self.decoder_FD.div_(torch.linalg.vector_norm(self.decoder_FD, dim=-1, keepdim=True))

    def count(self, codes: Codes) -> None:
        """Brings `silent_F` up to date after a batch."""
        self.silent_F += len(codes.values_BK)
        self.silent_F[codes.active_F()] = 0

    def save(self, folder: Path) -> None:
        """Writes dictionary.json and weights.safetensors, each whole or not at all; the description
        comes last, so that a folder that has one is complete.

        Raises:
            OSError: they can't be written.
        """
        origin = self.origin.model_dump() if self.origin else None
        about = {"settings": self.settings.model_dump(), "origin": origin}
        write_tensors(folder / WEIGHTS, self.state_dict())
        write_text(folder / ABOUT, json.dumps(about, indent=1) + "\n")


def load(folder: Path, device: str | torch.device = "cpu") -> Dictionary:
    """The dictionary, of whatever kind, that `save` wrote.

    Raises:
        UserError: the folder holds none, or a damaged one.
    """
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        about = json.loads((folder / ABOUT).read_text(encoding="utf-8"))
        dictionary = make(about["settings"], about["origin"])
        dictionary.load_state_dict(load_file(folder / WEIGHTS))
    except FileNotFoundError as error:
        name = Path(error.filename or WEIGHTS).name
        raise UserError(
            f"no dictionary in '{folder}': {name} is missing; give a folder that training wrote"
        ) from None
    except (ValueError, KeyError, TypeError, SafetensorError, RuntimeError) as error:
        reason = " ".join(str(error).split())
        raise UserError(f"the dictionary in '{folder}' is damaged: {reason[:300]}") from None
    return dictionary.to(device).eval()


def make(settings: dict[str, Any] | DictionarySettings, origin: Any = None) -> Dictionary:
    """A new dictionary of the kind that the settings name.

    Raises:
        UserError: an unknown kind, or settings that it doesn't have.
    """
    from toprope.techniques.interpretability.dictionaries.kinds import KINDS

    given = settings if isinstance(settings, dict) else settings.model_dump()
    kind = given.get("kind", "topk")
    if kind not in KINDS:
        raise unknown("kind of dictionary", str(kind), KINDS)
    form, build = KINDS[kind]
    try:
        about = form.model_validate({**given, "kind": kind})
        origin = Origin.model_validate(origin) if isinstance(origin, dict) else origin
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"])) or "settings"
        raise UserError(f"dictionary of kind '{kind}': {where}: {first['msg']}") from None
    return build(about, origin)
