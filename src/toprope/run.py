"""A run's folder: its files, and the record of how its evidence came about.

RUNS/NAME/
  config.yaml       the configuration as resolved
  evidence.sqlite   all evidence, only ever added to
  run.json          the record: what was asked for, when, where, and how long it took
  artifacts/        what studies keep
  report.html       the report
"""

import json
import os
import platform
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TypedDict

from toprope.errors import UserError
from toprope.evidence import Evidence, EvidenceStore, FinishedStudy
from toprope.files import write_text

CONFIG = "config.yaml"
EVIDENCE = "evidence.sqlite"
RECORD = "run.json"
ARTIFACTS = "artifacts"


class MachineRecord(TypedDict, total=False):
    """Where studies were run."""

    cpu: str
    cores: int | None
    python: str
    torch: str


class StudyRecord(TypedDict, total=False):
    """One study that the run's config asks for; `seconds` is None until it has finished."""

    name: str
    fingerprint: str
    seconds: float | None


class CostRecord(TypedDict):
    """What the whole run took, where that isn't the sum of its evidence."""

    tokens: int
    seconds: float
    calls: int


class RunRecord(TypedDict, total=False):
    """What `run.json` holds; `studies` are those of the present config, in its order."""

    name: str
    created: str
    updated: str
    seed: int
    toprope_version: str
    command: str
    machine: MachineRecord
    cost: CostRecord
    studies: list[StudyRecord]


def make_folder(folder: Path) -> None:
    """Makes a run's folder where there is none.

    Raises:
        UserError: it can't be made.
    """
    with _explained(folder):
        folder.mkdir(parents=True, exist_ok=True)


def write_config(folder: Path, text: str) -> None:
    """Writes `config.yaml`, all of it or nothing.

    Raises:
        UserError: it can't be written.
    """
    _write(folder / CONFIG, text)


def write_record(folder: Path, record: RunRecord) -> None:
    """Writes `run.json`, all of it or nothing.

    Raises:
        UserError: it can't be written.
    """
    _write(folder / RECORD, json.dumps(record, indent=1, ensure_ascii=False) + "\n")


def read_record(folder: Path) -> RunRecord:
    """What `run.json` says; an empty record where there is none.

    Raises:
        UserError: it's damaged.
    """
    path = folder / RECORD
    if not path.is_file():
        return {}
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        line = f" (line {error.lineno})" if isinstance(error, json.JSONDecodeError) else ""
        raise UserError(
            f"{path} isn't JSON{line}: start the run again, which writes it anew"
        ) from error
    if not isinstance(record, dict):
        raise UserError(f"{path} isn't a run's record: start the run again, which writes it anew")
    return RunRecord(**record)


def current_studies(folder: Path, store: EvidenceStore) -> list[FinishedStudy]:
    """The finished studies that the run's config asks for, in its order.

    A folder keeps the evidence of every config, and version of the code, that was ever run in it.
    Where no record says which are meant, a study that was done again counts as it last was.
    """
    finished = store.studies()
    asked = [study.get("fingerprint") for study in read_record(folder).get("studies") or []]
    if not asked or None in asked:
        return list({(study.name, json.dumps(study.config)): study for study in finished}.values())
    by_fingerprint = {study.fingerprint: study for study in finished}
    return [by_fingerprint[one] for one in dict.fromkeys(asked) if one in by_fingerprint]


def current_evidence(folder: Path) -> list[Evidence]:
    """The evidence of `current_studies`.

    Raises:
        UserError: the folder isn't a run's, or a file in it can't be read.
    """
    with EvidenceStore(folder / EVIDENCE) as store:
        studies = current_studies(folder, store)
        return [row for study in studies for row in store.for_study(study.fingerprint)]


def this_machine() -> MachineRecord:
    """The machine that this process runs on. Doesn't import torch to learn its version."""
    try:
        torch = version("torch")
    except PackageNotFoundError:
        torch = ""
    return {
        "cpu": _cpu(),
        "cores": os.cpu_count(),
        "python": platform.python_version(),
        "torch": torch,
    }


def _cpu() -> str:
    """The processor's name, which Linux gives in a file of its own."""
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.is_file():
        for line in cpuinfo.read_text(encoding="utf-8", errors="replace").splitlines():
            key, _, value = line.partition(":")
            if key.strip() == "model name":
                return value.strip()
    return platform.processor() or platform.machine()


def _write(path: Path, text: str) -> None:
    with _explained(path.parent):
        write_text(path, text)


@contextmanager
def _explained(folder: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise UserError(
            f"the run folder {folder} can't be written ({error.strerror}): "
            "mend that, or choose another with --runs"
        ) from error
