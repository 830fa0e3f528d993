"""LoRA adapters (Hu et al. 2021, arXiv 2106.09685) on a LocalModel, sharing its loaded weights.

The layers are peft's. An adapted layer stands in for the base's layer only while its adapter is
active. At any other time the base's modules are the very ones that were loaded, so that one base
carries any number of adapters and doesn't notice them. Training is in `finetune.py`
and `preferences.py`.
"""

from __future__ import annotations

import copy
import json
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import torch
from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor, nn

from toprope.errors import UserError, unknown

if TYPE_CHECKING:
    from toprope.models.local import LocalModel

ADAPTER = "adapter"
"""What the adapter is called inside peft's layers: there is one in each."""

ABOUT = "toprope.json"
"""Beside peft's own files: the settings, and which base the adapter belongs to."""


class Lora(BaseModel):
    """An adapter's shape and how it is trained."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    rank: int = Field(default=8, ge=1, description="of each layer's update")
    alpha: float = Field(default=16, gt=0, description="the update counts alpha / rank times")
    dropout: float = Field(default=0.0, ge=0, lt=1, description="on what the update reads")
    targets: Literal["all-linear"] | tuple[str, ...] = Field(
        default="all-linear", description="the blocks' layers to adapt, such as q_proj"
    )
    learning_rate: float = Field(default=5e-4, gt=0, description="AdamW's, at its peak")
    weight_decay: float = Field(default=0.0, ge=0)
    epochs: float = Field(default=2, gt=0, description="times that each item is seen")
    batch_size: int = Field(default=32, ge=1, description="items a step")
    token_budget: int = Field(default=1024, ge=1, description="tokens a pass, padding included")
    kept_tokens: int = Field(
        default=4096,
        ge=1,
        description="tokens whose insides are kept for the backward pass; where a step of "
        "classification or a pass over preferences has more, it's run a second time instead",
    )
    warmup: float = Field(default=0.1, ge=0, le=1, description="share of the steps, linear")
    decay: Literal["cosine", "linear", "none"] = Field(default="cosine", description="after it")
    max_grad_norm: float = Field(default=1.0, gt=0, description="longer gradients are cut to it")
    validations: int = Field(default=8, ge=1, description="times that validation items are read")
    patience: int = Field(default=3, ge=1, description="validations without gain that end it")
    seed: int = Field(default=0, description="of the first weights, the order and the dropout")


@dataclass(frozen=True)
class Training:
    """How a training went.

    Attributes:
        losses: of each step.
        validation: step -> loss on the validation items.
        kept: the number of steps whose weights were kept: the best on validation, else all.
    """

    losses: tuple[float, ...]
    validation: dict[int, float]
    kept: int


@dataclass(eq=False)
class Adapter:
    """A LoRA adapter on a base.

    Attributes:
        layers: path of a layer in the base's module -> the adapted layer, which contains the
            base's own.
        peft: peft's description of the adapter.
        training: how it was trained, where it was trained in this process.
    """

    base: LocalModel
    lora: Lora
    layers: dict[str, Any]
    peft: Any
    training: Training | None = None

    @classmethod
    def on(cls, base: LocalModel, lora: Lora) -> Adapter:
        """A new adapter, which changes nothing until it is trained: half of its weights are zero.

        Raises:
            UserError: the base has no such layers, or another adapter is active on it.
        """
        from peft import LoraConfig, inject_adapter_in_model
        from peft.tuners.tuners_utils import BaseTunerLayer

        if any(isinstance(part, BaseTunerLayer) for part in base.module.modules()):
            raise UserError(f"model '{base.name}' has an active adapter: leave its context first")
        _check_targets(base, lora)
        config = LoraConfig(
            r=lora.rank,
            lora_alpha=lora.alpha,  # type: ignore[arg-type]
            lora_dropout=lora.dropout,
            target_modules=lora.targets if isinstance(lora.targets, str) else list(lora.targets),
            base_model_name_or_path=base.name,
        )
        own = dict(base.module.named_modules(remove_duplicate=False))
        with seeded(lora.seed), warnings.catch_warnings():
            # Of transposed weights (GPT-2's), which peft then handles by itself.
            warnings.filterwarnings("ignore", message="fan_in_fan_out")
            try:
                inject_adapter_in_model(config, base.module, ADAPTER)
                del base.module.peft_config
            finally:
                layers: dict[str, Any] = {
                    path: part
                    for path, part in base.module.named_modules()
                    if isinstance(part, BaseTunerLayer)
                }
                _place(base, {path: own[path] for path in layers})
        # In order, so that the same adapter is written as the same bytes.
        config.target_modules = sorted(config.target_modules or ())
        for layer in layers.values():
            # Small updates get lost in half precision.
            layer.lora_A.float()
            layer.lora_B.float()
            layer.requires_grad_(False)
            layer.eval()
        return cls(base, lora, layers, config)

    @classmethod
    def load(cls, base: LocalModel, folder: Path) -> Adapter:
        """Reads what `save` wrote.

        Raises:
            UserError: there is no adapter, or it belongs to another base.
        """
        from safetensors.torch import load_file

        try:
            about = json.loads((folder / ABOUT).read_text(encoding="utf-8"))
            tensors = load_file(folder / "adapter_model.safetensors")
        except FileNotFoundError as error:
            raise UserError(f"{folder} holds no adapter: {error.filename} is missing") from None
        if about["base_fingerprint"] != base.fingerprint:
            raise UserError(
                f"the adapter in {folder} belongs to model '{about['base']}' with other weights "
                f"than '{base.name}': load it on the model it was trained on"
            )
        adapter = cls.on(base, Lora(**about["lora"]))
        adapter._fill(tensors)
        return adapter

    @classmethod
    def kept(cls, base: LocalModel, folder: Path, make: Callable[[], Adapter]) -> Adapter:
        """The adapter in the folder, where one was saved whole; else the one made, saved there."""
        if (folder / ABOUT).exists():  # it's written last
            return cls.load(base, folder)
        adapter = make()
        adapter.save(folder)
        return adapter

    def save(self, folder: Path) -> None:
        """Writes the adapter as `PeftModel.from_pretrained` reads it, its settings beside it."""
        from safetensors.torch import save_file

        folder.mkdir(parents=True, exist_ok=True)
        tensors = {name: weight.detach().cpu() for name, weight in self.weights().items()}
        save_file(tensors, folder / "adapter_model.safetensors", metadata={"format": "pt"})
        self.peft.save_pretrained(str(folder))
        about = {
            "base": self.base.name,
            "base_fingerprint": self.base.fingerprint,
            "lora": self.lora.model_dump(mode="json"),
        }
        (folder / ABOUT).write_text(json.dumps(about, indent=2), encoding="utf-8")

    @contextmanager
    def active(self) -> Iterator[LocalModel]:
        """The base with the adapter on, while the context is open.

        `with adapter.active() as model: model.generate(...)`. Whoever else uses the base meanwhile
        gets the adapter too. Contexts may nest: the innermost adapter counts.

        Raises:
            UserError: the adapter is closed.
        """
        if not self.layers:
            raise UserError(f"an adapter of model '{self.base.name}' is closed: load it anew")
        before = {path: self.base.module.get_submodule(path) for path in self.layers}
        _place(self.base, self.layers)
        try:
            yield self.base
        finally:
            _place(self.base, before)

    def applied(self) -> LocalModel:
        """A model of its own that always has the adapter on, and shares the base's weights.

        Unlike `active`, nobody else who uses the base gets the adapter. It takes turns with the
        base, has the base's name, and its fingerprint is the adapter's. Ask for it while nobody
        asks the base: what is hooked to the base goes along.

        Raises:
            UserError: the adapter is closed.
        """
        with self.base.turn, self.active():
            own = twin(self.base.module)
        model = replace(self.base, module=own, fingerprint=self.fingerprint)
        model.turn = self.base.turn
        return model

    @property
    def fingerprint(self) -> str:
        """SHA-256 (hex) of the base's weights, the adapter's, and how much these count."""
        digest = sha256(f"{self.base.fingerprint} {self.lora.alpha / self.lora.rank}".encode())
        for name, weight in self.weights().items():
            digest.update(f"{name} {tuple(weight.shape)}".encode())
            digest.update(weight.detach().cpu().numpy().tobytes())
        return digest.hexdigest()

    def take_over(self, other: Adapter) -> None:
        """Begins with another adapter's weights.

        Raises:
            UserError: it is another base's, of another shape, or closed.
        """

        def kind(one: Adapter) -> tuple[object, ...]:
            shapes = {name: weight.shape for name, weight in one.weights().items()}
            return one.base.fingerprint, one.lora.alpha / one.lora.rank, shapes

        if kind(self) != kind(other):
            raise UserError(
                f"an adapter of model '{self.base.name}' can't go on from one of another model, "
                "rank, alpha or layers, or from a closed one: give both the same settings"
            )
        self._fill(other.weights())

    def _fill(self, tensors: Mapping[str, Tensor]) -> None:
        with torch.no_grad():
            for name, weight in self.weights().items():
                weight.copy_(tensors[name])

    def close(self) -> None:
        """Lets go of the adapter's weights."""
        self.layers = {}

    def weights(self) -> dict[str, nn.Parameter]:
        """The adapter's own weights, by the names that peft gives them in a file."""
        return {
            f"base_model.model.{path}.{half}.weight": getattr(layer, half)[ADAPTER].weight
            for path, layer in self.layers.items()
            for half in ("lora_A", "lora_B")
        }


def twin(module: Any) -> Any:
    """A module of its own with the very tensors of another: what is hooked to it, or put in the
    place of its layers, is not in the other."""
    tensors = [*module.parameters(), *module.buffers()]
    return copy.deepcopy(module, {id(tensor): tensor for tensor in tensors})


@contextmanager
def seeded(seed: int) -> Iterator[None]:
    """torch's global randomness from a seed while the context is open, and as it was afterwards."""
    with torch.random.fork_rng(devices=range(torch.cuda.device_count())):
        torch.manual_seed(seed)
        yield


def _place(base: LocalModel, layers: Mapping[str, nn.Module]) -> None:
    for path, layer in layers.items():
        base.module.set_submodule(path, layer)


def _check_targets(base: LocalModel, lora: Lora) -> None:
    if isinstance(lora.targets, str):
        return
    # What can be adapted is what multiplies by a matrix.
    known = {
        path.rpartition(".")[2]
        for path, part in base.blocks.named_modules()
        if getattr(getattr(part, "weight", None), "ndim", 0) == 2
    }
    for target in lora.targets:
        if target not in known:
            raise unknown("layer to adapt", target, known, where=f"model '{base.name}'")
