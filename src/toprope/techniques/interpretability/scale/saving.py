"""One ordinary dictionary's folder from the shards, block by block: no process holds the whole."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

import torch
import torch.distributed as dist
from torch import Tensor

from toprope.files import whole, write_text
from toprope.techniques.interpretability.dictionaries.dictionary import ABOUT, WEIGHTS, Origin
from toprope.techniques.interpretability.scale.shard import Shard

BLOCK_BYTES = 1 << 26
CUT = ("silent_F", "encoder_FD", "encoder_bias_F", "decoder_FD")
"""Tensors that have a row a latent; shards have the others alike."""
DTYPES = {torch.int64: "I64", torch.float32: "F32"}


def save_whole(shard: Shard, origin: Origin | None, folder: Path) -> None:
    """Writes what `Dictionary.save` would, from the first process; those of its group send it their
    parts. All processes call it."""
    place = shard.place
    if place.group:
        return
    state = shard.state_dict()
    names = [*CUT, *sorted(set(state) - set(CUT))]
    if place.shard:
        for name in CUT:
            for block in _blocks(state[name]):
                dist.send(block.contiguous(), group=place.across_shards, group_dst=0)
        return
    with whole(folder / WEIGHTS) as file:
        file.write(_header(shard, names))
        for name in names:
            _write(file, state[name])
            if name in CUT:
                _write_others(file, shard, state[name])
    about = {
        "settings": shard.whole.model_dump(),
        "origin": origin.model_dump() if origin else None,
    }
    write_text(folder / ABOUT, json.dumps(about, indent=1) + "\n")


def _header(shard: Shard, names: list[str]) -> bytes:
    """Of a safetensors file; the 8-byte numbers come first, so that all are aligned."""
    described, start = {}, 0
    for name in names:
        tensor = shard.state_dict()[name]
        shape = list(tensor.shape)
        if name in CUT:
            shape[0] = shard.whole.width
        stop = start + torch.Size(shape).numel() * tensor.element_size()
        described[name] = {
            "dtype": DTYPES[tensor.dtype],
            "shape": shape,
            "data_offsets": [start, stop],
        }
        start = stop
    text = json.dumps(described).encode()
    text += b" " * (-len(text) % 8)
    return len(text).to_bytes(8, "little") + text


def _write(file: BinaryIO, tensor: Tensor) -> None:
    for block in _blocks(tensor):
        file.write(block.cpu().numpy().tobytes())


def _write_others(file: BinaryIO, first: Shard, own: Tensor) -> None:
    place = first.place
    for sender in range(1, place.shards):
        kept = place.latents(first.whole.width, sender)
        shape = (kept.stop - kept.start, *own.shape[1:])
        # Only the shape is wanted: a tensor that takes no memory.
        for like in _blocks(own.new_empty(1).expand(shape)):
            block = torch.empty(like.shape, dtype=own.dtype, device=own.device)
            dist.recv(block, group=place.across_shards, group_src=sender)
            file.write(block.cpu().numpy().tobytes())


def _blocks(tensor: Tensor) -> Iterator[Tensor]:
    if not tensor.ndim:
        yield tensor
        return
    row = tensor.element_size() * max(1, tensor[:1].numel())
    yield from tensor.detach().split(max(1, BLOCK_BYTES // row))
