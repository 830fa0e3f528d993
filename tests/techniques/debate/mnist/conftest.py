"""Small digits that need no file: strokes of random pixels, whose place depends on the class."""

import numpy as np
import pytest

from toprope.techniques.debate.mnist.data import Digits


def random_digits(count: int, side: int, nonzero: int, seed: int = 0) -> Digits:
    """Images with `nonzero` to `nonzero` + 2 random pixels; labels from 0 to 9 in turn."""
    rng = np.random.default_rng(seed)
    images_NP = np.zeros((count, side * side), dtype=np.uint8)
    for image_P in images_NP:
        places = rng.permutation(side * side)[: nonzero + int(rng.integers(3))]
        image_P[places] = rng.integers(1, 256, len(places))
    labels_N = np.arange(count) % 10
    return Digits(images_NP.reshape(count, side, side), labels_N, "made", "made")


def banded_digits() -> Digits:
    """300 images of side 12 in which a class is a pair of rows, each pixel of them likely lit."""
    rng = np.random.default_rng(3)
    labels_N = np.arange(300) % 6
    images_NSS = np.zeros((300, 12, 12), dtype=np.uint8)
    for image_SS, label in zip(images_NSS, labels_N, strict=True):
        image_SS[2 * label : 2 * label + 2] = rng.integers(0, 256, (2, 12))
        image_SS[:, 3] = 9  # and a column that says nothing
    return Digits(images_NSS, labels_N, "banded", "banded")


@pytest.fixture
def banded() -> Digits:
    return banded_digits()
