"""Prompts that come one after another on the same passages, with what was read kept, beside
reading each anew.

    python benchmarks/prefix_cache.py --model qwen2.5-coder-0.5b --dtype bfloat16

A round is a game's turns: each passage is asked about four times, every time all passages in a
batch. The first is read anew in both.
"""

from __future__ import annotations

import click
import torch

from shared_prefix import ENDS, on_passages
from timing import interleaved, machine, ratios_to_the_first
from toprope.models.local import LocalModel
from toprope.models.placement import dtype_named
from toprope.models.prefix_cache import ROOM, PrefixCache


@click.command()
@click.option("--model", "name", default="smollm2-135m", show_default=True)
@click.option("--dtype", default="float32", show_default=True)
@click.option("--passages", "many", default=8, show_default=True)
@click.option("--words", default=200, show_default=True, help="Of a passage.")
@click.option("--tokens", default=8, show_default=True, help="Of an answer.")
@click.option("--threads", default=2, show_default=True)
@click.option("--rounds", default=6, show_default=True, help="An interval takes 6 or more.")
def main(
    name: str, dtype: str, many: int, words: int, tokens: int, threads: int, rounds: int
) -> None:
    """Times both, and prints their ratio."""
    torch.set_num_threads(threads)
    model = LocalModel.load(name, dtype=dtype_named(dtype), device="cpu")
    prompts = on_passages(many, words)

    def answered(room: int) -> float:
        model.prefixes = PrefixCache(room=room)
        for turn in range(len(ENDS)):
            model.generate(prompts[turn :: len(ENDS)], max_tokens=tokens)
        return len(prompts)

    arms = {"kept": lambda: answered(ROOM), "read anew": lambda: answered(0)}
    [ratio] = ratios_to_the_first(interleaved(arms, rounds, "prefix cache"))
    lengths = [len(model.tokens(prompt)) for prompt in prompts]
    click.echo(f"{len(prompts)} prompts of {min(lengths)} to {max(lengths)} tokens: {ratio}")
    click.echo(machine())


if __name__ == "__main__":
    main()
