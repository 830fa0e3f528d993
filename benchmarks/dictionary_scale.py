"""Memory and time of training a TopK dictionary as its width and the tokens grow, and what that
says of widths that this machine can't hold.

Each width trains in a process of its own, whose peak memory beyond what it held before is measured;
the time is the median of the steps after the first two. Lines are laid through both and held
against the slopes that `toprope.techniques.interpretability.scale.plan` gives for this machine,
whose rates (a product of the trainer's shape, and copying) are measured first. At one width, the
tokens grow: memory should stay, and time go with them.

The last table is for ten million latents: on this machine at the measured slope, as if it had the
memory, and on H100s at the rates that their maker states.

    python benchmarks/dictionary_scale.py --steps 12 --out dictionary_scale.json
"""

from __future__ import annotations

import json
import multiprocessing
import os
import resource
import statistics
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import click
import torch
from torch import Tensor

from timing import machine
from toprope.techniques.interpretability.dictionaries.selection import ROWS
from toprope.techniques.interpretability.dictionaries.topk import TopK, TopKSettings
from toprope.techniques.interpretability.scale.plan import (
    H100S,
    Hardware,
    Job,
    bytes_per_device,
    plan,
)
from toprope.techniques.interpretability.scale.slope import Slope, slope
from toprope.techniques.interpretability.scale.table import table
from toprope.techniques.interpretability.training import TrainingSettings, train

STATUS = Path("/proc/self/status")
WARMING = 2
"""Steps at first that aren't counted."""
TEN_MILLION = 10_000_000
RATE_SECONDS = 2.0
"""How long each of the machine's rates is measured for."""


@dataclass(frozen=True)
class Measured:
    """One training.

    Attributes:
        seconds: of a step, the median.
        held: bytes at most, beyond what was held before.
    """

    width: int
    tokens: int
    seconds: float
    held: int


