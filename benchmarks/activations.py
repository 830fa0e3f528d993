"""`LocalModel.activations` beside bare `transformers`, and its memory as the texts grow in number.

Two questions:

- speed: the middle layer's last-token states of the same texts, in tokens a second, against a bare
  forward pass of a model that was cut after that layer, on the very same batches, ready padded; and
  against the pass that a user would write: the whole model with its output layer, which is asked
  for its hidden states. Only toprope's arm tokenises, sorts and batches. The aims: at least 0.95
  and 1.7 times as fast.
- memory: the most that the process holds while every token's state is streamed to a file, for 1, 2,
  4 and 8 times as many texts. Its own memory should stay flat; pages of the file that happen to be
  in memory, which the system takes back when it needs them, are counted apart.

    python benchmarks/activations.py --model smollm2-135m --rounds 9 --out activations.json
"""

from __future__ import annotations

import copy
import json
import tempfile
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import click
import numpy as np
import torch
from torch import Tensor, nn

from timing import Arms, Ratio, interleaved, machine, ratios_to_the_first
from toprope.data.sources import load
from toprope.models.activations import TOKEN_BUDGET
from toprope.models.batching import batches, right_padded
from toprope.models.local import LocalModel

STATUS = Path("/proc/self/status")
SHALLOW = 1
"""The layer whose states are streamed: memory is the question there, so the pass may be short."""


@dataclass(frozen=True)
class Held:
    """The most memory held during one capture, beyond what was held before it, in bytes.

    Attributes:
        captured: what was written to the file.
        own: the process's own memory.
        pages: of files, the captured one included.
    """

    texts: int
    tokens: int
    captured: int
    own: int
    pages: int


@click.command()
@click.option("--model", "name", default="smollm2-135m", show_default=True)
@click.option("--rounds", default=9, show_default=True, help="An interval takes 6 or more.")
@click.option("--texts", "n", default=192, show_default=True, help="For speed; memory: 1 to 8 x.")
@click.option("--budget", default=TOKEN_BUDGET, show_default=True, help="Tokens in a batch.")
@click.option("--out", type=click.Path(path_type=Path), help="A JSON file for all that was found.")
def main(name: str, rounds: int, n: int, budget: int, out: Path | None) -> None:
    """Times activation capture and watches its memory; prints two Markdown tables."""
    model = LocalModel.load(name)
    texts = texts_of_many_lengths(8 * n)
    layer = model.n_layers // 2
    rates = interleaved(speed_arms(model, texts[:n], layer, budget), rounds, "speed")
    ratios = ratios_to_the_first(rates)
    held = [held_while_streaming(model, texts[: n * times], budget) for times in (1, 2, 4, 8)]

    click.echo(speed_table(rates, ratios))
    click.echo("\n" + memory_table(held))
    if out:
        settings = {"model": name, "rounds": rounds, "texts": n, "budget": budget, "layer": layer}
        report = {
            "settings": settings,
            "machine": machine(),
            "tokens_per_second": rates,
            "ratios": [asdict(ratio) for ratio in ratios],
            "memory": [asdict(one) for one in held],
        }
        out.write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")


def texts_of_many_lengths(n: int) -> list[str]:
    """One to twelve statements each, so that padding and sorting matter as they do in real text."""
    statements = load("cities").texts
    rng = np.random.default_rng(0)
    return [" ".join(rng.choice(statements, size=rng.integers(1, 13))) for _ in range(n)]


