"""The Inspect provider beside what it stands on, and beside Inspect's own `hf` provider.

Two questions, each answered by ratios within one interleaved run, as medians over its rounds with
their exact 95% intervals:

- overhead: 32 concurrent calls to `toprope/NAME`, against the same 32 prompts in one call of
  `LocalModel.generate`, and of `transformers`' own `generate` on the padded batch;
- calls per second with 1 and with 8 callers, against `hf` on the same folder: as it comes, and told
  the number of callers (`--max-connections`), which spares it waiting for more.

Everything decodes greedily, the same number of tokens at most.

    python benchmarks/provider.py --model smollm2-135m --rounds 9 --out provider.json
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path

import click
import numpy as np
import torch
from inspect_ai.model import GenerateConfig, Model, ModelAPI, get_model
from inspect_ai.util._concurrency import init_concurrency

from timing import Arms, Ratio, interleaved, machine, ratios_to_the_first
from toprope.models.batching import left_padded
from toprope.models.loaded import shared
from toprope.models.local import LocalModel
from toprope.models.prefix_cache import PrefixCache

OVERHEAD = "32 calls"
CALLERS = (1, 8)

TOPICS = ("rivers", "metals", "birds", "planets", "colours", "tools", "cities", "fruits")
STYLES = (
    "Write a long story about {}.",
    "List as many {} as you can, with a sentence on each.",
    "Explain to a child, slowly and with examples, what {} are and why people like them.",
    "You are a patient teacher. Prepare a lesson on {} for a class of ten, step by step.",
)
PROMPTS = tuple(style.format(topic) for style in STYLES for topic in TOPICS)


@click.command()
@click.option("--model", "name", default="smollm2-135m", show_default=True)
@click.option("--rounds", default=9, show_default=True, help="An interval takes 6 or more.")
@click.option("--tokens", default=64, show_default=True, help="Of an answer, in the 32 calls.")
@click.option("--short", default=16, show_default=True, help="Of an answer, with 1 and 8 callers.")
@click.option("--calls", default=4, show_default=True, help="Of each caller, one after another.")
@click.option("--numbers", default=0, show_default=True, help="Before each of the 32, as a text.")
@click.option("--peers/--no-peers", default=True, help="Whether to time `hf` as well.")
@click.option("--out", type=click.Path(path_type=Path), help="A JSON file for all that was timed.")
def main(
    name: str,
    rounds: int,
    tokens: int,
    short: int,
    calls: int,
    numbers: int,
    peers: bool,
    out: Path | None,
) -> None:
    """Times the Inspect provider, and prints its ratios to the others as a Markdown table."""
    local = shared(name)
    local.prefixes = PrefixCache(room=0)  # the same prompts are read every round
    families: dict[str, Arms] = {OVERHEAD: overhead_arms(name, local, tokens, numbers)}
    if peers:
        hf = hf_provider(name, local)
        for callers in CALLERS:
            families[f"{callers} at a time"] = peer_arms(name, hf, callers, calls, short)

    rates = {family: interleaved(arms, rounds, family) for family, arms in families.items()}
    ratios = {family: [*ratios_to_the_first(found)] for family, found in rates.items()}
    click.echo(as_markdown(rates, ratios))
    if out:
        settings = {
            "model": name,
            "rounds": rounds,
            "tokens": tokens,
            "short": short,
            "numbers": numbers,
        }
        report = {
            "settings": settings | {"calls": calls},
            "machine": machine() | {"inspect-ai": version("inspect-ai")},
            "rates": rates,
            "ratios": {
                family: [asdict(each) for each in found] for family, found in ratios.items()
            },
        }
        out.write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")


def overhead_arms(name: str, local: LocalModel, max_tokens: int, numbers: int) -> Arms:
    """The same batch of prompts three ways."""
    model = get_model(f"toprope/{name}", config=config(max_tokens))
    rng = np.random.default_rng(0)  # prompts that begin alike would be read once
    texts = [" ".join(map(str, rng.integers(10, 100, numbers))) for _ in PROMPTS]
    prompts = [f"{text} {prompt}".strip() for text, prompt in zip(texts, PROMPTS, strict=True)]
    chats = [[{"role": "user", "content": prompt}] for prompt in prompts]
    rows = [local.tokens(chat) for chat in chats]
    ids_BT, mask_BT, _ = left_padded(rows, local.tokenizer.pad_token_id, local.device)

    def provider() -> float:
        asyncio.run(all_at_once(model, prompts))
        return 1

    def bare_local() -> float:
        local.generate(chats, max_tokens=max_tokens)
        return 1

    def bare_transformers() -> float:
        with torch.inference_mode():
            local.module.generate(
                input_ids=ids_BT,
                attention_mask=mask_BT,
                max_new_tokens=max_tokens,
                do_sample=False,
                pad_token_id=local.tokenizer.pad_token_id,
            )
        return 1

    return {
        "toprope provider": provider,
        "LocalModel.generate": bare_local,
        "transformers generate": bare_transformers,
    }


def hf_provider(name: str, local: LocalModel) -> ModelAPI:
    """Inspect's own provider of local models, with weights of its own from the same folder."""
    model = get_model(
        f"hf/{name}",
        model_path=local.module.config.name_or_path,
        device=str(local.device),
        dtype=local.module.dtype,
        do_sample=False,
    )
    return model.api


def peer_arms(name: str, hf: ModelAPI, callers: int, calls: int, max_tokens: int) -> Arms:
    """`callers` at once, each with `calls` one after another."""

    def arm(model: Model) -> Callable[[], float]:
        return lambda: asyncio.run(in_turn(model, callers, calls))

    told = config(max_tokens, max_connections=callers)
    return {
        "toprope provider": arm(get_model(f"toprope/{name}", config=config(max_tokens))),
        "hf": arm(Model(hf, config(max_tokens))),
        "hf, told of the callers": arm(Model(hf, told)),
    }


def config(max_tokens: int, *, max_connections: int | None = None) -> GenerateConfig:
    return GenerateConfig(max_tokens=max_tokens, temperature=0, max_connections=max_connections)


async def all_at_once(model: Model, prompts: Sequence[str]) -> None:
    init_concurrency()  # as an evaluation does: Inspect keeps the first limit it hears of a model
    await asyncio.gather(*(model.generate(prompt) for prompt in prompts))


async def in_turn(model: Model, callers: int, calls: int) -> float:
    init_concurrency()

    async def caller(number: int) -> None:
        for i in range(calls):
            await model.generate(PROMPTS[(number + i * callers) % len(PROMPTS)])

    await asyncio.gather(*(caller(number) for number in range(callers)))
    return callers * calls


def as_markdown(
    rates: Mapping[str, Mapping[str, Sequence[float]]], ratios: Mapping[str, Sequence[Ratio]]
) -> str:
    lines = [
        "| work | arm | a second (median) | toprope is faster by (95% interval) |",
        "|---|---|---|---|",
    ]
    for family, found in rates.items():
        unit = "batches" if family == OVERHEAD else "calls"
        by_other = {ratio.other: ratio for ratio in ratios[family]}
        for name, of_rounds in found.items():
            median = f"{np.median(of_rounds):.3g} {unit}"
            lines.append(f"| {family} | {name} | {median} | {by_other.get(name, '')} |")
    return "\n".join(lines)


if __name__ == "__main__":
    main()
