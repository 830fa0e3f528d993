"""Capturing: a model reads a corpus once, and the activations of several layers go to disk.

One pass serves all layers and stops at the deepest. Windows are read in shards; a shard that is
done is never read again, so that a capture that was killed or ran out of disk goes on where it was,
and ends with the same bytes. The rows of the first shard also give each layer's median norm, mean
and scale.

Dropped are the first token of each window, which causal models use to park attention (Xiao et al.
2023, arXiv 2309.17453), and tokens of outlying norm at any of the layers.
"""

from __future__ import annotations

import math
import shutil
from collections.abc import Callable, Mapping
from hashlib import sha256
from pathlib import Path

import torch
from torch import Tensor

from toprope.errors import UserError
from toprope.files import write_bytes
from toprope.journal import Journal
from toprope.models import activations
from toprope.models.cache import file_sha256
from toprope.models.chat import is_served
from toprope.models.local import LocalModel
from toprope.models.placement import dtype_name
from toprope.progress import Progress
from toprope.techniques.interpretability.activations import shards
from toprope.techniques.interpretability.activations.about import (
    ABOUT,
    JOURNAL,
    ROWS,
    WINDOWS,
    About,
    Moments,
    Shard,
    Source,
    file_name,
    layer_folder,
    load_about,
)
from toprope.techniques.interpretability.activations.captured import Capture, open_capture
from toprope.techniques.interpretability.activations.corpus import Corpus
from toprope.techniques.interpretability.activations.settings import CaptureSettings
from toprope.techniques.interpretability.activations.shards import Rows
from toprope.techniques.interpretability.activations.windows import (
    Part,
    Windows,
    cut,
    load_windows,
    parts,
)

TOKEN_BUDGET = activations.TOKEN_BUDGET


def check_insides(name: str) -> None:
    """
    Raises:
        UserError: the name is a served model's, which has no activations to give.
    """
    if is_served(name):
        raise UserError(
            f"'{name}' is a served model, whose activations can't be reached: take one that is "
            "opened in this process (a catalog name, hf:OWNER/NAME or a folder)"
        )


def check(model: LocalModel, settings: CaptureSettings) -> None:
    """
    Raises:
        UserError: the model is an encoder, or doesn't have the layers.
    """
    if not model.is_causal:
        raise UserError(
            f"model '{model.name}' is an encoder, and activations are captured of causal models"
        )
    for layer in settings.layers:
        if not 0 <= layer <= model.n_layers:
            raise UserError(
                f"model '{model.name}' has no layer {layer}: its layers are 0 to {model.n_layers}"
            )


def capture(
    model: LocalModel,
    corpus: Corpus,
    settings: CaptureSettings,
    folder: Path,
    *,
    progress: Progress | None = None,
) -> Capture:
    """The activations of a corpus, in a folder; what is there of this capture already is kept.

    Raises:
        UserError: as `check` and `cut`; the folder has another capture; the model's activations
            aren't finite; the disk is full (what is done stays).
    """
    progress = progress or Progress(quiet=True)
    check(model, settings)
    about = About(
        source=Source(
            model=model.name,
            model_fingerprint=model.fingerprint,
            dtype=dtype_name(model.module.dtype),
            d_model=model.d_model,
            corpus=corpus.name,
            corpus_fingerprint=corpus.fingerprint,
            settings=settings,
        ),
        licence=corpus.provenance.licence,
        texts=corpus.provenance.source,
    )
    earlier = load_about(folder)
    if earlier is not None:
        _check_same(earlier.source, about.source, folder)
        about = earlier
    with shards.disk_errors(folder):
        windows, hashed = _windows(model, corpus, about, folder, progress)
        about = about.model_copy(update={"windows": hashed, "left_out": windows.left_out})
        with _journal(folder, about.source) as journal:
            _Making(model, windows, folder, about, journal).run(progress)
    return open_capture(folder)


def _check_same(theirs: Source, ours: Source, folder: Path) -> None:
    if theirs.identity == ours.identity:
        return
    before, now = (one.model_dump(mode="json") for one in (theirs, ours))
    before, now = ({**one.pop("settings"), **one} for one in (before, now))
    said = {"model_fingerprint": "the model's weights", "corpus_fingerprint": "the texts"}
    changed = [
        f"{said[name]} have changed"
        if name in said
        else f"{name} was {before[name]!r}, now {now[name]!r}"
        for name in before
        if before[name] != now[name]
    ]
    raise UserError(f"{folder} holds another capture ({'; '.join(changed)}): give another folder")


def _windows(
    model: LocalModel, corpus: Corpus, about: About, folder: Path, progress: Progress
) -> tuple[Windows, str]:
    """Those of the folder, and their file's hash; cut where it doesn't have them as they were."""
    path = folder / WINDOWS
    if path.is_file() and file_sha256(path) == about.windows:
        return load_windows(path), about.windows
    windows = cut(corpus, model, about.source.settings, progress=progress)
    content = windows.packed()
    write_bytes(path, content)
    return windows, sha256(content).hexdigest()


def _journal(folder: Path, source: Source) -> Journal:
    return Journal(folder / JOURNAL, {"capture": source.identity}, what="capture")


