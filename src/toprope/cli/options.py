"""The options that several commands share."""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from toprope.errors import UserError, unknown


class OneOf(click.Choice):
    """One of a few words; a bad one is answered with the nearest good one."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        if value not in self.choices:
            where = param.opts[0] if param else ""
            raise unknown("value", str(value), map(str, self.choices), where=where)
        return value


def _checked_device(ctx: click.Context, param: click.Parameter, name: str | None) -> str | None:
    if name is None or name == "cpu":
        return name
    if not re.fullmatch(r"cuda(:\d+)?|mps", name):
        raise UserError(f"unknown device '{name}' in --device: known: cpu, cuda, cuda:1, mps")
    import torch

    kind, _, number = name.partition(":")
    there = torch.backends.mps.is_available() if kind == "mps" else torch.cuda.is_available()
    if not there or (number and int(number) >= torch.cuda.device_count()):
        raise UserError(f"--device {name}: PyTorch finds no such device here: try --device cpu")
    return name


data_dir = click.option(
    "--data-dir",
    metavar="FOLDER",
    type=click.Path(path_type=Path),
    envvar="TOPROPE_DATA",
    help="Where datasets described in YAML look for their files.  [also: TOPROPE_DATA]",
)
device = click.option(
    "--device",
    callback=_checked_device,
    help="For local models: cpu, cuda, mps, ...  [default: the GPU where there is one]",
)
dtype = click.option(
    "--dtype",
    type=OneOf(["float32", "bfloat16", "float16"]),
    help="Precision of local models' weights.  [default: float32 on a CPU, bfloat16 on a GPU]",
)
quiet = click.option("--quiet", is_flag=True, help="Show no progress, only results.")

_RUN_OPTIONS = (
    click.option(
        "--runs",
        metavar="FOLDER",
        type=click.Path(path_type=Path),
        default=Path("runs"),
        show_default=True,
        help="Where runs are kept; this one in FOLDER/NAME.",
    ),
    click.option("--name", help="The run's name, and that of its folder."),
    click.option("--seed", type=click.IntRange(min=0), help="What all randomness comes from."),
    data_dir,
    device,
    dtype,
    quiet,
)


def run_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """--runs, --name, --seed, --data-dir, --device, --dtype and --quiet, as `climb` takes them."""
    for option in reversed(_RUN_OPTIONS):
        command = option(command)
    return command
