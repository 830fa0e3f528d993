"""Attempts a second beside garak and PyRIT: the same prompts, model and length of answers.

    python benchmarks/redteam_peers/compare.py [--model smollm2-135m] [--rounds 6] [--tokens 16]

Two tables. With the model in the process: a sweep of toprope and garak's own local generator
(`huggingface.Pipeline`, in single precision), both on the prompts of garak's `dan.AntiDAN` and
`grandma` probes. With the model served on this machine (`toprope serve model`): a sweep of toprope
and PyRIT's `PromptSendingAttack`, both with at most as many calls under way at once. Answers are
greedy, and end where the model ends them or at the length.

The peers are installed into an environment of their own, in the folder of `--env`, made where it
isn't there yet: some gigabytes. Each round times every tool once, in an order that changes.
"""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from contextlib import closing
from pathlib import Path

import click
import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1]))

from peers import Peer, environment, served
from timing import Arms, interleaved, machine, ratios_to_the_first
from toprope.data.behaviours import Behaviour
from toprope.lab import Lab
from toprope.models import weights
from toprope.techniques.redteam.attacks.direct import Direct
from toprope.techniques.redteam.attempts import Target
from toprope.techniques.redteam.campaign import Front
from toprope.techniques.redteam.judges.refusal import RefusalJudge

HERE = Path(__file__).parent


@click.command()
@click.option("--model", "name", default="smollm2-135m", show_default=True)
@click.option("--rounds", default=6, show_default=True, help="An interval takes 6 or more.")
@click.option("--tokens", default=16, show_default=True, help="Of an answer, at most.")
@click.option("--prompts", "number", default=16, show_default=True)
@click.option("--concurrency", default=16, show_default=True)
@click.option("--port", default=8123, show_default=True)
@click.option(
    "--env", type=click.Path(path_type=Path), default=Path("build/peers"), show_default=True
)
def main(
    name: str, rounds: int, tokens: int, number: int, concurrency: int, port: int, env: Path
) -> None:
    """Times the tools by turns, and prints their ratios."""
    python = environment(env, "garak==0.17.1", "pyrit==1.1.0", torch=True)
    prompts = _prompts(python, number)
    about = {"model": str(weights.path(name)), "tokens": tokens, "prompts": prompts}
    garak = Peer(python, HERE / "garak_side.py", about)
    with tempfile.TemporaryDirectory() as folder, closing(garak):
        lab = Lab(Path(folder))
        arms: Arms = {
            "toprope": _sweep(lab, name, prompts, tokens, concurrency),
            f"garak {garak.version}": garak.work,
        }
        _show("in the process", interleaved(arms, rounds, "in the process"))
    with served(name, port) as url, tempfile.TemporaryDirectory() as folder:
        pyrit = Peer(
            python,
            HERE / "pyrit_side.py",
            {
                **about,
                "model": name,
                "url": url,
                "concurrency": concurrency,
            },
        )
        os.environ |= {"BENCH_BASE_URL": url, "BENCH_API_KEY": "none"}
        with closing(pyrit):
            lab = Lab(Path(folder))
            arms = {
                "toprope": _sweep(lab, f"openai-api/bench/{name}", prompts, tokens, concurrency),
                f"PyRIT {pyrit.version}": pyrit.work,
            }
            _show("served", interleaved(arms, rounds, "served"))
    click.echo(str(machine()))


def _sweep(
    lab: Lab, name: str, prompts: Sequence[str], tokens: int, concurrency: int
) -> Callable[[], float]:
    chat = lab.chat(name, concurrency=concurrency)
    behaviours = [Behaviour(id=str(i), text=text) for i, text in enumerate(prompts)]
    front = Front(Target(chat, RefusalJudge(), max_tokens=tokens), None, lambda *key: lab.rng(*key))

    def work() -> float:
        found = asyncio.run(front.once(behaviours, [Direct()], lambda _: None))
        assert all(one.outcome in ("judged", "empty") for one in found), found
        return len(found)

    return work


def _show(where: str, rates: dict[str, list[float]]) -> None:
    for arm, found in rates.items():
        click.echo(f"{where}: {arm}: {np.median(found):.2f} attempts a second (median)")
    for ratio in ratios_to_the_first(rates):
        click.echo(f"{where}: toprope over {ratio.other}: {ratio}")


def _prompts(python: Path, number: int) -> list[str]:
    """Of garak's probes, those that are texts, the shortest first."""
    script = (
        "import json, importlib\n"
        "from garak import _config\n"
        "_config.load_config()\n"
        "found = []\n"
        "for name, kind in (('grandma', 'Win10'), ('grandma', 'Substances'), ('dan', 'AntiDAN')):\n"
        "    probe = getattr(importlib.import_module(f'garak.probes.{name}'), kind)()\n"
        "    found += [p if isinstance(p, str) else p.last_message().text for p in probe.prompts]\n"
        "print('prompts ' + json.dumps(found))\n"
    )
    out = subprocess.run([python, "-c", script], capture_output=True, text=True, check=True).stdout
    [line] = [one for one in out.splitlines() if one.startswith("prompts ")]
    return sorted(json.loads(line.removeprefix("prompts ")), key=len)[:number]


if __name__ == "__main__":
    main()
