"""What the benchmarks that ask about generated passages share: their options, model and prompts."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import click
import torch

from timing import machine
from toprope.models.local import LocalModel
from toprope.models.placement import dtype_named
from toprope.models.prefix_cache import PrefixCache
from toprope.techniques.debate.passages.generate import PassageSettings, passages

ENDS = ("the first", "the second", "neither", "both")
"""Of the prompts on a passage, which come one after another."""

Prompt = list[dict[str, str]]


@dataclass(frozen=True)
class Asked:
    """
    Attributes:
        model: keeps nothing of what it has read, as every round reads the same prompts.
        tokens: of an answer, at most.
    """

    model: LocalModel
    prompts: list[Prompt]
    tokens: int
    rounds: int

    def __str__(self) -> str:
        lengths = [len(self.model.tokens(prompt)) for prompt in self.prompts]
        return f"{len(self.prompts)} prompts of {min(lengths)} to {max(lengths)} tokens"


def on_passages(
    *, passages: int, tokens: int
) -> Callable[[Callable[[Asked], None]], click.Command]:
    """A command of a function that times something; the machine is told after it.

    Args:
        passages, tokens: their defaults.
    """

    def command(timed: Callable[[Asked], None]) -> click.Command:
        @click.command(help=timed.__doc__)
        @click.option("--model", "name", default="smollm2-135m", show_default=True)
        @click.option("--dtype", default="float32", show_default=True)
        @click.option("--passages", "many", default=passages, show_default=True)
        @click.option("--words", default=200, show_default=True, help="Of a passage.")
        @click.option("--tokens", default=tokens, show_default=True, help="Of an answer.")
        @click.option("--threads", default=2, show_default=True)
        @click.option("--rounds", default=6, show_default=True, help="An interval takes 6 or more.")
        def run(
            name: str, dtype: str, many: int, words: int, tokens: int, threads: int, rounds: int
        ) -> None:
            torch.set_num_threads(threads)
            model = LocalModel.load(name, dtype=dtype_named(dtype), device="cpu")
            model.prefixes = PrefixCache(room=0)
            timed(Asked(model, _prompts(many, words), tokens, rounds))
            click.echo(machine())

        return run

    return command


def _prompts(many: int, words: int) -> list[Prompt]:
    """Four on each of so many passages of so many words."""
    found = passages(PassageSettings(size=many, words=words)).questions
    return [
        [{"role": "user", "content": f"{one.passage}\n\n{one.text}\n\nSay in a sentence: {end}."}]
        for one in found
        for end in ENDS
    ]
