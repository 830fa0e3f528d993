"""A capture beside the bare forward pass that it can't do without, and what its stores cost.

Two questions:

- speed: a whole capture (tokenising, batching, dropping, standardising, writing to disk) in tokens
  a second, against a bare forward pass of a model that was cut after the layer, on the same windows
  in ready batches. The aim: at least 0.95 times as fast. Reading the text is in neither.
- stores: bytes a row on disk, of the activations and of all that is beside them, and the share of
  variance that is lost (FVU), of int8 and of float16.

    python benchmarks/capture.py --model smollm2-135m --layer 12 --rounds 9 --out capture.json
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import get_args

import click
import numpy as np
import torch
from torch import Tensor

from activations import cut_after
from timing import Arms, Ratio, interleaved, machine, ratios_to_the_first
from toprope.models.batching import batches, right_padded
from toprope.models.local import LocalModel
from toprope.techniques.interpretability.activations.about import layer_folder
from toprope.techniques.interpretability.activations.capture import TOKEN_BUDGET, capture
from toprope.techniques.interpretability.activations.captured import Capture
from toprope.techniques.interpretability.activations.corpus import Corpus, load_corpus
from toprope.techniques.interpretability.activations.settings import CaptureSettings, Store
from toprope.techniques.interpretability.activations.windows import Windows, cut, parts


@dataclass(frozen=True)
class Stored:
    """What one way of storing costs.

    Attributes:
        bytes_a_row: of activations, in their files.
        bytes_beside: a row's share of everything else in the folder.
        fvu: squared errors over squared deviations from the mean, of standardised rows.
    """

    store: str
    rows: int
    bytes_a_row: float
    bytes_beside: float
    fvu: float


@click.command(context_settings={"show_default": True})
@click.option("--model", "name", default="smollm2-135m")
@click.option("--layer", default=12)
@click.option("--corpus", "corpus_name", default="mixed")
@click.option("--data-dir", type=click.Path(path_type=Path), envvar="TOPROPE_DATA")
@click.option("--tokens", default=16_384, help="To train on, in a round; a ninth more is held out.")
@click.option("--window", default=128)
@click.option("--rounds", default=9)
@click.option("--out", type=click.Path(path_type=Path), help="A JSON file for all that was found.")
def main(
    name: str,
    layer: int,
    corpus_name: str,
    data_dir: Path | None,
    tokens: int,
    window: int,
    rounds: int,
    out: Path | None,
) -> None:
    """Times a capture and weighs its stores; prints two Markdown tables."""
    model = LocalModel.load(name)
    corpus = load_corpus(corpus_name, data_dir=data_dir)
    settings = CaptureSettings(layers=(layer,), window=window, tokens=tokens)
    rates = interleaved(speed_arms(model, corpus, settings), rounds, "speed")
    ratios = ratios_to_the_first(rates)
    stored = [weighed(model, corpus, settings, store) for store in get_args(Store)]

    click.echo(speed_table(rates, ratios))
    click.echo("\n" + store_table(stored))
    if out:
        report = {
            "settings": {"model": name, "corpus": corpus_name, "rounds": rounds}
            | settings.model_dump(),
            "machine": machine(),
            "tokens_per_second": rates,
            "ratios": [asdict(ratio) for ratio in ratios],
            "stores": [asdict(one) for one in stored],
        }
        out.write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")


def speed_arms(model: LocalModel, corpus: Corpus, settings: CaptureSettings) -> Arms:
    """Both read the same windows; the bare pass has them as tensors already."""
    windows = cut(corpus, model, settings)
    padded = in_batches(model, windows, settings.shard)
    bare = cut_after(model, settings.layers[0])

    def toprope() -> float:
        with tempfile.TemporaryDirectory() as folder:
            capture(model, corpus, settings, Path(folder))
        return len(windows.ids)

    @torch.inference_mode()
    def forward() -> float:
        for ids_BT in padded:
            bare(input_ids=ids_BT, use_cache=False)
        return len(windows.ids)

    arms: dict[str, Callable[[], float]] = {"capture": toprope, "bare, cut": forward}
    return arms


def in_batches(model: LocalModel, windows: Windows, shard: int) -> list[Tensor]:
    """The token ids of all batches, as a capture makes them."""
    found = []
    for part in parts(windows, shard):
        rows = [windows.tokens(window).tolist() for window in range(part.first, part.stop)]
        for batch in batches([len(row) for row in rows], budget=TOKEN_BUDGET):
            some = [rows[i] for i in batch]
            found.append(right_padded(some, model.tokenizer.pad_token_id, model.device))
    return found


def weighed(model: LocalModel, corpus: Corpus, settings: CaptureSettings, store: Store) -> Stored:
    """Captures once, and compares the first shard's rows with what the model has there."""
    settings = settings.model_copy(update={"store": store})
    [layer] = settings.layers
    with tempfile.TemporaryDirectory() as folder:
        captured = capture(model, corpus, settings, Path(folder))
        sizes = {path: path.stat().st_size for path in Path(folder).rglob("*") if path.is_file()}
        of_layer = sum(sizes[path] for path in Path(folder).glob(f"{layer_folder(layer)}/*"))
        n = captured.shards[0].rows
        kept_ND = captured.layer(layer).read(0, n).double()
        exact_ND = standardised(model, captured, layer, n)
    error = ((kept_ND - exact_ND) ** 2).sum() / ((exact_ND - exact_ND.mean(0)) ** 2).sum()
    beside = sum(sizes.values()) - of_layer
    rows = captured.rows
    return Stored(store, n, of_layer / rows, beside / rows, float(error))


@torch.inference_mode()
def standardised(model: LocalModel, captured: Capture, layer: int, n: int) -> Tensor:
    """The first n rows of a capture from passes of their own, float64 [N, D]."""
    bare = cut_after(model, layer)
    window_N, place_N = captured.places(0, n)
    of_layer = captured.layer(layer)
    rows = []
    for window in np.unique(window_N):
        ids_1T = torch.tensor(captured.windows.tokens(window)[None].tolist(), device=model.device)
        state_TD = bare(input_ids=ids_1T, use_cache=False).last_hidden_state[0].double().cpu()
        rows.append(state_TD[torch.from_numpy(place_N[window_N == window])])
    return (torch.cat(rows) - of_layer.mean_D) / of_layer.scale_D


def speed_table(rates: dict[str, list[float]], ratios: list[Ratio]) -> str:
    by_other = {ratio.other: str(ratio) for ratio in ratios}
    lines = ["| arm | tokens/s (median) | capture is faster by (95% interval) |", "|---|---|---|"]
    lines += [f"| {a} | {np.median(r):,.0f} | {by_other.get(a, '')} |" for a, r in rates.items()]
    return "\n".join(lines)


def store_table(stored: list[Stored]) -> str:
    lines = ["| store | bytes a row | beside them | FVU |", "|---|---|---|---|"]
    for one in stored:
        sizes = f"{one.bytes_a_row:,.1f} | {one.bytes_beside:,.1f}"
        lines.append(f"| {one.store} | {sizes} | {one.fvu:.2g} |")
    return "\n".join(lines)


if __name__ == "__main__":
    main()
