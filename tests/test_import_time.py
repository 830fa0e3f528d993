"""Starting up stays quick: nothing heavy is loaded until a command needs it."""

import resource
import subprocess
import sys
from pathlib import Path

import pytest

HEAVY = {"torch", "transformers", "inspect_ai", "datasets", "scipy", "pyarrow", "pydantic", "rich"}
HELP_SECONDS = 0.4


def loaded_by(code: str) -> set[str]:
    """The top-level modules in memory after a fresh interpreter has run `code`."""
    report = "import sys; print('\\nLOADED', *{name.partition('.')[0] for name in sys.modules})"
    run = subprocess.run(
        [sys.executable, "-c", f"{code}\n{report}"], capture_output=True, text=True, check=True
    )
    return set(run.stdout.rpartition("LOADED")[2].split())


@pytest.mark.parametrize("module", ["toprope", "toprope.errors", "toprope.progress"])
def test_importing_toprope_loads_nothing_heavy(module: str) -> None:
    assert loaded_by(f"import {module}") & HEAVY == set()


def test_help_loads_nothing_heavy() -> None:
    run_help = """
import sys
from toprope.cli import main
sys.argv = ["toprope", "--help"]
try:
    main()
except SystemExit as stop:
    assert not stop.code, stop.code
"""

    assert loaded_by(run_help) & HEAVY == set()


def test_help_answers_at_once() -> None:
    """In processor time, which is the wall-clock time of a machine with nothing else to do."""
    command = [str(Path(sys.executable).with_name("toprope")), "--help"]

    def seconds() -> float:
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        subprocess.run(command, capture_output=True, check=True)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime

    assert min(seconds() for _ in range(3)) < HELP_SECONDS
