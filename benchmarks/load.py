"""How long a model of the catalog takes to load, once it has been converted, beside bare
`transformers` loading the same folder.

    python benchmarks/load.py --model qwen2.5-coder-0.5b --rounds 7

Each round loads it both ways, in turn; the file is in the system's cache from the first round on,
which isn't counted. The aim: at most 4 s for the 0.5B model.
"""

from __future__ import annotations

import gc

import click
import numpy as np
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from timing import interleaved, ratios_to_the_first
from toprope.models.local import LocalModel
from toprope.models.weights import resolve


@click.command()
@click.option("--model", "name", default="qwen2.5-coder-0.5b", show_default=True)
@click.option("--rounds", default=7, show_default=True, help="An interval takes 6 or more.")
def main(name: str, rounds: int) -> None:
    """Times loading, and prints a Markdown table."""
    folder = resolve(name)

    def toprope() -> float:
        LocalModel.load(name, device="cpu")
        gc.collect()
        return 1

    def bare() -> float:
        AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()
        AutoTokenizer.from_pretrained(folder)
        gc.collect()
        return 1

    rates = interleaved({"LocalModel.load": toprope, "bare": bare}, rounds, "load")
    [ratio] = ratios_to_the_first(rates)
    click.echo("| arm | seconds (median) | seconds (slowest) |\n|---|---|---|")
    for arm, of_rounds in rates.items():
        seconds = 1 / np.array(of_rounds)
        click.echo(f"| {arm} | {np.median(seconds):.2f} | {seconds.max():.2f} |")
    click.echo(f"\ntoprope is faster by {ratio}")


if __name__ == "__main__":
    main()
