"""Prompts that come one after another on the same passages, with what was read kept, beside
reading each anew.

    python benchmarks/prefix_cache.py --model qwen2.5-coder-0.5b --dtype bfloat16

A round is a game's turns: each passage is asked about four times, every time all passages in a
batch. The first is read anew in both.
"""

from __future__ import annotations

import click

from on_passages import ENDS, Asked, on_passages
from timing import interleaved, ratios_to_the_first
from toprope.models.prefix_cache import ROOM, PrefixCache


@on_passages(passages=8, tokens=8)
def main(asked: Asked) -> None:
    """Times both, and prints their ratio."""

    def answered(room: int) -> float:
        asked.model.prefixes = PrefixCache(room=room)
        for turn in range(len(ENDS)):
            asked.model.generate(asked.prompts[turn :: len(ENDS)], max_tokens=asked.tokens)
        return len(asked.prompts)

    arms = {"kept": lambda: answered(ROOM), "read anew": lambda: answered(0)}
    [ratio] = ratios_to_the_first(interleaved(arms, asked.rounds, "prefix cache"))
    click.echo(f"{asked}: {ratio}")


if __name__ == "__main__":
    main()
