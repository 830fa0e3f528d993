"""Answering many prompts in one large batch, whose cache has room, beside smaller ones.

    python benchmarks/large_batch.py --model qwen2.5-coder-0.5b --rounds 6

The other two arms: transformers' own cache, which copies all it holds for each new token; and that
in batches of 8,192 tokens at most. The prompts are those of `shared_prefix.py`.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import click
import torch
from transformers import DynamicCache

from shared_prefix import on_passages
from timing import interleaved, machine, ratios_to_the_first
from toprope.models import generation, growing_cache
from toprope.models.local import LocalModel
from toprope.models.placement import dtype_named
from toprope.models.prefix_cache import PrefixCache


@click.command()
@click.option("--model", "name", default="smollm2-135m", show_default=True)
@click.option("--dtype", default="float32", show_default=True)
@click.option("--passages", "many", default=16, show_default=True)
@click.option("--words", default=200, show_default=True, help="Of a passage.")
@click.option("--tokens", default=48, show_default=True, help="Of an answer.")
@click.option("--threads", default=2, show_default=True)
@click.option("--rounds", default=6, show_default=True, help="An interval takes 6 or more.")
def main(
    name: str, dtype: str, many: int, words: int, tokens: int, threads: int, rounds: int
) -> None:
    """Times the three, and prints the first one's ratios to the others."""
    torch.set_num_threads(threads)
    model = LocalModel.load(name, dtype=dtype_named(dtype), device="cpu")
    model.prefixes = PrefixCache(room=0)  # the same prompts are read every round
    prompts = on_passages(many, words)

    def answered() -> float:
        model.generate(prompts, max_tokens=tokens)
        return len(prompts)

    def copying() -> float:
        with transformers_cache():
            return answered()

    def copying_in_small_batches() -> float:
        most = generation.MOST_TOKENS
        generation.MOST_TOKENS = generation.FEWEST_TOKENS
        try:
            return copying()
        finally:
            generation.MOST_TOKENS = most

    arms = {
        "large, with room": answered,
        "large, copied": copying,
        "small, copied": copying_in_small_batches,
    }
    lengths = [len(model.tokens(prompt)) for prompt in prompts]
    click.echo(f"{len(prompts)} prompts of {min(lengths)} to {max(lengths)} tokens")
    for ratio in ratios_to_the_first(interleaved(arms, rounds, "large batch")):
        click.echo(f"{ratio.name} over {ratio.other}: {ratio}")
    click.echo(machine())


@contextmanager
def transformers_cache() -> Iterator[None]:
    ours = growing_cache.growing_cache
    growing_cache.growing_cache = lambda module: DynamicCache(config=module.config)
    try:
        yield
    finally:
        growing_cache.growing_cache = ours


if __name__ == "__main__":
    main()
