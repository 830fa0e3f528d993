"""Rows of activations as they are stored, and files of them that tell a damaged one from a sound
one.

A row is standardised by channel, then kept as float16, or as int8 with a float16 scale of its own:
x ~ scale * q with |q| <= 127, so that a channel is off by half a scale at most (and by the
rounding of the scale). On disk a row of D channels has 2 D or D + 2 bytes.
"""

from __future__ import annotations

import errno
import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from toprope.errors import UserError
from toprope.models.cache import file_sha256
from toprope.techniques.interpretability.activations.settings import Store

MOST = 127
"""The largest magnitude of a stored int8; -128 stays unused, so that the range is symmetric."""

BYTES_A_PLACE = 6
"""Of a row's window, int32, and its place there, int16."""

ABOUT = "toprope"
"""The header's entry that says whose the rows are."""

SMALLEST = torch.finfo(torch.float16).tiny


@dataclass(frozen=True)
class Rows:
    """Standardised activations as stored.

    Attributes:
        values_ND: int8 or float16.
        scale_N: float16, of each row; None for float16 values.
    """

    values_ND: Tensor
    scale_N: Tensor | None

    @classmethod
    def empty(cls, rows: int, d_model: int, store: Store) -> Rows:
        """Room for rows that are `put` there."""
        if store == "float16":
            return cls(torch.empty(rows, d_model, dtype=torch.float16), None)
        scale_N = torch.empty(rows, dtype=torch.float16)
        return cls(torch.empty(rows, d_model, dtype=torch.int8), scale_N)

    @classmethod
    def encoded(cls, x_ND: Tensor, store: Store) -> Rows:
        """Standardised float32 rows, rounded to what is stored.

        A value beyond what float16 holds becomes the largest that it holds.
        """
        limit = torch.finfo(torch.float16).max
        if store == "float16":
            return cls(x_ND.clamp(-limit, limit).half(), None)
        most_N = x_ND.abs().amax(dim=1) if x_ND.shape[1] else x_ND.new_zeros(len(x_ND))
        scale_N = (most_N / MOST).clamp(SMALLEST, limit).half()
        # Divided by the scale as it is stored, so that its own rounding adds no error.
        q_ND = (x_ND / scale_N.float()[:, None]).round_().clamp_(-MOST, MOST)
        return cls(q_ND.to(torch.int8), scale_N)

    def decoded(self) -> Tensor:
        """float32 [N, D], standardised."""
        x_ND = self.values_ND.float()
        return x_ND if self.scale_N is None else x_ND.mul_(self.scale_N.float()[:, None])

    def __len__(self) -> int:
        return len(self.values_ND)

    def __getitem__(self, index: Tensor | slice) -> Rows:
        return Rows(self.values_ND[index], None if self.scale_N is None else self.scale_N[index])

    def put(self, at_N: Tensor, rows: Rows) -> None:
        """Overwrites the rows at these places."""
        self.values_ND[at_N] = rows.values_ND
        if self.scale_N is not None and rows.scale_N is not None:
            self.scale_N[at_N] = rows.scale_N

    def tensors(self) -> dict[str, Tensor]:
        """By the names that a shard has them under."""
        values = {"values": self.values_ND.contiguous()}
        return values if self.scale_N is None else values | {"scale": self.scale_N.contiguous()}


def bytes_a_row(d_model: int, store: Store) -> int:
    return d_model + 2 if store == "int8" else 2 * d_model


def packed(tensors: Mapping[str, Tensor], about: Mapping[str, str]) -> bytes:
    """The content of a shard; `about` says whose it is. The same makes the same bytes."""
    # One entry: the library writes several in any order.
    return save(dict(tensors), {ABOUT: json.dumps(about)})


@contextmanager
def disk_errors(folder: Path) -> Iterator[None]:
    """Turns the disk's refusal to write into one line that says how to go on."""
    try:
        yield
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
            mend = "make room there and capture again: what is done stays"
            raise UserError(f"the disk of {folder} is full: {mend}") from error
        raise UserError(
            f"the capture's folder {folder} can't be written ({error.strerror}): mend that, or "
            "capture into another"
        ) from error


def check(path: Path, sha256: str, about: Mapping[str, str] | None = None) -> None:
    """Reads the file through once.

    Args:
        about: what it says of itself, to tell another's file from a damaged one.

    Raises:
        UserError: it isn't there, is another capture's or another shard, or has changed since it
            was written.
    """
    mend = "remove it and capture again: it alone is made anew"
    if not path.is_file():
        raise UserError(f"{path} is missing: capture again: it alone is made anew")
    if file_sha256(path) == sha256:
        return
    try:
        with safe_open(path, framework="pt") as file:
            theirs = json.loads((file.metadata() or {}).get(ABOUT, "null"))
    except (SafetensorError, OSError, ValueError):
        raise UserError(f"{path} is damaged: {mend}") from None
    if about is not None and theirs != about:
        raise UserError(f"{path} isn't of this capture, or not in its place: {mend}")
    raise UserError(f"{path} is damaged: {mend}")


def read(path: Path, start: int, stop: int) -> Rows:
    """Rows of a checked shard, read without the others."""
    with safe_open(path, framework="pt") as file:
        scale_N = file.get_slice("scale")[start:stop] if "scale" in file.keys() else None  # noqa: SIM118
        return Rows(file.get_slice("values")[start:stop], scale_N)


def read_all(path: Path) -> dict[str, Tensor]:
    """The tensors of a checked file."""
    with safe_open(path, framework="pt") as file:
        return {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
