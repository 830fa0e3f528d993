"""Answering prompts that begin alike, with what they share read once, beside reading each whole.

    python benchmarks/shared_prefix.py --model qwen2.5-coder-0.5b --dtype bfloat16 --rounds 6

The prompts are those of debaters: each generated passage with several questions about what is said
behind it.
"""

from __future__ import annotations

import click
import torch

from timing import interleaved, machine, ratios_to_the_first
from toprope.models import shared_prefix
from toprope.models.local import LocalModel
from toprope.models.placement import dtype_named
from toprope.models.prefix_cache import PrefixCache
from toprope.techniques.debate.passages.generate import PassageSettings, passages

ENDS = ("the first", "the second", "neither", "both")


@click.command()
@click.option("--model", "name", default="smollm2-135m", show_default=True)
@click.option("--dtype", default="float32", show_default=True)
@click.option("--passages", "many", default=8, show_default=True)
@click.option("--words", default=200, show_default=True, help="Of a passage.")
@click.option("--tokens", default=32, show_default=True, help="Of an answer.")
@click.option("--threads", default=2, show_default=True)
@click.option("--rounds", default=6, show_default=True, help="An interval takes 6 or more.")
def main(
    name: str, dtype: str, many: int, words: int, tokens: int, threads: int, rounds: int
) -> None:
    """Times both, and prints their ratio."""
    torch.set_num_threads(threads)
    model = LocalModel.load(name, dtype=dtype_named(dtype), device="cpu")
    model.prefixes = PrefixCache(room=0)  # the same prompts are read every round
    normal = shared_prefix.WORTH
    prompts = on_passages(many, words)

    def answered(worth: float) -> float:
        shared_prefix.WORTH = worth
        model.generate(prompts, max_tokens=tokens)
        return len(prompts)

    arms = {"shared": lambda: answered(normal), "each whole": lambda: answered(-1)}
    [ratio] = ratios_to_the_first(interleaved(arms, rounds, "shared prefix"))
    lengths = [len(model.tokens(prompt)) for prompt in prompts]
    click.echo(f"{len(prompts)} prompts of {min(lengths)} to {max(lengths)} tokens: {ratio}")
    click.echo(machine())


def on_passages(many: int, words: int) -> list[list[dict[str, str]]]:
    """Four prompts on each of so many passages of so many words."""
    found = passages(PassageSettings(size=many, words=words)).questions
    return [
        [{"role": "user", "content": f"{one.passage}\n\n{one.text}\n\nSay in a sentence: {end}."}]
        for one in found
        for end in ENDS
    ]


if __name__ == "__main__":
    main()
