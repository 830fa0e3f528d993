"""A finished capture, opened: its rows by layer, and the text that each row comes from.

Rows are numbered through the capture; those to train on come before those held out. A row has the
same number at every layer.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from itertools import accumulate
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from toprope.errors import UserError
from toprope.techniques.interpretability.activations import shards as files
from toprope.techniques.interpretability.activations.about import (
    ABOUT,
    ROWS,
    WINDOWS,
    About,
    Shard,
    file_name,
    layer_folder,
    load_about,
)
from toprope.techniques.interpretability.activations.settings import Scaling, Store
from toprope.techniques.interpretability.activations.shards import Rows
from toprope.techniques.interpretability.activations.windows import Windows, load_windows


class Traced(NamedTuple):
    """Where rows come from, each int64 [N].

    Attributes:
        token: id of the token that was read there.
        document: index into `Capture.windows.documents`.
        position: of the token among its document's tokens, from 0.
        group: of documents that were held out, or not, together (see `Windows.group_W`).
    """

    token: NDArray[np.int64]
    document: NDArray[np.int64]
    position: NDArray[np.int64]
    group: NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Capture:
    """A finished capture; open one with `open_capture`.

    Attributes:
        shards: what is in each, in order.
        starts: the number of each shard's first row.
        training, held_out: the numbers of the rows of each side.
        scaling: how rows are scaled as they are read.
    """

    folder: Path
    about: About
    shards: tuple[Shard, ...]
    starts: NDArray[np.int64]
    training: range
    held_out: range
    scaling: Scaling = "channel"
    _checked: set[Path] = field(default_factory=set, init=False, repr=False)

    @property
    def rows(self) -> int:
        return self.held_out.stop

    @property
    def layers(self) -> tuple[int, ...]:
        return self.about.source.settings.layers

    @property
    def d_model(self) -> int:
        return self.about.source.d_model

    def layer(self, layer: int) -> LayerRows:
        """The rows at one layer.

        Raises:
            UserError: it wasn't captured.
        """
        if layer not in self.layers:
            raise UserError(
                f"the capture in {self.folder} has no layer {layer}: it has "
                f"{', '.join(map(str, self.layers))}"
            )
        return LayerRows(self, layer)

    @cached_property
    def windows(self) -> Windows:
        """What the model read.

        Raises:
            UserError: their file is missing or damaged.
        """
        files.check(self.folder / WINDOWS, self.about.windows)
        return load_windows(self.folder / WINDOWS)

    def places(self, start: int, stop: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """The window of each of rows start .. stop - 1, and its place there: row i's token is
        `windows.tokens(window[i])[place[i]]`."""
        rows_N = self.numbers(start, stop)
        place_N2 = np.empty((len(rows_N), 2), dtype=np.int64)
        for shard, at_N in self.by_shard(rows_N):
            own_N = rows_N[at_N] - self.starts[shard]
            found = files.read_all(self.checked(shard, ROWS))
            for column, name in enumerate(("window", "place")):
                place_N2[at_N, column] = found[name].numpy()[own_N]
        return place_N2[:, 0], place_N2[:, 1]

    def tokens(self, start: int, stop: int) -> Traced:
        """The token, the document, the position and the group of rows start .. stop - 1."""
        window_N, place_N = self.places(start, stop)
        windows = self.windows
        return Traced(
            windows.ids[windows.offsets[window_N] + place_N].astype(np.int64),
            windows.document_W[window_N].astype(np.int64),
            windows.start_W[window_N] + place_N - windows.bos,
            windows.group_W[window_N].astype(np.int64),
        )

    def numbers(self, start: int, stop: int) -> NDArray[np.int64]:
        """start .. stop - 1, which have to be there."""
        if not 0 <= start <= stop <= self.rows:
            raise IndexError(f"rows {start} to {stop} of a capture of {self.rows}")
        return np.arange(start, stop)

    def by_shard(self, rows_N: NDArray[np.int64]) -> list[tuple[int, NDArray[np.int64]]]:
        """Each shard that has some of the rows, and which of those given it has."""
        # The last of the shards that begin there: one without rows begins where the next does.
        shard_N = np.searchsorted(self.starts, rows_N, side="right") - 1
        return [(int(shard), np.flatnonzero(shard_N == shard)) for shard in np.unique(shard_N)]

    def checked(self, shard: int, folder: str) -> Path:
        """A shard's file, read through the first time that it's asked for.

        Raises:
            UserError: it is missing, damaged, or not this capture's.
        """
        path = self.folder / folder / file_name(shard)
        if path not in self._checked:
            label = self.about.source.label(folder, shard)
            files.check(path, self.shards[shard].sha256[folder], label)
            self._checked.add(path)
        return path


class LayerRows:
    """The rows of a capture at one layer, standardised: by channel, or all by one scale.

    Attributes:
        rows: how many, held-out ones included.
        mean_D, scale_D: float32: raw activations are x * scale + mean.
    """

    def __init__(self, capture: Capture, layer: int) -> None:
        self.capture, self.layer = capture, layer
        self.rows, self.d_model = capture.rows, capture.d_model
        self.store: Store = capture.about.source.settings.store
        moments = capture.about.moments[layer]
        self.mean_D, self.scale_D = torch.tensor(moments.mean), torch.tensor(moments.scale)
        self._gain_D: Tensor | None = None
        if capture.scaling == "common":
            common = self.scale_D.square().mean().sqrt()
            self._gain_D = self.scale_D / common
            self.scale_D = common.expand(self.d_model).clone()

    def read(self, start: int, stop: int) -> Tensor:
        """Rows start .. stop - 1, float32 [B, D]."""
        return self.decoded(self.stored(self.capture.numbers(start, stop)))

    def decoded(self, rows: Rows) -> Tensor:
        """Rows of `stored`, float32 [B, D], scaled as the capture was opened to."""
        x_BD = rows.decoded()
        return x_BD if self._gain_D is None else x_BD.mul_(self._gain_D)

    def stored(self, rows_N: NDArray[np.int64]) -> Rows:
        """Any rows, in the order given, as they are stored. At most a shard is read at a time.

        Raises:
            UserError: a shard is missing, damaged, or not this capture's.
        """
        found = Rows.empty(len(rows_N), self.d_model, self.store)
        for shard, at_N in self.capture.by_shard(rows_N):
            own_N = rows_N[at_N] - self.capture.starts[shard]
            low, high = int(own_N.min()), int(own_N.max()) + 1
            path = self.capture.checked(shard, layer_folder(self.layer))
            some = files.read(path, low, high)
            found.put(torch.from_numpy(at_N), some[torch.from_numpy(own_N - low)])
        return found


def open_capture(folder: Path, scaling: Scaling = "channel") -> Capture:
    """A finished capture. Its shards are checked as they are first read.

    Args:
        scaling: of the rows that are read.

    Raises:
        UserError: there is none, or it isn't finished.
    """
    about = load_about(folder)
    if about is None:
        raise UserError(f"there is no capture in {folder}: it has no {ABOUT}")
    if about.shards is None:
        raise UserError(f"the capture in {folder} isn't finished: capture again, and it goes on")
    rows = [shard.rows for shard in about.shards]
    train = sum(shard.rows for shard in about.shards if shard.training)
    starts = np.array([0, *accumulate(rows)][:-1], dtype=np.int64)
    training, held_out = range(train), range(train, sum(rows))
    return Capture(folder, about, about.shards, starts, training, held_out, scaling)
