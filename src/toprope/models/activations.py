"""Activations of several layers in one pass that stops at the deepest layer asked for, kept in
memory or on disk; and, of the same pass run to its end, how likely given continuations are.

Items are sorted by length and batched by token budget, and padded at the end: in a causal model a
real token never sees the padding behind it, so that no attention mask is needed (an encoder gets
one). Results above `MEMORY_BYTES`, and all that are given a path, are written to a safetensors file
as they come, so that memory stays flat.
"""

from __future__ import annotations

import json
import math
import os
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import torch
from torch import Tensor

from toprope.errors import UserError
from toprope.models.batching import batches, right_padded
from toprope.models.capturing import DeepEnough, captured
from toprope.models.keys_values import as_argument

if TYPE_CHECKING:
    from toprope.models.local import LocalModel

Pool = Literal["last", "mean", "none"]

TOKEN_BUDGET = 1024
MEMORY_BYTES = 1 << 30


@dataclass(frozen=True)
class Activations:
    """What was captured.

    Attributes:
        layers: layer -> float32 array [rows, D], the items' rows one after another in the order of
            the texts: one row an item for the pools "last" and "mean", one a token for "none", and
            with S continuations 1 + S an item: the text's last token, then the last token of each
            continuation. Read-only views where they are on disk.
        offsets: [N + 1]; item i has the rows offsets[i] .. offsets[i + 1] - 1.
        scores: log-probability of each continuation after each text, the sum over its tokens,
            float32 [N, S]; none [N, 0] where they weren't asked for.
    """

    layers: dict[int, np.ndarray]
    offsets: np.ndarray
    scores: np.ndarray

    def item(self, layer: int, i: int) -> np.ndarray:
        """The rows of item i: [1, D], [T, D] or [1 + S, D]."""
        return self.layers[layer][self.offsets[i] : self.offsets[i + 1]]


def capture(
    model: LocalModel,
    tokens: Sequence[list[int]],
    layers: Sequence[int],
    pool: Pool,
    *,
    continuations: Sequence[list[int]],
    score: bool,
    path: Path | None,
    budget: int,
    advance: Callable[[int], None],
) -> Activations:
    """Runs the texts' tokens through the model up to the deepest of `layers` (see
    `LocalModel.activations`).

    Raises:
        UserError: a layer the model doesn't have, or continuations with another pool than "last".
    """
    if continuations and not model.is_causal:
        raise UserError(
            f"model '{model.name}' is an encoder, which can't read an answer behind its prompt: "
            "take a causal model"
        )
    if continuations and pool != "last":
        raise UserError(f"continuations are read at their last token: pool='last', not '{pool}'")
    layers = sorted(set(layers))
    if bad := [layer for layer in layers if not 0 <= layer <= model.n_layers]:
        raise UserError(
            f"model '{model.name}' has no layer {bad[0]}: its layers are 0 to {model.n_layers}"
        )
    lengths = np.array([len(row) for row in tokens], dtype=np.int64)
    rows_of = lengths if pool == "none" else np.full_like(lengths, 1 + len(continuations))
    offsets = np.concatenate([[0], rows_of.cumsum()])
    shape = (int(offsets[-1]), model.d_model)
    scores_NS = np.zeros((len(tokens), len(continuations) if score else 0), dtype=np.float32)
    with _storage(layers, shape, offsets, scores_NS, path) as out:
        for indices in batches(lengths.tolist(), budget=budget):
            batch = [tokens[i] for i in indices]
            if continuations:
                found, scores_BS = _read_on(model, batch, layers, continuations, score=score)
                scores_NS[indices] = scores_BS
            else:
                found = _read(model, batch, layers, pool)
            for layer, rows in found.items():
                for i, row in zip(indices, rows, strict=True):
                    out[layer][offsets[i] : offsets[i + 1]] = row
            advance(int(lengths[indices].sum()))
    return load(path) if path else Activations(out, offsets, scores_NS)


@torch.inference_mode()
def _read(
    model: LocalModel, batch: Sequence[list[int]], layers: Sequence[int], pool: Pool
) -> dict[int, Any]:
    """Each item's rows at each layer, for one batch."""
    ids_BT = right_padded(batch, model.tokenizer.pad_token_id, model.device)
    lengths_B = torch.tensor([len(row) for row in batch], device=model.device)
    mask_BT = None if model.is_causal else _real(lengths_B, ids_BT.shape[1])
    states, _ = _forward(model, layers, input_ids=ids_BT, attention_mask=mask_BT)
    return {n: _pooled(state_BTD, lengths_B, pool) for n, state_BTD in states.items()}


