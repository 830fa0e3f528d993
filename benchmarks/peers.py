"""Other tools beside toprope: each in an environment and a process of its own, loaded once and told
by the line what to do."""

import json
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import click
import httpx

MODEL_SECONDS = 120
"""That a model's server may take to start."""


class Peer:
    """A tool's process. Its script is given settings as JSON; it says `ready VERSION`, and
    `done RESULT` for each line that it reads.

    Args:
        python: of the tool's environment.
    """

    def __init__(self, python: Path, script: Path, settings: dict) -> None:
        self._script = script
        self._process = subprocess.Popen(
            [python, script, json.dumps(settings)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        self.version = self._said("ready")

    def asked(self, line: str) -> str:
        """Its result for a line."""
        assert self._process.stdin
        self._process.stdin.write(f"{line}\n")
        self._process.stdin.flush()
        return self._said("done")

    def work(self) -> float:
        """A round, in which the line says nothing: how much was done."""
        return float(self.asked("go"))

    def close(self) -> None:
        self._process.kill()
        self._process.wait()

    def _said(self, word: str) -> str:
        """What follows a word; the tools print much else."""
        assert self._process.stdout
        for line in self._process.stdout:
            if line.startswith(f"{word} "):
                return line.removeprefix(f"{word} ").strip()
        raise click.ClickException(f"{self._script.name} ended; run it by hand to see why")


def environment(folder: Path, *packages: str, torch: bool = False) -> Path:
    """The Python of an environment with these packages, made where it isn't there yet.

    Args:
        torch: whether they need it.
    """
    python = folder / "bin" / "python"
    if not (folder / ".installed").exists():
        click.echo(f"installing {', '.join(packages)} into {folder}", err=True)
        subprocess.run([sys.executable, "-m", "venv", folder], check=True)
        pip = [python, "-m", "pip", "install", "--quiet"]
        if torch:
            # A CPU build that pip finds locally goes before PyPI's, which brings CUDA.
            local = [*pip, "--no-index", "--no-deps", "torch"]
            subprocess.run(local, check=False, stderr=subprocess.DEVNULL)
        subprocess.run([*pip, *packages], check=True)
        (folder / ".installed").touch()
    return python


@contextmanager
def served(name: str, port: int, *options: str) -> Iterator[str]:
    """A model served by toprope while the context is open: its address."""
    if _is_up(f"http://127.0.0.1:{port}/health"):
        raise click.ClickException(f"another server is at port {port}: name a free one")
    command = [Path(sys.executable).parent / "toprope", "serve", "model", name, "--port", str(port)]
    process = subprocess.Popen([*command, "--quiet", *options])
    until = time.monotonic() + MODEL_SECONDS
    try:
        while not _is_up(f"http://127.0.0.1:{port}/health"):
            if process.poll() is not None or time.monotonic() > until:
                raise click.ClickException(f"the server of '{name}' did not start")
            time.sleep(0.2)
        yield f"http://127.0.0.1:{port}/v1"
    finally:
        process.terminate()
        process.wait()


def _is_up(address: str) -> bool:
    try:
        return httpx.get(address).is_success
    except httpx.HTTPError:
        return False
