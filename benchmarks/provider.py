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
import os
import platform
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import click
import numpy as np
import torch
from inspect_ai.model import GenerateConfig, Model, get_model
from scipy.stats import quantile_test

from toprope.models.batching import left_padded
from toprope.models.loaded import shared
from toprope.models.local import LocalModel

BATCH = 32
CALLERS = (1, 8)
ROUNDS_FOR_AN_INTERVAL = 6  # with fewer, no order statistic is below the median 97.5% of the time

TOPICS = ("rivers", "metals", "birds", "planets", "colours", "tools", "cities", "fruits")
STYLES = (
    "Write a long story about {}.",
    "List as many {} as you can, with a sentence on each.",
    "Explain to a child, slowly and with examples, what {} are and why people like them.",
    "You are a patient teacher. Prepare a lesson on {} for a class of ten, step by step.",
)
PROMPTS = tuple(style.format(topic) for style in STYLES for topic in TOPICS)

Arms = Mapping[str, Callable[[], float]]
"""By name, what does a round's work once; it returns what was done, in tokens or in calls."""


@dataclass(frozen=True)
class Ratio:
    """How many times faster than `other` something is: the median over the rounds.

    Attributes:
        low, high: of the exact 95% interval of the median; None with too few rounds for one.
    """

    name: str
    other: str
    value: float
    low: float | None
    high: float | None


@click.command()
@click.option("--model", "name", default="smollm2-135m", show_default=True)
@click.option("--rounds", default=9, show_default=True, help="An interval takes 6 or more.")
@click.option("--tokens", default=64, show_default=True, help="Of an answer, in the 32 calls.")
@click.option("--short", default=16, show_default=True, help="Of an answer, with 1 and 8 callers.")
@click.option("--calls", default=4, show_default=True, help="Of each caller, one after another.")
@click.option("--out", type=click.Path(path_type=Path), help="A JSON file for all that was timed.")
def main(name: str, rounds: int, tokens: int, short: int, calls: int, out: Path | None) -> None:
    """Times the Inspect provider, and prints its ratios to the others as a Markdown table."""
    local = shared(name)
    families: dict[str, Arms] = {"32 calls": overhead_arms(name, local, tokens)}
    for callers in CALLERS:
        families[f"{callers} at a time"] = peer_arms(name, local, callers, calls, short)

    rates = {family: interleaved(arms, rounds, family) for family, arms in families.items()}
    ratios = {family: [*ratios_to_the_first(found)] for family, found in rates.items()}
    click.echo(as_markdown(rates, ratios))
    if out:
        settings = {"model": name, "rounds": rounds, "tokens": tokens, "short": short}
        report = {
            "settings": settings | {"calls": calls},
            "machine": machine(),
            "rates": rates,
            "ratios": {
                family: [asdict(each) for each in found] for family, found in ratios.items()
            },
        }
        out.write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")


def overhead_arms(name: str, local: LocalModel, max_tokens: int) -> Arms:
    """The same 32 prompts three ways; each returns the tokens generated."""
    model = get_model(f"toprope/{name}", config=config(max_tokens))
    chats = [[{"role": "user", "content": prompt}] for prompt in PROMPTS]
    rows = [local.tokens(chat) for chat in chats]
    ids_BT, mask_BT, _ = left_padded(rows, local.tokenizer.pad_token_id, local.device)

    def provider() -> float:
        return sum(asyncio.run(answered(model, PROMPTS)))

    def bare_local() -> float:
        return sum(len(each.tokens) for each in local.generate(chats, max_tokens=max_tokens))

    def bare_transformers() -> float:
        with torch.inference_mode():
            out_BT = local.module.generate(
                input_ids=ids_BT,
                attention_mask=mask_BT,
                max_new_tokens=max_tokens,
                do_sample=False,
                pad_token_id=local.tokenizer.pad_token_id,
            )
        return out_BT[:, ids_BT.shape[1] :].numel()

    return {
        "toprope provider": provider,
        "LocalModel.generate": bare_local,
        "transformers generate": bare_transformers,
    }