@torch.inference_mode()
def _read_on(
    model: LocalModel,
    batch: Sequence[list[int]],
    layers: Sequence[int],
    continuations: Sequence[list[int]],
    *,
    score: bool,
) -> tuple[dict[int, np.ndarray], np.ndarray]:
    """Each item's rows [B, 1 + S, D] at each layer, and the continuations' log-probabilities
    [B, S] if they are to be scored, else [B, 0].

    The text is read once; each continuation goes on from its cache, which is then cut back.
    """
    from transformers import DynamicCache

    ids_BT = right_padded(batch, model.tokenizer.pad_token_id, model.device)
    lengths_B = torch.tensor([len(row) for row in batch], device=model.device)
    real_BT = _real(lengths_B, ids_BT.shape[1])
    # Without the model's config every layer keeps all its tokens: a sliding window couldn't be cut
    # back.
    cache = DynamicCache()
    states, first_B1V = _forward(
        model,
        layers,
        logits_at=lengths_B[:, None] - 1 if score else None,
        cache=cache,
        input_ids=ids_BT,
    )
    parts = {n: [_pooled(state_BTD, lengths_B, "last")] for n, state_BTD in states.items()}
    scores = []
    # One token is scored by the text's own pass; of more, all but the last have logits to give.
    # Then all go through all layers, whose caches must be of one length.
    longer = score and max(map(len, continuations)) > 1
    for continuation in continuations:
        more_BT = torch.tensor([continuation] * len(batch), device=model.device)
        steps_T = torch.arange(len(continuation), device=model.device)
        states, next_BTV = _forward(
            model,
            layers,
            logits_at=steps_T[:-1].expand(len(batch), -1) if longer else None,
            cache=cache,
            input_ids=more_BT,
            attention_mask=torch.cat([real_BT, torch.ones_like(more_BT)], dim=1),
            position_ids=lengths_B[:, None] + steps_T,
        )
        cache.crop(-len(continuation))
        for n, state_BTD in states.items():
            parts[n].append(state_BTD[:, -1:].float().cpu().numpy())
        if first_B1V is not None:
            logits_BTV = first_B1V if next_BTV is None else torch.cat([first_B1V, next_BTV], dim=1)
            each_BT1 = logits_BTV.log_softmax(-1).gather(2, more_BT[..., None])
            scores.append(each_BT1.sum((1, 2)).cpu().numpy())
    rows = {n: np.concatenate(part, axis=1) for n, part in parts.items()}
    return rows, np.stack(scores, axis=1) if scores else np.empty((len(batch), 0))


def read_on(
    model: LocalModel, layers: Sequence[int], tokens: list[int], start: int, cache: Any
) -> np.ndarray:
    """[T, F]: the layers' states, side by side, at tokens that follow `start` others in a cache,
    which takes them in; without a cache only the embeddings can be had."""
    ids_1T = torch.tensor([tokens], device=model.device)
    end = start + len(tokens)
    positions_1T = torch.arange(start, end, device=model.device)[None]
    states, _ = _forward(
        model,
        layers,
        cache=cache,
        input_ids=ids_1T,
        attention_mask=None
        if cache is None
        else torch.ones_like(ids_1T).new_ones(1, start + len(tokens)),
        position_ids=positions_1T,
    )
    return torch.cat([states[layer][0] for layer in layers], dim=1).float().cpu().numpy()


def _forward(
    model: LocalModel,
    layers: Sequence[int],
    *,
    logits_at: Tensor | None = None,
    cache: Any = None,
    **inputs: Any,
) -> tuple[dict[int, Tensor], Tensor | None]:
    """The states [B, T, D] of the layers, and the logits [B, K, V], float32, at the positions
    [B, K] where they are asked for; without them the pass stops at the deepest layer."""

    def at_positions(_module: Any, args: tuple) -> tuple:
        rows_B1 = torch.arange(len(args[0]), device=model.device)[:, None]
        return (args[0][rows_B1, logits_at],)

    if model.is_causal:
        inputs["use_cache"] = cache is not None
    if cache is not None:
        inputs |= as_argument(model.module.base_model, cache)
    with captured(model.blocks, layers, stop=logits_at is None) as states:
        if logits_at is None:
            with suppress(DeepEnough):
                model.module.base_model(**inputs)
            return states, None
        # The output layer, a quarter of the work of a small model, sees the positions alone.
        head = model.module.get_output_embeddings()
        handle = head.register_forward_pre_hook(at_positions)
        try:
            return states, model.module(**inputs).logits.float()
        finally:
            handle.remove()


def _real(lengths_B: Tensor, width: int) -> Tensor:
    """The attention mask [B, width] of right-padded rows."""
    return (torch.arange(width, device=lengths_B.device) < lengths_B[:, None]).long()