@click.command()
@click.option("--widths", default="1024,4096,16384,65536,131072", show_default=True)
@click.option("--d-model", default=576, show_default=True)
@click.option("--active", default=32, show_default=True)
@click.option("--batch", default=2048, show_default=True, help="Tokens a step.")
@click.option("--steps", default=12, show_default=True, help=f"The first {WARMING} aren't timed.")
@click.option("--threads", default=None, type=int, help="Default: torch's own.")
@click.option("--out", type=click.Path(path_type=Path), help="A JSON file for all that was found.")
def main(
    widths: str,
    d_model: int,
    active: int,
    batch: int,
    steps: int,
    threads: int | None,
    out: Path | None,
) -> None:
    """Measures training by width and by tokens, and plans for ten million latents."""
    if steps <= WARMING:
        raise click.UsageError(f"--steps has to be over {WARMING}")
    threads = threads or torch.get_num_threads()
    each = sorted({int(width) for width in widths.split(",")})
    here = alone(rates, each[len(each) // 2], d_model, threads)
    by_width = [alone(trained, width, d_model, active, batch, steps, threads) for width in each]
    middle = each[len(each) // 2]
    by_tokens = [
        alone(trained, middle, d_model, active, batch, WARMING + times * (steps - WARMING), threads)
        for times in (1, 2, 4)
    ]
    jobs = [Job(width=width, d_model=d_model, active=active, batch=batch) for width in each]
    slopes = {
        "bytes": (
            slope(each, [one.held for one in by_width]),
            slope(each, [bytes_per_device(job, 1).total for job in jobs]),
        ),
        "seconds a token": (
            slope(each, [one.seconds / batch for one in by_width]),
            slope(each, [1 / plan(job, here).throughput for job in jobs]),
        ),
    }
    click.echo(width_table(by_width, jobs, here))
    click.echo("\n" + token_table(by_tokens))
    click.echo("\n" + slope_table(slopes))
    click.echo("\n" + table(wide_plans(here, d_model, batch, slopes["seconds a token"][0])))
    if out:
        settings = {"d_model": d_model, "active": active, "batch": batch, "steps": steps}
        report = {
            "settings": settings | {"threads": threads},
            "machine": machine(),
            "rates": here.model_dump(),
            "by_width": [asdict(one) for one in by_width],
            "by_tokens": [asdict(one) for one in by_tokens],
            "slopes": {
                name: {"measured": asdict(found), "planned": asdict(planned)}
                for name, (found, planned) in slopes.items()
            },
        }
        out.write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")


def alone(work: Callable[..., Any], *args: Any) -> Any:
    """What the function returns, from a new process that does nothing else."""
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(1, mp_context=context) as pool:
        return pool.submit(work, *args).result()


def trained(
    width: int, d_model: int, active: int, batch: int, steps: int, threads: int
) -> Measured:
    """Trains on noise: the time doesn't depend on what is learned while no latent is dead."""
    torch.set_num_threads(threads)
    x_ND = torch.randn(4 * batch, d_model, generator=torch.Generator().manual_seed(0))
    batches = x_ND.split(batch)
    settings = TrainingSettings(steps=steps)
    # Warms up what is loaded at a first step, so that it isn't counted as the dictionary's.
    small = TopKSettings(width=active, d_model=d_model, active=active)
    train({"small": TopK(small)}, [x_ND[:2]], TrainingSettings(steps=1))
    before = now_held()
    asked: list[float] = []

    def timed() -> Iterator[Tensor]:
        for step in range(steps):
            asked.append(time.perf_counter())
            yield batches[step % len(batches)]

    dictionary = TopK(
        TopKSettings(width=width, d_model=d_model, active=active, dead_after=10 * batch * steps)
    )
    train({"dictionary": dictionary}, timed(), settings)
    asked.append(time.perf_counter())
    took = [stop - start for start, stop in pairwise(asked)]
    click.echo(f"width {width:,}: {steps} steps", err=True)
    return Measured(width, batch * steps, statistics.median(took[WARMING:]), most_held() - before)


def rates(width: int, d_model: int, threads: int) -> Hardware:
    """This machine as one device: its products of the encoder's shape, and its copying."""
    torch.set_num_threads(threads)
    x_BD, weights_DF = torch.randn(ROWS, d_model), torch.randn(d_model, width)
    bias_F, source_N = torch.randn(width), torch.randn(1 << 26)
    target_N = torch.empty_like(source_N)
    products = per_second(lambda: torch.addmm(bias_F, x_BD, weights_DF))
    copies = per_second(lambda: target_N.copy_(source_N))
    return Hardware(
        name=f"this machine, {threads} threads",
        devices=1,
        memory=total_memory(),
        flops=products * 2 * ROWS * d_model * width,
        bandwidth=copies * 2 * source_N.nbytes,
        link=1.0,  # there is no other device
        utilisation=1.0,
    )


def per_second(work: Callable[[], object]) -> float:
    """How often, by the median of single times."""
    work()
    took: list[float] = []
    while sum(took) < RATE_SECONDS:
        began = time.perf_counter()
        work()
        took.append(time.perf_counter() - began)
    return 1 / statistics.median(took)


def now_held() -> int:
    return _status("VmRSS")


def most_held() -> int:
    return _status("VmHWM")


def _status(name: str) -> int:
    """Bytes, as Linux counts them; elsewhere the most that was ever held."""
    if not STATUS.exists():
        unit = 1 if sys.platform == "darwin" else 1024
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit
    lines = dict(line.split(":", 1) for line in STATUS.read_text().splitlines())
    return int(lines[name].split()[0]) * 1024


def total_memory() -> int:
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


def wide_plans(here: Hardware, d_model: int, batch: int, seconds: Slope) -> list[Any]:
    """Ten million latents: here; on one node of H100s; for 4096 channels on that, and on as many
    H100s as it takes."""
    job = Job(width=TEN_MILLION, d_model=d_model)
    wider = Job(width=TEN_MILLION, d_model=4096)
    one_node = plan(wider, H100S)
    nodes = -(-(one_node.least_devices or 0) // H100S.devices)
    more = H100S.model_copy(
        update={"name": f"{nodes} x {H100S.name}", "devices": nodes * H100S.devices}
    )
    return [
        plan(
            job.model_copy(update={"batch": batch}),
            here,
            measured=1 / seconds.at(TEN_MILLION),
        ),
        plan(job, H100S),
        one_node,
        plan(wider, more),
    ]


def width_table(found: Sequence[Measured], jobs: Sequence[Job], here: Hardware) -> str:
    lines = [
        "| latents | s a step | tokens/s | planned tokens/s | MB held | planned MB |",
        "|--|--|--|--|--|--|",
    ]
    for one, job in zip(found, jobs, strict=True):
        planned = plan(job, here)
        lines.append(
            f"| {one.width:,} | {one.seconds:.3f} | {job.batch / one.seconds:,.0f} | "
            f"{planned.throughput:,.0f} | {one.held / 1e6:,.0f} | "
            f"{planned.held.total / 1e6:,.0f} |"
        )
    return "\n".join(lines)


def token_table(found: Sequence[Measured]) -> str:
    lines = ["| latents | tokens | s a step | MB held |", "|--|--|--|--|"]
    lines += [
        f"| {one.width:,} | {one.tokens:,} | {one.seconds:.3f} | {one.held / 1e6:,.0f} |"
        for one in found
    ]
    return "\n".join(lines)


def slope_table(slopes: dict[str, tuple[Slope, Slope]]) -> str:
    lines = [
        "| cost | a latent, measured | planned | ratio | line's worst error |",
        "|--|--|--|--|--|",
    ]
    lines += [
        f"| {name} | {found.per_latent:.4g} | {planned.per_latent:.4g} | "
        f"{found.per_latent / planned.per_latent:.2f} | {found.worst:.1%} |"
        for name, (found, planned) in slopes.items()
    ]
    return "\n".join(lines)


if __name__ == "__main__":
    main()
