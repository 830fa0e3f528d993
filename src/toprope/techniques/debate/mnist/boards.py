"""What can be revealed of each image: its non-zero pixels, numbered in raster order.

A pixel's number on its own board is its slot. Shapes: N images, M slots (the most that any board
has), P pixels of an image.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from toprope.errors import UserError
from toprope.techniques.debate.mnist.data import Digits


@dataclass(frozen=True)
class Boards:
    """
    Attributes:
        count_N: how many slots each board has.
        pixel_NM: int64, place in the flattened image; 0 beyond a board's count.
        value_NM: float32, from 0 to 1; 0 beyond a board's count.
        truth_N: the images' labels.
        key_N: uint64, of the image's own bytes: what its games draw at random begins with it.
        side: an image's height and width.
    """

    count_N: NDArray[np.int64]
    pixel_NM: NDArray[np.int64]
    value_NM: NDArray[np.float32]
    truth_N: NDArray[np.int64]
    key_N: NDArray[np.uint64]
    side: int

    def __len__(self) -> int:
        return len(self.count_N)

    def part(self, indices: NDArray[np.int64]) -> "Boards":
        """Some of them, no wider than they need."""
        width = int(self.count_N[indices].max())
        return Boards(
            self.count_N[indices],
            self.pixel_NM[indices, :width],
            self.value_NM[indices, :width],
            self.truth_N[indices],
            self.key_N[indices],
            self.side,
        )


def boards_of(digits: Digits, *, pixels: int) -> Boards:
    """The boards of images, for games in which so many pixels are revealed.

    Raises:
        UserError: an image has fewer non-zero pixels than that.
    """
    from hashlib import sha256

    flat_NP = digits.images_NHW.reshape(len(digits), -1)
    count_N = np.count_nonzero(flat_NP, axis=1)
    short_N = np.flatnonzero(count_N < pixels)
    if len(short_N):
        raise UserError(
            f"{digits.source}: {len(short_N)} images have fewer than {pixels} non-zero pixels "
            f"(the first: number {short_N[0]}, with {count_N[short_N[0]]}): leave them out, or "
            "reveal fewer"
        )
    # A stable sort brings each image's non-zero pixels to the front, in raster order.
    pixel_NM = np.argsort(flat_NP == 0, axis=1, kind="stable")[:, : count_N.max()]
    is_there_NM = np.arange(pixel_NM.shape[1]) < count_N[:, None]
    value_NM = np.take_along_axis(flat_NP, pixel_NM, axis=1).astype(np.float32) / np.float32(255)
    keys = [int.from_bytes(sha256(row_P.tobytes()).digest()[:8], "little") for row_P in flat_NP]
    return Boards(
        count_N,
        np.where(is_there_NM, pixel_NM, 0),
        value_NM,
        digits.labels_N,
        np.array(keys, dtype=np.uint64),
        digits.images_NHW.shape[1],
    )