def _pooled(state_BTD: Tensor, lengths_B: Tensor, pool: Pool) -> Any:
    """The items' rows, float32 on the CPU: [B, 1, D], or for the pool "none" a list of [T, D]."""
    if pool == "last":
        rows_B = torch.arange(len(lengths_B), device=state_BTD.device)
        return state_BTD[rows_B, lengths_B - 1].float().cpu().numpy()[:, None]
    if pool == "mean":
        real_BT1 = _real(lengths_B, state_BTD.shape[1])[..., None]
        mean_BD = (state_BTD.float() * real_BT1).sum(1) / lengths_B[:, None]
        return mean_BD.cpu().numpy()[:, None]
    whole = state_BTD.float().cpu().numpy()
    return [row[:length] for row, length in zip(whole, lengths_B.tolist(), strict=True)]


@contextmanager
def _storage(
    layers: Sequence[int],
    shape: tuple[int, int],
    offsets: np.ndarray,
    scores_NS: np.ndarray,
    path: Path | None,
) -> Iterator[dict[int, np.ndarray]]:
    """An array [rows, D] a layer to write to: memory, or a safetensors file that appears when it is
    complete, with the scores as they are by then."""
    size = len(layers) * shape[0] * shape[1] * 4
    if path is None and size <= MEMORY_BYTES:
        yield {layer: np.empty(shape, dtype=np.float32) for layer in layers}
        return
    if path is None:
        # Too large for memory and nobody wants it kept: a file without a name, gone when the arrays
        # are.
        with tempfile.TemporaryFile() as file:
            file.truncate(size)
            whole = np.memmap(file, dtype=np.float32, shape=(len(layers), *shape))
            yield {layer: whole[i] for i, layer in enumerate(layers)}
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f"{path.name}.{os.getpid()}.partial")
    try:
        start = _write_header(partial, layers, shape, offsets, scores_NS.shape)
        whole = np.memmap(
            partial, dtype="<f4", mode="r+", offset=start, shape=(len(layers), *shape)
        )
        yield {layer: whole[i] for i, layer in enumerate(layers)}
        whole.flush()
        with partial.open("r+b") as file:
            file.seek(start + size)
            file.write(scores_NS.astype("<f4").tobytes())
        os.replace(partial, path)
    finally:
        partial.unlink(missing_ok=True)


def _write_header(
    path: Path,
    layers: Sequence[int],
    shape: tuple[int, int],
    offsets: np.ndarray,
    scores_shape: tuple[int, ...],
) -> int:
    """Starts a safetensors file whose data are still to come; returns where the layers' data start.

    The format: eight bytes with the header's length, the header as JSON, the tensors' bytes. The
    offsets come first, the scores last.
    """
    shapes: dict[str, tuple[int, ...]] = {f"layer.{layer}": shape for layer in layers}
    if math.prod(scores_shape):
        shapes["scores"] = scores_shape
    tensors: dict[str, Any] = {
        "offsets": {"dtype": "I64", "shape": [len(offsets)], "data_offsets": [0, offsets.nbytes]}
    }
    at = offsets.nbytes
    for name, of in shapes.items():
        end = at + math.prod(of) * 4
        tensors[name] = {"dtype": "F32", "shape": list(of), "data_offsets": [at, end]}
        at = end
    header = json.dumps(tensors).encode()
    header += b" " * (-len(header) % 8)
    with path.open("wb") as file:
        file.write(len(header).to_bytes(8, "little") + header + offsets.astype("<i8").tobytes())
        start = file.tell()
        size = max(1, at - offsets.nbytes)
        if hasattr(os, "posix_fallocate"):  # macOS has none
            # Taken now, so that a full disk is an error here and not a crash in mid-write.
            os.posix_fallocate(file.fileno(), start, size)
        else:
            file.truncate(start + size)
    return start


def load(path: Path) -> Activations:
    """Opens a file that `capture` wrote; the layers' arrays are read-only views of it."""
    with path.open("rb") as file:
        size = int.from_bytes(file.read(8), "little")
        header = json.loads(file.read(size))
    start = 8 + size
    arrays = {
        name: np.memmap(
            path,
            dtype="<i8" if entry["dtype"] == "I64" else "<f4",
            mode="r",
            offset=start + entry["data_offsets"][0],
            shape=tuple(entry["shape"]),
        )
        for name, entry in header.items()
        if name != "__metadata__"
    }
    offsets = np.asarray(arrays.pop("offsets"))
    none = np.empty((len(offsets) - 1, 0), dtype=np.float32)
    scores_NS = np.asarray(arrays.pop("scores", none))
    layers: dict[int, np.ndarray] = {
        int(name.removeprefix("layer.")): array for name, array in arrays.items()
    }
    return Activations(layers, offsets, scores_NS)
