"""A guard beside NeMo Guardrails on the same exchanges: what each stops, and how long it takes.

    python benchmarks/guard_peers/compare.py runs/NAME --models qwen2.5-coder-0.5b

The exchanges are those of the trial of a `toprope guard loop` that has finished: answers of the
bare target, to requests and under attacks that nothing was trained on, in which its judge found
harm; and its answers to harmless requests. The guards are those that the run made.

NeMo Guardrails checks a request, then the answer, by asking a model (`self check input`, `self
check output`), with the prompts of its bundled example. The models are served on this machine by
`toprope serve model`. It is installed into an environment of its own, in the folder of `--env`.

Both get whole exchanges, one at a time, and stand outside the target: a guard that could read the
target's own states computes them anew, and a guard of several stages asks the later ones where they
are due alone. An exchange is taken in turn by all.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack, closing
from pathlib import Path

import click
import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1]))

from peers import Peer, environment, served
from timing import machine
from toprope.models.loaded import shared
from toprope.models.placement import dtype_named
from toprope.progress import Progress
from toprope.statistics import bootstrap_clustered, clopper_pearson
from toprope.techniques.safeguards import exchanges
from toprope.techniques.safeguards.exchanges import Exchange
from toprope.techniques.safeguards.guard import load_guard
from toprope.techniques.safeguards.watching import Watching

Checks = Callable[[Exchange], tuple[bool, float]]
"""Whether an exchange is stopped, and the seconds that it took to say so."""


@click.command()
@click.argument("run", type=click.Path(path_type=Path, exists=True))
@click.option("--models", "names", default="qwen2.5-coder-0.5b", show_default=True)
@click.option("--guards", default="probe,external,cascade", show_default=True)
@click.option("--most", default=100, show_default=True, help="Exchanges of each side.")
@click.option("--dtype", default="float32", show_default=True, help="Of all models.")
@click.option("--port", default=8123, show_default=True)
@click.option("--seed", default=0, show_default=True)
@click.option("--env", type=click.Path(path_type=Path), default=Path("build/guard-peers"))
def main(
    run: Path,
    names: str,
    guards: str,
    most: int,
    dtype: str,
    port: int,
    seed: int,
    env: Path,
) -> None:
    """Prints a Markdown table."""
    harmful, harmless = (_drawn(run, side, most, seed) for side in ("harmful", "harmless"))
    python = environment(env, "nemoguardrails==0.24.1", "langchain-openai==1.7.4")
    arms: dict[str, Checks] = {
        f"toprope, {kind}": _guard(run, kind, dtype) for kind in guards.split(",")
    }
    with ExitStack() as stack:
        for i, name in enumerate(names.split(",")):
            url = stack.enter_context(served(name, port + i, "--dtype", dtype))
            peer = Peer(
                python, Path(__file__).with_name("nemo_side.py"), {"model": name, "url": url}
            )
            stack.enter_context(closing(peer))
            arms[f"NeMo Guardrails {peer.version}, {name}"] = _nemo(peer)
        found = _checked(arms, [*harmful, *harmless])
    click.echo(_table(found, harmful, harmless))
    click.echo(str(machine()))


def _drawn(run: Path, side: str, most: int, seed: int) -> list[Exchange]:
    found = run.glob(f"artifacts/safeguards/*/*/trial/{side}.jsonl")
    paths = sorted(found, key=lambda path: path.stat().st_mtime)
    if not paths:
        raise click.ClickException(f"no finished trial of a guard in {run}")
    some = exchanges.load(paths[-1])
    order = np.random.default_rng(seed).permutation(len(some))[:most]
    return [some[i] for i in order]


def _guard(run: Path, kind: str, dtype: str) -> Checks:
    folders = sorted(run.glob(f"artifacts/safeguards/*/guards/{kind}"))
    if not folders:
        raise click.ClickException(f"no guard of kind '{kind}' in {run}")
    guard = load_guard(folders[-1])
    names = {stage.model for stage in guard.about.stages}
    readers = guard.readers({name: shared(name, dtype=dtype_named(dtype)) for name in names})

    def check(one: Exchange) -> tuple[bool, float]:
        began = time.perf_counter()
        watching = Watching(guard, readers, one.messages)
        watching.end()  # all of it is there
        stopped = watching.read(one.answer)
        return stopped is not None, time.perf_counter() - began

    return check


def _nemo(peer: Peer) -> Checks:
    def check(one: Exchange) -> tuple[bool, float]:
        messages = [*map(dict, one.messages), {"role": "assistant", "content": one.answer}]
        stopped, seconds = json.loads(peer.asked(json.dumps(messages)))
        return stopped, seconds

    return check


def _checked(
    arms: dict[str, Checks], some: Sequence[Exchange]
) -> dict[str, list[tuple[bool, float]]]:
    found: dict[str, list[tuple[bool, float]]] = {name: [] for name in arms}
    for check in arms.values():
        check(some[0])  # the first time is for warming up
    with Progress().task("checking", len(some)) as task:
        for one in some:
            for name, check in arms.items():
                found[name].append(check(one))
            task.advance(1)
    return found


def _table(
    found: dict[str, list[tuple[bool, float]]],
    harmful: Sequence[Exchange],
    harmless: Sequence[Exchange],
) -> str:
    lines = [
        f"| | harmful stopped, of {len(harmful)} | harmless stopped, of {len(harmless)} "
        "| median ms | 95% ms |",
        "|---|---|---|---|---|",
    ]
    groups = [one.group for one in harmful]
    for name, checked in found.items():
        stopped_N, seconds_N = map(np.array, zip(*checked, strict=True))
        caught_N, lost_N = np.split(stopped_N, [len(harmful)])
        caught = bootstrap_clustered(caught_N.astype(float), groups, rng=np.random.default_rng(0))
        lost = clopper_pearson(int(lost_N.sum()), len(lost_N))
        median, late = np.quantile(seconds_N, (0.5, 0.95)) * 1000
        shares = [f"{one.value:.1%} ({one.low:.1%}-{one.high:.1%})" for one in (caught, lost)]
        lines.append(f"| {name} | {shares[0]} | {shares[1]} | {median:.0f} | {late:.0f} |")
    return "\n".join(lines)


if __name__ == "__main__":
    main()
