"""A corpus cut into windows of tokens, each of one document, those to train on before those held
out.

A document's windows follow each other without overlap. Where the model's tokenizer begins a text
with a token of its own, each window begins with it.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from toprope.errors import UserError
from toprope.progress import Progress
from toprope.techniques.interpretability.activations.corpus import Corpus, Document
from toprope.techniques.interpretability.activations.settings import CaptureSettings
from toprope.techniques.interpretability.activations.shards import ABOUT

if TYPE_CHECKING:
    from toprope.models.local import LocalModel

AT_ONCE = 64
"""Documents that are tokenised together."""


@dataclass(frozen=True, eq=False)
class Windows:
    """W windows of tokens.

    Attributes:
        ids: int32, the windows' tokens one after another.
        offsets: int64 [W + 1]: window w has the ids offsets[w] .. offsets[w + 1] - 1.
        document_W: int32, index into `documents`.
        group_W: int32, equal for windows of documents that were held out, or not, together: what is
            independent of each other, so that intervals are drawn by it.
        start_W: int32, the place in its document of the window's first token of text.
        training: how many windows are to train on: the first ones.
        bos: tokens at each window's beginning that aren't of its text: 0 or 1.
        left_out: tokens in windows that were too short.
        documents: id and source of each document.
    """

    ids: NDArray[np.int32]
    offsets: NDArray[np.int64]
    document_W: NDArray[np.int32]
    group_W: NDArray[np.int32]
    start_W: NDArray[np.int32]
    training: int
    bos: int
    left_out: int
    documents: Sequence[tuple[str, str]]

    def __len__(self) -> int:
        return len(self.document_W)

    @property
    def lengths_W(self) -> NDArray[np.int64]:
        return np.diff(self.offsets)

    def tokens(self, window: int) -> NDArray[np.int32]:
        """The ids of one window, [T], with the token before its text if it has one."""
        return self.ids[self.offsets[window] : self.offsets[window + 1]]

    def packed(self) -> bytes:
        """As the content of a safetensors file, the documents in its header."""
        from safetensors.numpy import save

        arrays = {
            "ids": self.ids,
            "offsets": self.offsets,
            "document": self.document_W,
            "group": self.group_W,
            "start": self.start_W,
        }
        about = {
            "training": self.training,
            "bos": self.bos,
            "left_out": self.left_out,
            "documents": self.documents,
        }
        return save(arrays, {ABOUT: json.dumps(about)})


def load_windows(path: Path) -> Windows:
    """The windows of a file with what `packed` made."""
    from safetensors import safe_open

    with safe_open(path, framework="np") as file:
        about = json.loads(file.metadata()[ABOUT])
        return Windows(
            ids=file.get_tensor("ids"),
            offsets=file.get_tensor("offsets"),
            document_W=file.get_tensor("document"),
            group_W=file.get_tensor("group"),
            start_W=file.get_tensor("start"),
            training=about["training"],
            bos=about["bos"],
            left_out=about["left_out"],
            documents=[(one, where) for one, where in about["documents"]],
        )


@dataclass(frozen=True)
class Part:
    """The windows of one shard: first .. stop - 1, all of one side."""

    index: int
    first: int
    stop: int
    training: bool
    tokens: int


def parts(windows: Windows, size: int) -> list[Part]:
    """Windows in shards of at least `size` tokens, but for the last of each side."""
    found: list[Part] = []
    first = tokens = 0
    for window, length in enumerate(windows.lengths_W.tolist(), 1):
        tokens += length
        if tokens >= size or window in (windows.training, len(windows)):
            training = first < windows.training
            found.append(Part(len(found), first, window, training, tokens))
            first, tokens = window, 0
    return found


def cut(
    corpus: Corpus,
    model: LocalModel,
    settings: CaptureSettings,
    *,
    progress: Progress | None = None,
) -> Windows:
    """As many windows as `settings.tokens` asks for, and of the held-out documents as many as are
    in proportion, or as there are.

    Raises:
        UserError: the window is longer than the model's context, or the corpus is too small.
    """
    if settings.window > model.context:
        raise UserError(
            f"model '{model.name}' reads {model.context:,} tokens at most: a window of "
            f"{settings.window:,} is too long"
        )
    bos = _beginning(model.tokenizer)
    wanted = settings.tokens
    train = _Side(bos, wanted)
    share = settings.held_out / (1 - settings.held_out)
    held_out = _Side(bos, None if wanted is None else max(1, round(wanted * share)))
    left_out = 0
    with (progress or Progress(quiet=True)).task(f"tokenising {corpus.name}", len(corpus)) as task:
        for number, one, tokens in _tokenised(corpus.documents, model.tokenizer):
            side = held_out if one.held_out(settings.held_out) else train
            left_out += side.add(number, tokens, settings)
            task.advance()
            if train.full and held_out.full:
                break
    if wanted is not None and train.rows < wanted:
        raise UserError(
            f"corpus '{corpus.name}' has {train.rows:,} tokens to train on, in windows of "
            f"{settings.window}, and {wanted:,} are asked for: take a larger corpus or fewer tokens"
        )
    if not train.windows or not held_out.windows:
        part = "to train on" if held_out.windows else "to hold out"
        raise UserError(
            f"corpus '{corpus.name}' is too small: of its {len(corpus)} documents, with a "
            f"share of {settings.held_out} held out, none is left {part}"
        )
    return _joined(train, held_out, corpus, left_out)


class _Side:
    """The windows of one side of the split, until it has `wanted` rows."""

    def __init__(self, bos: list[int], wanted: int | None) -> None:
        self.bos, self.wanted = bos, wanted
        self.rows = 0
        self.windows: list[NDArray[np.int32]] = []
        self.places: list[tuple[int, int]] = []

    @property
    def full(self) -> bool:
        return self.wanted is not None and self.rows >= self.wanted

    def add(self, number: int, tokens: list[int], settings: CaptureSettings) -> int:
        """Cuts a document; returns how many tokens its last window had if that was too short."""
        stride = settings.window - len(self.bos)
        for start in range(0, len(tokens), stride):
            if self.full:
                break
            text = tokens[start : start + stride]
            if len(text) < min(settings.shortest, stride):
                return len(text)
            window = np.array(self.bos + text, dtype=np.int32)
            self.windows.append(window)
            self.places.append((number, start))
            self.rows += len(window) - 1
        return 0


def _tokenised(
    documents: Sequence[Document], tokenizer: Any
) -> Iterator[tuple[int, Document, list[int]]]:
    for first in range(0, len(documents), AT_ONCE):
        some = documents[first : first + AT_ONCE]
        read = tokenizer([one.text for one in some], add_special_tokens=False).input_ids
        yield from zip(range(first, first + len(some)), some, read, strict=True)


def _beginning(tokenizer: Any) -> list[int]:
    """The token that the tokenizer itself puts before every text, if it does."""
    return [one for one in tokenizer("").input_ids[:1] if one == tokenizer.bos_token_id]


def _joined(train: _Side, held_out: _Side, corpus: Corpus, left_out: int) -> Windows:
    windows = train.windows + held_out.windows
    places = np.array(train.places + held_out.places, dtype=np.int32)
    used, document_W = np.unique(places[:, 0], return_inverse=True)
    groups = [corpus.documents[n].group for n in used]
    group_D = np.unique(groups, return_inverse=True)[1]
    lengths = [len(window) for window in windows]
    return Windows(
        ids=np.concatenate(windows),
        offsets=np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64),
        document_W=document_W.astype(np.int32),
        group_W=group_D[document_W].astype(np.int32),
        start_W=np.ascontiguousarray(places[:, 1]),
        training=len(train.windows),
        bos=len(train.bos),
        left_out=left_out,
        documents=[(corpus.documents[n].id, corpus.documents[n].where) for n in used],
    )