def peer_arms(name: str, local: LocalModel, callers: int, calls: int, max_tokens: int) -> Arms:
    """`callers` at once, each with `calls` one after another; each arm returns the calls made."""
    folder = local.module.config.name_or_path
    own = get_model(f"toprope/{name}", config=config(max_tokens))

    def hf(**settings: Any) -> Model:
        return get_model(
            f"hf/{name}",
            config=config(max_tokens, **settings),
            model_path=folder,
            device=str(local.device),
            dtype=local.module.dtype,
            do_sample=False,
            memoize=False,
        )

    def arm(model: Model) -> Callable[[], float]:
        return lambda: asyncio.run(in_turn(model, callers, calls))

    return {
        "toprope provider": arm(own),
        "hf": arm(hf()),
        "hf, told of the callers": arm(hf(max_connections=callers)),
    }


def config(max_tokens: int, **settings: Any) -> GenerateConfig:
    return GenerateConfig(max_tokens=max_tokens, temperature=0, **settings)


async def answered(model: Model, prompts: Sequence[str]) -> list[int]:
    """The tokens of each answer, all asked for at once."""
    outputs = await asyncio.gather(*(model.generate(prompt) for prompt in prompts))
    return [output.usage.output_tokens if output.usage else 0 for output in outputs]


async def in_turn(model: Model, callers: int, calls: int) -> float:
    async def caller(number: int) -> None:
        for i in range(calls):
            await model.generate(PROMPTS[(number + i * callers) % len(PROMPTS)])

    await asyncio.gather(*(caller(number) for number in range(callers)))
    return callers * calls


def interleaved(arms: Arms, rounds: int, what: str) -> dict[str, list[float]]:
    """What each arm did in a second, round by round; every round begins with another arm."""
    for work in arms.values():
        work()
    rates: dict[str, list[float]] = {name: [] for name in arms}
    names = list(arms)
    for i in range(rounds):
        shift = i % len(names)
        for name in names[shift:] + names[:shift]:
            began = time.perf_counter()
            done = arms[name]()
            rates[name].append(done / (time.perf_counter() - began))
        click.echo(f"{what}: round {i + 1} of {rounds}", err=True)
    return rates


def ratios_to_the_first(rates: Mapping[str, Sequence[float]]) -> list[Ratio]:
    """The first arm's rate over each other's, within each round."""
    first, *others = rates
    return [median_ratio(first, other, rates[first], rates[other]) for other in others]


def median_ratio(name: str, other: str, ours: Sequence[float], theirs: Sequence[float]) -> Ratio:
    ratios = np.array(ours) / np.array(theirs)
    low = high = None
    if len(ratios) >= ROUNDS_FOR_AN_INTERVAL:
        median_is = quantile_test(ratios, q=float(np.median(ratios)), p=0.5)
        low, high = map(float, median_is.confidence_interval(0.95))
    return Ratio(name, other, float(np.median(ratios)), low, high)


def as_markdown(
    rates: Mapping[str, Mapping[str, Sequence[float]]], ratios: Mapping[str, Sequence[Ratio]]
) -> str:
    lines = [
        "| work | arm | a second (median) | toprope is faster by (95% interval) |",
        "|---|---|---|---|",
    ]
    for family, found in rates.items():
        unit = "tokens" if family == "32 calls" else "calls"
        by_other = {ratio.other: ratio for ratio in ratios[family]}
        for name, of_rounds in found.items():
            rate = f"{np.median(of_rounds):.3g} {unit}"
            lines.append(f"| {family} | {name} | {rate} | {times(by_other.get(name))} |")
    return "\n".join(lines)


def times(ratio: Ratio | None) -> str:
    if ratio is None:
        return ""
    if ratio.low is None:
        return f"{ratio.value:.3f} x (no interval: fewer than {ROUNDS_FOR_AN_INTERVAL} rounds)"
    return f"{ratio.value:.3f} x ({ratio.low:.3f} to {ratio.high:.3f})"


def machine() -> dict[str, Any]:
    packages = ("toprope", "torch", "transformers", "inspect-ai")
    return {
        "cpu": platform.processor() or platform.machine(),
        "cores": os.cpu_count(),
        "threads": torch.get_num_threads(),
        "cuda": torch.cuda.is_available(),
        "versions": {package: version(package) for package in packages},
    }


if __name__ == "__main__":
    main()
