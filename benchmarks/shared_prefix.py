"""Answering prompts that begin alike, with what they share read once, beside reading each whole.

    python benchmarks/shared_prefix.py --model qwen2.5-coder-0.5b --dtype bfloat16 --rounds 6

The prompts are those of debaters: each generated passage with several questions about what is said
behind it.
"""

from __future__ import annotations

import click

from on_passages import Asked, on_passages
from timing import interleaved, ratios_to_the_first
from toprope.models import shared_prefix


@on_passages(passages=8, tokens=32)
def main(asked: Asked) -> None:
    """Times both, and prints their ratio."""
    normal = shared_prefix.WORTH

    def answered(worth: float) -> float:
        shared_prefix.WORTH = worth
        asked.model.generate(asked.prompts, max_tokens=asked.tokens)
        return len(asked.prompts)

    arms = {"shared": lambda: answered(normal), "each whole": lambda: answered(-1)}
    [ratio] = ratios_to_the_first(interleaved(arms, asked.rounds, "shared prefix"))
    click.echo(f"{asked}: {ratio}")


if __name__ == "__main__":
    main()
