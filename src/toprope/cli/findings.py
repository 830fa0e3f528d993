"""`toprope findings list | show | replay | garak`: the failures that red-teaming found."""

import asyncio
import json
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click

from toprope.cli.group import Group
from toprope.cli.options import device as device_option
from toprope.cli.options import dtype as dtype_option
from toprope.errors import UserError, unknown
from toprope.lab import Lab
from toprope.progress import Progress
from toprope.report.text import clean
from toprope.run import ARTIFACTS
from toprope.techniques.redteam import garak
from toprope.techniques.redteam.findings import load


@click.group(cls=Group)
def findings() -> None:
    """Look into the failures that red-teaming found, see one again, or hand them on.

    All of them are JSON lines, ready to train on: findings.jsonl in RUN/artifacts/redteam, a folder
    for each target and set. They hold harmful text.

    \b
    toprope findings list runs/my-run
    toprope findings replay runs/my-run fa41e2a392
    """


@findings.command(name="list")
@click.argument("run", type=click.Path(path_type=Path))
def list_findings(run: Path) -> None:
    """List a run's findings: id, cluster, score, attack, and what was wanted.

    \b
    toprope findings list runs/my-run
    """
    for one in _all(run):
        attack = f"{one['family']}/{one['strategy']}"
        row = f"{one['id']}  {one['cluster']:>3}  {one['score']:.2f}  {attack:<34} {one['request']}"
        click.echo(clean(row)[:160])


@findings.command()
@click.argument("run", type=click.Path(path_type=Path))
@click.argument("finding")
def show(run: Path, finding: str) -> None:
    """Print one finding's transcript. It may hold harmful text.

    \b
    toprope findings show runs/my-run fa41e2a392
    """
    one = _one(run, finding)
    for message in one["messages"]:
        click.echo(f"{message['role'].upper()}: {clean(message['content'])}\n")
    click.echo(f"TARGET: {clean(one['response'])}")


@findings.command()
@click.argument("run", type=click.Path(path_type=Path))
@click.argument("finding")
@device_option
@dtype_option
def replay(run: Path, finding: str, device: str | None, dtype: str | None) -> None:
    """Ask the target again what a finding asked, and say whether it answers the same.

    A local model at temperature 0 does, on the same kind of machine.

    \b
    toprope findings replay runs/my-run fa41e2a392
    """
    one = _one(run, finding)
    target = one["target"]
    system = [{"role": "system", "content": target["system"]}] if target["system"] else []
    with tempfile.TemporaryDirectory() as work:
        lab = Lab(Path(work), device=device, dtype=dtype, progress=Progress())
        chat = lab.chat(target["name"])
        reply = asyncio.run(
            chat.ask(
                [*system, *one["messages"]],
                prefill=one["prefill"],
                max_tokens=target["max_tokens"],
                temperature=one["temperature"],
                seed=one["seed"],
            )
        )
    response = one["prefill"] + reply.text
    click.echo(clean(response))
    same = "the same answer" if response == one["response"] else "another answer than before"
    click.echo(f"{reply.outcome}: {same}", err=True)


@findings.command(name="garak")
@click.argument("run", type=click.Path(path_type=Path))
@click.argument("out", type=click.Path(path_type=Path))
def to_garak(run: Path, out: Path) -> None:
    """Write a run's findings as a garak report (JSON lines), for tools that read those.

    \b
    toprope findings garak runs/my-run my-run.report.jsonl
    """
    rows = garak.exported(_all(run))
    _write(out, "".join(json.dumps(row) + "\n" for row in rows))
    click.echo(f"{len(rows) - 1} attempts: {out}")


def _write(path: Path, text: str) -> None:
    try:
        path.write_text(text, encoding="utf-8")
    except OSError as error:
        raise UserError(f"can't write {path}: {error.strerror}") from None


def _all(run: Path) -> list[dict[str, Any]]:
    return load(run / ARTIFACTS)


def _one(run: Path, finding: str) -> Mapping[str, Any]:
    found = {one["id"]: one for one in _all(run)}
    if finding not in found:
        raise unknown("finding", finding, found, where=str(run))
    return found[finding]