class _Making:
    """A capture under way."""

    def __init__(
        self, model: LocalModel, windows: Windows, folder: Path, about: About, journal: Journal
    ) -> None:
        self.model, self.windows, self.folder = model, windows, folder
        self.about, self.journal = about, journal
        self.settings = about.source.settings
        self.folders = [ROWS, *(layer_folder(layer) for layer in self.settings.layers)]

    def run(self, progress: Progress) -> None:
        """Makes what shards there aren't yet, then says that the capture is finished."""
        every = parts(self.windows, self.settings.shard)
        left = [part for part in every if not self._is_done(part)]
        if not left and self.about.shards is not None:
            return
        tokens = sum(part.tokens for part in left)
        self._check_room(tokens)
        self._save(shards=None)
        with progress.task(f"capturing {self.model.name}", tokens) as task:
            for part in left:
                self.journal.put(str(part.index), self._make(part, task.advance).model_dump())
        self._save(shards=[Shard(**self.journal.get(str(part.index))) for part in every])

    def _is_done(self, part: Part) -> bool:
        """Whether the shard was finished, and nobody has removed a file of it."""
        return self.journal.get(str(part.index)) is not None and all(
            (self.folder / folder / file_name(part.index)).is_file() for folder in self.folders
        )

    def _check_room(self, tokens: int) -> None:
        of_layers = shards.bytes_a_row(self.model.d_model, self.settings.store)
        needed = tokens * (of_layers * len(self.settings.layers) + shards.BYTES_A_PLACE)
        free = shutil.disk_usage(self.folder).free
        if needed > free:
            raise UserError(
                f"the capture takes {needed / 1e9:,.1f} GB and the disk of {self.folder} has "
                f"{free / 1e9:,.1f} GB: make room, or capture fewer tokens or layers"
            )

    def _save(self, **changes: object) -> None:
        # Validated anew: `model_copy` takes anything.
        self.about = About.model_validate(self.about.model_dump() | changes)
        write_bytes(self.folder / ABOUT, self.about.model_dump_json(indent=1).encode())

    def _make(self, part: Part, advance: Callable[[float], None]) -> Shard:
        raw, window_N, place_N = self._read(part, advance)
        later_N = place_N > 0
        if not self.about.moments:
            of_layers = {n: self._moments(n, raw_ND[later_N]) for n, raw_ND in raw.items()}
            self._save(moments={n: one.model_dump() for n, one in of_layers.items()})
        kept_N = later_N.clone()
        for layer, raw_ND in raw.items():
            most = self.settings.outlier * self.about.moments[layer].median_norm
            # Not a number is not below it either.
            kept_N &= raw_ND.norm(dim=1) <= most
        hashes = {
            layer_folder(layer): self._write(
                layer_folder(layer), part, self._encoded(layer, raw_ND[kept_N]).tensors()
            )
            for layer, raw_ND in raw.items()
        }
        places = {"window": window_N[kept_N], "place": place_N[kept_N]}
        hashes[ROWS] = self._write(ROWS, part, places)
        first = part.stop - part.first
        rows = int(kept_N.sum())
        return Shard(
            training=part.training,
            rows=rows,
            first=first,
            outliers=part.tokens - first - rows,
            sha256=hashes,
        )

    def _read(
        self, part: Part, advance: Callable[[float], None]
    ) -> tuple[dict[int, Tensor], Tensor, Tensor]:
        """The raw activations of every token, by layer; its window, and its place there."""
        every = range(part.first, part.stop)
        tokens = [self.windows.tokens(window).tolist() for window in every]
        with self.model.turn:
            found = activations.capture(
                self.model,
                tokens,
                self.settings.layers,
                "none",
                continuations=(),
                score=False,
                path=None,
                budget=TOKEN_BUDGET,
                advance=advance,
            )
            self.model.tokens_read += part.tokens
        raw = {layer: torch.from_numpy(found.layers[layer]) for layer in self.settings.layers}
        window_N = torch.tensor(every, dtype=torch.int32).repeat_interleave(
            torch.tensor([len(window) for window in tokens])
        )
        place_N = torch.cat([torch.arange(len(window), dtype=torch.int16) for window in tokens])
        return raw, window_N, place_N

    def _moments(self, layer: int, raw_ND: Tensor) -> Moments:
        """Of the tokens but for the first of each window."""
        norms_N = raw_ND.norm(dim=1)
        median = norms_N.median().item()
        if not math.isfinite(median):
            raise UserError(
                f"the activations of '{self.model.name}' at layer {layer} aren't finite: load it "
                "in float32"
            )
        usual_ND = raw_ND[norms_N <= self.settings.outlier * median]
        mean_D = usual_ND.mean(dim=0, dtype=torch.float64)
        off_ND = usual_ND.sub_(mean_D.float())
        scale_D = off_ND.square_().mean(dim=0, dtype=torch.float64).sqrt()
        return Moments(
            median_norm=median,
            mean=tuple(mean_D.tolist()),
            scale=tuple(scale_D.where(scale_D > 0, torch.ones_like(scale_D)).tolist()),
        )

    def _encoded(self, layer: int, raw_ND: Tensor) -> Rows:
        moments = self.about.moments[layer]
        x_ND = raw_ND.sub_(torch.tensor(moments.mean)).div_(torch.tensor(moments.scale))
        return Rows.encoded(x_ND, self.settings.store)

    def _write(self, folder: str, part: Part, tensors: Mapping[str, Tensor]) -> str:
        """A shard's file; returns its hash."""
        content = shards.packed(tensors, self.about.source.label(folder, part.index))
        write_bytes(self.folder / folder / file_name(part.index), content)
        return sha256(content).hexdigest()
