"""Whether a folder is one that `from_pretrained` loads, judged from sizes and headers alone."""

import json
import struct
from pathlib import Path


def flaw(folder: Path) -> str | None:
    """What keeps a folder from being loaded, in words that go on after its name, or None.

    Reads the headers of the safetensors files, not the tensors: milliseconds for any size.
    """
    if not (folder / "config.json").is_file():
        return "it has no config.json"
    shards = sorted(folder.glob("*.safetensors"))
    if not shards:
        return "it has no safetensors files"
    for name in _named_by_index(folder):
        if not (folder / name).is_file():
            return f"{name} is missing"
    for shard in shards:
        if not _is_whole(shard):
            return f"{shard.name} is truncated or isn't a safetensors file"
    return None


def _named_by_index(folder: Path) -> list[str]:
    index = folder / "model.safetensors.index.json"
    if not index.is_file():
        return []
    return sorted(set(json.loads(index.read_text())["weight_map"].values()))


def _is_whole(shard: Path) -> bool:
    """Whether the file is as long as its header says.

    The format is a length in 8 bytes, a JSON header of that length, and the tensors.
    """
    with shard.open("rb") as stream:
        start = stream.read(8)
        if len(start) < 8:
            return False
        (length,) = struct.unpack("<Q", start)
        size = shard.stat().st_size
        if length > size:
            return False
        try:
            header = json.loads(stream.read(length))
            ends = [t["data_offsets"][1] for name, t in header.items() if name != "__metadata__"]
        except (ValueError, KeyError, TypeError, AttributeError):
            return False
    return size == 8 + length + max(ends, default=0)
