"""The judge's verdicts on many sets of pixels at once: what a search asks for, 10,000 times a move.

The first layer is linear, so its output on a set is a sum of rows, one for each pixel: these are
computed once for all pixels of an image, then gathered. Where rows would be wider than a
convolution is dear (a `cnn` judge's), the whole net runs on the images instead. The logits are the
same but for rounding.

Shapes: L sets, K pixels of a set, N images, M slots, H outputs of the first layer, C classes.
"""

from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from toprope.techniques.debate.mnist.boards import Boards
from toprope.techniques.debate.mnist.data import CLASSES
from toprope.techniques.debate.mnist.judge import Judge

_WIDEST_ROW = 8192  # of floats
_SETS_AT_ONCE = 2048  # their activations stay in a core's cache


class Verdicts(Protocol):
    """Judges sets of pixels. Bit c of a verdict: the judge thinks class c likelier than the truth.

    So a liar who claims c wins where bit c is set, and one who may claim anything where any is. A
    tie goes to the truth.
    """

    def __call__(
        self, image_L: NDArray[np.int64], slots_LK: NDArray[np.int64], /
    ) -> NDArray[np.uint16]: ...


class Scorer:
    """A trained judge as `Verdicts` on the boards of some images."""

    def __init__(self, judge: Judge, boards: Boards) -> None:
        self.judge, self.boards = judge.eval(), boards
        self._rows: Tensor | None = None
        with torch.inference_mode():
            nothing = torch.zeros(1, 2, boards.side, boards.side)
            bias = judge.first(nothing)
            self._shape = bias.shape[1:]
            if bias.numel() <= _WIDEST_ROW and judge.settings.kind != "cnn":
                self._bias_H = bias.flatten()
                self._rows = self._pixel_rows()
        self._start_N = np.concatenate([[0], np.cumsum(boards.count_N)])[:-1]

    def __call__(
        self, image_L: NDArray[np.int64], slots_LK: NDArray[np.int64], /
    ) -> NDArray[np.uint16]:
        logits_LC = self.logits(image_L, slots_LK)
        truth_L = self.boards.truth_N[image_L]
        likelier_LC = logits_LC > np.take_along_axis(logits_LC, truth_L[:, None], axis=1)
        return (likelier_LC @ (1 << np.arange(CLASSES))).astype(np.uint16)

    @torch.inference_mode()
    def logits(
        self, image_L: NDArray[np.int64], slots_LK: NDArray[np.int64]
    ) -> NDArray[np.float32]:
        """[L, C]; K may be fewer pixels than the judge was trained on."""
        parts = [
            self._logits(image_L[i : i + _SETS_AT_ONCE], slots_LK[i : i + _SETS_AT_ONCE])
            for i in range(0, len(image_L), _SETS_AT_ONCE)
        ]
        return torch.cat(parts).numpy() if parts else np.zeros((0, CLASSES), np.float32)

    def _logits(self, image_L: NDArray[np.int64], slots_LK: NDArray[np.int64]) -> Tensor:
        if self._rows is None:
            return self.judge(self._seen(image_L, slots_LK))
        rows_LK = torch.from_numpy(self._start_N[image_L, None] + slots_LK)
        sum_LH = torch.nn.functional.embedding_bag(rows_LK, self._rows, mode="sum")
        sum_LH += self._bias_H
        return self.judge.rest(sum_LH.view(-1, *self._shape))

    def _seen(self, image_L: NDArray[np.int64], slots_LK: NDArray[np.int64]) -> Tensor:
        pixel_LK = torch.from_numpy(self.boards.pixel_NM[image_L[:, None], slots_LK])
        value_LK = torch.from_numpy(self.boards.value_NM[image_L[:, None], slots_LK])
        return seen(pixel_LK, value_LK, self.boards.side)

    def _pixel_rows(self) -> Tensor:
        """The first layer's output on each pixel by itself, less its bias: [pixels of all, H]."""
        image_X = np.repeat(np.arange(len(self.boards)), self.boards.count_N)
        slot_X = np.concatenate([np.arange(count) for count in self.boards.count_N])
        rows = torch.empty(len(image_X), len(self._bias_H))
        for i in range(0, len(image_X), _SETS_AT_ONCE):
            part = slice(i, i + _SETS_AT_ONCE)
            alone = self.judge.first(self._seen(image_X[part], slot_X[part, None]))
            rows[part] = alone.flatten(1) - self._bias_H
        return rows


def seen(pixel_BK: Tensor, value_BK: Tensor, side: int) -> Tensor:
    """What a judge sees of pixels: their values and their mask, [B, 2, S, S]."""
    shown_B2P = value_BK.new_zeros(len(pixel_BK), 2, side * side)
    shown_B2P[:, 0].scatter_(1, pixel_BK, value_BK)
    shown_B2P[:, 1].scatter_(1, pixel_BK, 1.0)
    return shown_B2P.view(-1, 2, side, side)
