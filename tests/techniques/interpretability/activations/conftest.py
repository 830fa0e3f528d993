"""A corpus of short documents, and a capture of the tiny model on it."""

import gzip
import hashlib
import json
import random
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import torch

from toprope.files import write_bytes
from toprope.techniques.interpretability.activations import shards
from toprope.techniques.interpretability.activations.about import (
    ABOUT,
    About,
    Moments,
    Shard,
    Source,
    file_name,
    layer_folder,
)
from toprope.techniques.interpretability.activations.capture import capture
from toprope.techniques.interpretability.activations.captured import Capture, open_capture
from toprope.techniques.interpretability.activations.corpus import Corpus, load_corpus
from toprope.techniques.interpretability.activations.settings import CaptureSettings

if TYPE_CHECKING:
    from toprope.models.local import LocalModel

WORDS = (
    *("rope", "climb", "partner", "ground", "safe", "city", "Paris", "Lagos"),
    *("Norway", "twelve", "seven", "true", "answer"),
)
SETTINGS = CaptureSettings(
    layers=(1, 3), window=16, shortest=4, held_out=0.3, store="float16", outlier=1e6, shard=256
)
"""Whose outlier rule drops nothing."""


class Beginning:
    """A tokenizer that puts a token of its own, 1, before every text."""

    bos_token_id = 1

    def __init__(self, tokenizer: Any) -> None:
        self.tokenizer, self.pad_token_id = tokenizer, tokenizer.pad_token_id

    def __call__(self, text: Any, *, add_special_tokens: bool = True) -> Any:
        read = self.tokenizer(text, add_special_tokens=False)
        if add_special_tokens:
            read["input_ids"] = [1, *read["input_ids"]]
        return read


def documents(n: int) -> list[str]:
    """Of 1 to 24 words each, all different."""
    rng = random.Random(0)
    return [f"{i} " + " ".join(rng.choices(WORDS, k=rng.randint(1, 24))) for i in range(n)]


def write_corpus(path: Path, texts: list[str]) -> Path:
    with gzip.open(path, "wt", encoding="utf-8") as file:
        file.writelines(json.dumps({"text": text}) + "\n" for text in texts)
    return path


@pytest.fixture(scope="session")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Corpus:
    folder = tmp_path_factory.mktemp("corpus")
    return load_corpus(f"file:{write_corpus(folder / 'short.jsonl.gz', documents(60))}")


@pytest.fixture(scope="session")
def captured(
    tiny_model: "LocalModel", corpus: Corpus, tmp_path_factory: pytest.TempPathFactory
) -> Capture:
    """Leave it as you found it."""
    return capture(tiny_model, corpus, SETTINGS, tmp_path_factory.mktemp("captured"))


@pytest.fixture(scope="session")
def numbered(tmp_path_factory: pytest.TempPathFactory) -> Capture:
    """A capture whose row n is (n, 0) at layer 1 and (n, 1) at layer 3; five shards, one empty."""
    folder = tmp_path_factory.mktemp("numbered")
    source = Source(
        model="none",
        model_fingerprint="",
        dtype="float32",
        d_model=2,
        corpus="none",
        corpus_fingerprint="",
        settings=SETTINGS,
    )
    made, start = [], 0
    for index, rows in enumerate((300, 0, 257, 300, 200)):
        hashes = {}
        for layer in SETTINGS.layers:
            number_N = torch.arange(start, start + rows).float()
            x_ND = torch.stack([number_N, torch.full_like(number_N, layer // 2)], dim=1)
            name = layer_folder(layer)
            content = shards.packed(
                shards.Rows.encoded(x_ND, "float16").tensors(), source.label(name, index)
            )
            write_bytes(folder / name / file_name(index), content)
            hashes[name] = hashlib.sha256(content).hexdigest()
        made.append(Shard(training=index < 4, rows=rows, first=0, outliers=0, sha256=hashes))
        start += rows
    plain = Moments(median_norm=1, mean=(0, 0), scale=(1, 1))
    about = About(source=source, moments={1: plain, 3: plain}, shards=tuple(made))
    (folder / ABOUT).write_text(about.model_dump_json())
    return open_capture(folder)
