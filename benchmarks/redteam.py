"""How many attempts a second red-teaming makes, beside bare batched generation of the same prompts.

    python benchmarks/redteam.py [--model smollm2-135m] [--rounds 7] [--tokens 32]

Each round sends the same messages three ways: as a sweep of templates over behaviours with the
refusal judge and a journal; the same without a journal; and as one call of `LocalModel.generate`.
The aim: at least 0.9 of the attempts a second of the last.
"""

import asyncio
import tempfile
from itertools import count
from pathlib import Path

import click
import numpy as np

from timing import Arms, interleaved, machine, ratios_to_the_first
from toprope.data.behaviours import load_behaviours
from toprope.lab import Lab
from toprope.models.prefix_cache import PrefixCache
from toprope.techniques.redteam.attacks import arms
from toprope.techniques.redteam.attempts import Attempt, Target
from toprope.techniques.redteam.campaign import Front
from toprope.techniques.redteam.judges.refusal import RefusalJudge

FAMILIES = ("prefix_injection", "fiction")


@click.command()
@click.option("--model", "name", default="smollm2-135m", show_default=True)
@click.option("--rounds", default=7, show_default=True, help="An interval takes 6 or more.")
@click.option("--tokens", default=32, show_default=True, help="Of an answer, at most.")
@click.option("--behaviours", "number", default=20, show_default=True)
def main(name: str, rounds: int, tokens: int, number: int) -> None:
    """Times a sweep and bare generation by turns, and prints their ratios."""
    behaviours = load_behaviours("behaviours", limit=number).behaviours
    attacks = arms(FAMILIES)
    numbers = count()
    with tempfile.TemporaryDirectory() as folder:
        lab = Lab(Path(folder))
        local = lab.local(name)
        local.prefixes = PrefixCache(room=0)  # the same prompts are read every round
        chat = lab.chat(name, concurrency=128)

        def sweep() -> list[Attempt]:
            front = Front(
                Target(chat, RefusalJudge(), max_tokens=tokens), None, lambda *key: lab.rng(*key)
            )
            return asyncio.run(front.once(behaviours, attacks, lambda _: None))

        def journaled() -> float:
            with lab.journal(f"journal-{next(numbers)}", {}, what="benchmark") as chat.journal:
                done = len(sweep())
            chat.journal = None
            return done

        prompts = [list(attempt.messages) for attempt in sweep()]

        def bare() -> float:
            local.generate(prompts, max_tokens=tokens)
            return len(prompts)

        families: Arms = {
            "red-teaming": journaled,
            "red-teaming, no journal": lambda: len(sweep()),
            "LocalModel.generate": bare,
        }
        rates = interleaved(families, rounds, "attempts")
    for arm, found in rates.items():
        click.echo(f"{arm}: {np.median(found):.2f} attempts a second (median)")
    for ratio in ratios_to_the_first(rates):
        click.echo(f"red-teaming over {ratio.other}: {ratio}")
    click.echo(str(machine()))


if __name__ == "__main__":
    main()
