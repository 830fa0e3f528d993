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
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import click
import httpx
import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1]))

from timing import Arms, interleaved, machine, ratios_to_the_first
from toprope.data.behaviours import Behaviour
from toprope.lab import Lab
from toprope.models import weights
from toprope.techniques.redteam.attacks.direct import Direct
from toprope.techniques.redteam.attempts import Target
from toprope.techniques.redteam.campaign import Front
from toprope.techniques.redteam.judges.refusal import RefusalJudge

HERE = Path(__file__).parent


class Peer:
    """Another tool, in a process of its environment: loaded once, timed by the line."""

    def __init__(self, python: Path, script: str, settings: dict) -> None:
        self._script = script
        self._process = subprocess.Popen(
            [python, HERE / script, json.dumps(settings)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        self.version = self._said("ready")

    def work(self) -> float:
        assert self._process.stdin
        self._process.stdin.write("go\n")
        self._process.stdin.flush()
        return float(self._said("done"))

    def end(self) -> None:
        self._process.kill()
        self._process.wait()

    def _said(self, word: str) -> str:
        """What follows a word; the tools print much else."""
        assert self._process.stdout
        for line in self._process.stdout:
            if line.startswith(f"{word} "):
                return line.removeprefix(f"{word} ").strip()
        raise click.ClickException(f"{self._script} ended; run it by hand to see why")


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
    python = _environment(env)
    prompts = _prompts(python, number)
    about = {"model": str(weights.path(name)), "tokens": tokens, "prompts": prompts}
    garak = Peer(python, "garak_side.py", about)
    with tempfile.TemporaryDirectory() as folder, _closing(garak.end):
        lab = Lab(Path(folder))
        arms: Arms = {
            "toprope": _sweep(lab, name, prompts, tokens, concurrency),
            f"garak {garak.version}": garak.work,
        }
        _show("in the process", interleaved(arms, rounds, "in the process"))
    with _served(name, port), tempfile.TemporaryDirectory() as folder:
        pyrit = Peer(
            python,
            "pyrit_side.py",
            {
                **about,
                "model": name,
                "url": f"http://127.0.0.1:{port}/v1",
                "concurrency": concurrency,
            },
        )
        os.environ |= {"BENCH_BASE_URL": f"http://127.0.0.1:{port}/v1", "BENCH_API_KEY": "none"}
        with _closing(pyrit.end):
            lab = Lab(Path(folder))
            served = f"openai-api/bench/{name}"
            arms = {
                "toprope": _sweep(lab, served, prompts, tokens, concurrency),
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


def _environment(folder: Path) -> Path:
    python = folder / "bin" / "python"
    if not (folder / ".installed").exists():
        click.echo(f"installing garak and PyRIT into {folder}", err=True)
        subprocess.run([sys.executable, "-m", "venv", folder], check=True)
        pip = [python, "-m", "pip", "install", "--quiet"]
        # A CPU build of torch that pip finds locally goes before PyPI's, which brings CUDA.
        local = [*pip, "--no-index", "--no-deps", "torch"]
        subprocess.run(local, check=False, stderr=subprocess.DEVNULL)
        subprocess.run([*pip, "garak==0.17.1", "pyrit==1.1.0"], check=True)
        (folder / ".installed").touch()
    return python


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


@contextmanager
def _served(name: str, port: int) -> Iterator[None]:
    command = [Path(sys.executable).parent / "toprope", "serve", "model", name, "--port", str(port)]
    process = subprocess.Popen([*command, "--quiet"])
    try:
        with httpx.Client() as client:
            for _ in range(600):
                try:
                    client.get(f"http://127.0.0.1:{port}/health").raise_for_status()
                    break
                except httpx.HTTPError:
                    if process.poll() is not None:
                        raise click.ClickException("the model's server ended") from None
                    asyncio.run(asyncio.sleep(0.2))
        yield
    finally:
        process.terminate()
        process.wait()


@contextmanager
def _closing(end: Callable[[], None]) -> Iterator[None]:
    try:
        yield
    finally:
        end()


if __name__ == "__main__":
    main()
