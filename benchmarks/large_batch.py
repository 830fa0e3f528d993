"""Answering many prompts in one large batch, whose cache has room, beside smaller ones.

    python benchmarks/large_batch.py --model qwen2.5-coder-0.5b --rounds 6

The other two arms: transformers' own cache, which copies all it holds for each new token; and that
in batches of 8,192 tokens at most. The prompts are those of `on_passages.py`.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import click
from transformers import DynamicCache

from on_passages import Asked, on_passages
from timing import interleaved, ratios_to_the_first
from toprope.models import generation, growing_cache


@on_passages(passages=16, tokens=48)
def main(asked: Asked) -> None:
    """Times the three, and prints the first one's ratios to the others."""

    def answered() -> float:
        asked.model.generate(asked.prompts, max_tokens=asked.tokens)
        return len(asked.prompts)

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
    click.echo(asked)
    for ratio in ratios_to_the_first(interleaved(arms, asked.rounds, "large batch")):
        click.echo(f"{ratio.name} over {ratio.other}: {ratio}")


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
