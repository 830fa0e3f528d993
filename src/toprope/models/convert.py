"""A GGUF file made into a folder that transformers loads: float32 safetensors and the tokenizer.

The tensors are dequantised once (30-200 s on two cores); after that a load takes seconds. The GGUF
layout is that of the ggml project's `docs/gguf.md`.
"""

import struct
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from typing import Any, BinaryIO

from toprope.errors import UserError
from toprope.progress import Progress

_MAGIC, _HEADER = b"GGUF", "<4sIQQ"
_STRING, _ARRAY = 8, 9
# bytes of each fixed-size GGUF value type: u8 i8 u16 i16 u32 i32 f32 bool, and u64 i64 f64
_SIZES = {0: 1, 1: 1, 2: 2, 3: 2, 4: 4, 5: 4, 6: 4, 7: 1, 10: 8, 11: 8, 12: 8}

# on two cores of a laptop: the reading of the vocabulary takes the first of the minutes
_BYTES_A_MINUTE = 300_000_000


def convert(gguf: Path, folder: Path, name: str, progress: Progress) -> None:
    """Writes `gguf` into `folder` as transformers loads it.

    Args:
        name: of the model, for the progress.

    Raises:
        UserError: the file isn't GGUF, or its architecture is one that transformers can't read.
    """
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    pre_tokenizer = metadata_string(gguf, "tokenizer.ggml.pre")
    folder.mkdir(parents=True)
    minutes = 1 + gguf.stat().st_size // _BYTES_A_MINUTE
    what = f"converting {name} to safetensors, once (about {minutes} min)"
    with progress.task(what, 3) as step, _quiet_transformers():
        try:
            tokenizer: Any = AutoTokenizer.from_pretrained(gguf.parent, gguf_file=gguf.name)
            step.advance()
            model: Any = AutoModelForCausalLM.from_pretrained(
                gguf.parent, gguf_file=gguf.name, dtype=torch.float32
            )
        except (ValueError, KeyError, NotImplementedError) as error:
            reason = str(error).strip().splitlines()[0]
            raise UserError(f"{gguf} can't be converted by transformers: {reason}") from error
        step.advance()
        _restore_pre_tokenizer(tokenizer, pre_tokenizer)
        tokenizer.save_pretrained(folder)
        # The weights are plain float32 now, and a model labelled as quantised refuses to be saved.
        model.hf_quantizer = None
        if hasattr(model.config, "quantization_config"):
            del model.config.quantization_config
        model.save_pretrained(folder, max_shard_size="1TB")
        step.advance()
    # safetensors writes a file that only its owner may read, which would spoil a shared cache
    (folder / "model.safetensors").chmod((folder / "config.json").stat().st_mode)


def _restore_pre_tokenizer(tokenizer: Any, kind: str | None) -> None:
    """Gives SmolLM's tokenizer back the rule that transformers' GGUF reader drops.

    Each digit stands alone, as in SmolLM2's own tokenizer.json and llama.cpp's pre-tokenizer
    "smollm". Without the rule "a  12" has other tokens than it had in training.
    """
    if kind != "smollm":
        return
    from tokenizers import pre_tokenizers

    tokenizer.backend_tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Digits(individual_digits=True),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True),
        ]
    )


def metadata_string(gguf: Path, key: str) -> str | None:
    """The value of a string among a GGUF file's metadata, or None where it has no such key.

    Reads the header alone, in a fraction of a second; the `gguf` package takes some ten seconds for
    a large vocabulary.

    Raises:
        UserError: it isn't a GGUF file.
    """
    try:
        with gguf.open("rb") as stream:
            return _find_string(stream, key)
    except (struct.error, KeyError, UnicodeDecodeError) as error:
        raise UserError(f"{gguf} isn't a GGUF file, or was cut") from error


def _find_string(stream: BinaryIO, key: str) -> str | None:
    _magic, _version, _tensors, pairs = struct.unpack(_HEADER, stream.read(24))
    if _magic != _MAGIC:
        raise KeyError(_magic)
    for _ in range(pairs):
        name = _read_string(stream)
        (kind,) = struct.unpack("<I", stream.read(4))
        if name == key.encode() and kind == _STRING:
            return _read_string(stream).decode()
        _skip(stream, kind)
    return None


def _read_string(stream: BinaryIO) -> bytes:
    (length,) = struct.unpack("<Q", stream.read(8))
    return stream.read(length)


def _skip(stream: BinaryIO, kind: int) -> None:
    if kind == _STRING:
        _read_string(stream)
        return
    if kind != _ARRAY:
        stream.seek(_SIZES[kind], 1)
        return
    item, count = struct.unpack("<IQ", stream.read(12))
    if item in _SIZES:
        stream.seek(_SIZES[item] * count, 1)
        return
    for _ in range(count):
        _skip(stream, item)


@contextmanager
def _quiet_transformers() -> Iterator[None]:
    """Keeps the library's bars and its advice on the GGUF's metadata off the screen."""
    from transformers.utils import logging

    reader: Any = import_module("transformers.modeling_gguf_pytorch_utils")

    verbosity, bars = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    # the GGUF reader's own bar listens to no setting
    bar = getattr(reader, "tqdm", None)
    reader.tqdm = lambda items, **_: items
    try:
        yield
    finally:
        reader.tqdm = bar
        logging.set_verbosity(verbosity)
        if bars:
            logging.enable_progress_bar()
