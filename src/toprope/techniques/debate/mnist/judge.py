"""The judge: a classifier of digits that sees a few pixels and nothing else.

Irving, Christiano and Amodei 2018, section 3.1: a convolutional net on two channels, the values of
the revealed pixels and a mask of where they are, trained on random non-zero pixels. Kinds:

- `cnn`: the paper's, which is that of TensorFlow's MNIST tutorial: two 5x5 convolutions, each with
  max-pooling, and one hidden layer with dropout.
- `strided`: two convolutions, 7x7 and 3x3, with strides of 4 and 2 in place of pooling, and one
  hidden layer. Its first layer on a set of pixels is a sum over the pixels (see `scoring`), and it
  is some fifty times cheaper or more.
- `mlp`: not convolutional: a sum over the pixels, each with weights of its own place, and a hidden
  layer. The cheapest.

Shapes: B images, C channels or classes, S side.
"""

from pathlib import Path
from typing import Any, Literal

import torch
from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor, nn

from toprope.errors import UserError
from toprope.techniques.debate.mnist import kept
from toprope.techniques.debate.mnist.data import CLASSES

Kind = Literal["cnn", "strided", "mlp"]
# The paper's widths for `cnn`; for the others, what one core judges 100,000 times a second or more.
_WIDTHS: dict[str, tuple[int, int, int]] = {
    "cnn": (32, 64, 1024),
    "strided": (16, 32, 128),
    "mlp": (0, 512, 128),
}


class JudgeSettings(BaseModel):
    """
    Attributes:
        pixels: how many pixels it is trained to see: 4 or 6 in the paper.
        widths: channels of the first and second layer, and hidden units; None: the kind's own. An
            `mlp` has no first.
        steps, batch, learning_rate: of training, by Adam; the paper's batch and rate, and its
            30,000 steps for 4 pixels (50,000 for 6).
        dropout: on the hidden layer, of `cnn`.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    kind: Kind = "cnn"
    pixels: int = Field(default=6, ge=1)
    side: int = Field(default=28, ge=4)
    widths: tuple[int, int, int] | None = None
    seed: int = 0
    steps: int = Field(default=30_000, ge=0)
    batch: int = Field(default=128, ge=1)
    learning_rate: float = Field(default=1e-4, gt=0)
    dropout: float = Field(default=0.5, ge=0, lt=1)


class Judge(nn.Module):
    """
    Attributes:
        first: the first layer, linear: on several pixels it's the sum of its outputs on each, less
            the bias of all but one.
        rest: from the first layer's output to logits.
    """

    def __init__(self, settings: JudgeSettings) -> None:
        super().__init__()
        self.settings = settings
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(settings.seed)
            self.first, self.rest = _layers(settings)

    def forward(self, seen_B2SS: Tensor) -> Tensor:
        """Logits [B, C] of what is seen: values (0 where nothing is) and mask."""
        return self.rest(self.first(seen_B2SS))

    def save(self, folder: Path) -> None:
        """Writes judge.safetensors and judge.json, the latter last.

        Raises:
            OSError: they can't be written.
        """
        kept.save(self, self.settings, folder, "judge")


def load_judge(folder: Path) -> Judge:
    """The judge that `save` wrote, ready to judge.

    Raises:
        UserError: the folder holds none, or a damaged one.
    """

    def make(about: Any) -> Judge:
        return Judge(JudgeSettings.model_validate(about))

    return kept.load(make, folder, "judge")


def _layers(settings: JudgeSettings) -> tuple[nn.Module, nn.Module]:
    side = settings.side
    first, second, hidden = settings.widths or _WIDTHS[settings.kind]
    if settings.kind == "cnn":
        if side % 4:
            raise UserError(f"a cnn judge halves images twice: side {side} must be a multiple of 4")
        rest = nn.Sequential(
            nn.ReLU(),
            nn.MaxPool2d(2),
            nn.Conv2d(first, second, 5, padding=2),
            nn.ReLU(),
            nn.MaxPool2d(2),
            nn.Flatten(),
            nn.Linear(second * (side // 4) ** 2, hidden),
            nn.ReLU(),
            nn.Dropout(settings.dropout),
            nn.Linear(hidden, CLASSES),
        )
        return nn.Conv2d(2, first, 5, padding=2), rest
    if settings.kind == "strided":
        quarter = (side + 3) // 4
        eighth = (quarter + 1) // 2
        rest = nn.Sequential(
            nn.ReLU(),
            nn.Conv2d(first, second, 3, stride=2, padding=1),
            nn.ReLU(),
            nn.Flatten(),
            nn.Linear(second * eighth**2, hidden),
            nn.ReLU(),
            nn.Linear(hidden, CLASSES),
        )
        return nn.Conv2d(2, first, 7, stride=4, padding=3), rest
    rest = nn.Sequential(
        nn.ReLU(), nn.Linear(second, hidden), nn.ReLU(), nn.Linear(hidden, CLASSES)
    )
    return nn.Sequential(nn.Flatten(), nn.Linear(2 * side**2, second)), rest