def speed_arms(model: LocalModel, texts: Sequence[str], layer: int, budget: int) -> Arms:
    """The last token's state of each text after the layer, three ways, which have to agree."""
    rows = [model.tokens(text) for text in texts]
    lengths = [len(row) for row in rows]
    order = list(batches(lengths, budget=budget))
    padded = [
        (
            right_padded([rows[i] for i in batch], model.tokenizer.pad_token_id, model.device),
            torch.tensor([lengths[i] for i in batch], device=model.device),
        )
        for batch in order
    ]
    bare = cut_after(model, layer)

    def toprope() -> np.ndarray:
        return model.activations(texts, [layer], budget=budget).layers[layer]

    @torch.inference_mode()
    def cut() -> np.ndarray:
        parts = [
            last_states(bare(input_ids=ids_BT, use_cache=False).last_hidden_state, lengths_B)
            for ids_BT, lengths_B in padded
        ]
        return np.concatenate(parts)

    @torch.inference_mode()
    def whole() -> np.ndarray:
        parts = []
        for ids_BT, lengths_B in padded:
            mask_BT = torch.arange(ids_BT.shape[1], device=model.device) < lengths_B[:, None]
            out = model.module(
                input_ids=ids_BT, attention_mask=mask_BT.long(), output_hidden_states=True
            )
            parts.append(last_states(out.hidden_states[layer], lengths_B))
        return np.concatenate(parts)

    in_order = toprope()[np.concatenate(order)]
    for states_ND in (cut(), whole()):
        error = np.linalg.norm(states_ND - in_order) / np.linalg.norm(in_order)
        if error > 1e-3:
            raise click.ClickException(f"the arms disagree: relative error {error:.2g}")

    def counted(work: Callable[[], np.ndarray]) -> Callable[[], float]:
        def tokens() -> float:
            work()
            return sum(lengths)

        return tokens

    arms = {"LocalModel.activations": toprope, "bare, cut": cut, "bare, whole": whole}
    return {name: counted(work) for name, work in arms.items()}


def cut_after(model: LocalModel, layer: int) -> Any:
    """The model's first blocks, over the same weights, and nothing behind them."""
    bare = copy.deepcopy(model.module.base_model, {id(w): w for w in model.module.parameters()})
    for name, part in bare.named_children():
        if isinstance(part, nn.ModuleList):
            setattr(bare, name, part[:layer])
            bare.norm = nn.Identity()
            return bare
    raise click.UsageError(f"'{model.name}' doesn't keep its blocks where Llama and Qwen do")


def last_states(state_BTD: Tensor, lengths_B: Tensor) -> np.ndarray:
    each_B = torch.arange(len(lengths_B), device=state_BTD.device)
    return state_BTD[each_B, lengths_B - 1].float().cpu().numpy()


def held_while_streaming(model: LocalModel, texts: Sequence[str], budget: int) -> Held:
    """Captures every token's state to a file, and looks at the process's memory meanwhile."""
    with tempfile.TemporaryDirectory() as folder, watched() as most:
        path = Path(folder) / "states.safetensors"
        found = model.activations(texts, [SHALLOW], pool="none", path=path, budget=budget)
        captured = path.stat().st_size
    click.echo(f"memory: {len(texts)} texts", err=True)
    return Held(len(texts), int(found.offsets[-1]), captured, most["own"], most["pages"])


@contextmanager
def watched() -> Iterator[dict[str, int]]:
    """The most memory above what was held at first, looked at fifty times a second."""
    before, most = memory(), {"own": 0, "pages": 0}
    done = threading.Event()

    def look() -> None:
        now = memory()
        for kind in most:
            most[kind] = max(most[kind], now[kind] - before[kind])

    def watch() -> None:
        while not done.wait(0.02):
            look()

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        yield most
        look()
    finally:
        done.set()
        watcher.join()


def memory() -> dict[str, int]:
    """Resident memory in bytes, as Linux counts it; zeros elsewhere."""
    if not STATUS.exists():
        return {"own": 0, "pages": 0}
    lines = dict(line.split(":", 1) for line in STATUS.read_text().splitlines())
    kilobytes = {name: int(lines[name].split()[0]) for name in ("RssAnon", "RssFile", "RssShmem")}
    pages = kilobytes["RssFile"] + kilobytes["RssShmem"]
    return {"own": kilobytes["RssAnon"] * 1024, "pages": pages * 1024}


def speed_table(rates: dict[str, list[float]], ratios: Sequence[Ratio]) -> str:
    by_other = {ratio.other: str(ratio) for ratio in ratios}
    lines = ["| arm | tokens/s (median) | toprope is faster by (95% interval) |", "|---|---|---|"]
    lines += [f"| {a} | {np.median(r):,.0f} | {by_other.get(a, '')} |" for a, r in rates.items()]
    return "\n".join(lines)


def memory_table(held: Sequence[Held]) -> str:
    lines = [
        "| texts | tokens | captured, MB | own memory, MB | file pages, MB |",
        "|--|--|--|--|--|",
    ]
    for one in held:
        sizes = " | ".join(f"{size / 1e6:,.0f}" for size in (one.captured, one.own, one.pages))
        lines.append(f"| {one.texts:,} | {one.tokens:,} | {sizes} |")
    return "\n".join(lines)


if __name__ == "__main__":
    main()
