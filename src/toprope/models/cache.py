"""Where ready models are kept on disk, and how a damaged one is told from a sound one.

    ROOT/models/NAME/   a folder that transformers loads, with a marker of sizes and hashes
    ROOT/work/NAME/     what is being fetched or converted; it becomes the former in one rename
    ROOT/locks/         a lock for each model, so that two processes don't make the same one

ROOT is TOPROPE_CACHE, or else the user's cache folder.
"""

import errno
import hashlib
import json
import os
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from toprope.errors import UserError
from toprope.progress import Progress, Task

MARKER = "toprope.json"

# Raise it when the converter makes other files from the same source: older ones are then made anew.
CONVERTER = 1

_CHUNK = 1 << 20

# Errors of the disk that a user can mend, by what mends them.
_FULL = {errno.ENOSPC, errno.EDQUOT}
_CLOSED = {errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOTDIR, errno.EEXIST}


def root() -> Path:
    if named := os.environ.get("TOPROPE_CACHE"):
        return Path(named).expanduser().absolute()
    from platformdirs import user_cache_dir

    return Path(user_cache_dir("toprope"))


def ready_folder(name: str) -> Path:
    return root() / "models" / name


def work_folder(name: str) -> Path:
    return root() / "work" / name


def file_sha256(file: Path, task: Task | None = None) -> str:
    """SHA-256 (hex) of a file; `task` advances by its bytes."""
    digest = hashlib.sha256()
    with file.open("rb") as stream:
        while chunk := stream.read(_CHUNK):
            digest.update(chunk)
            if task:
                task.advance(len(chunk))
    return digest.hexdigest()


def files_in(folder: Path) -> list[Path]:
    return sorted(file for file in folder.rglob("*") if file.is_file())


def size_of(folder: Path) -> int:
    """Bytes of the files in a folder; 0 where there is none."""
    return sum(file.stat().st_size for file in files_in(folder))


def write_marker(folder: Path, name: str, source: str, progress: Progress) -> None:
    """Marks a folder as complete: `damage` compares its files with what they are at this moment.

    Args:
        source: SHA-256 (hex) of what the model was made from.
    """
    with progress.task(f"hashing {name}", size_of(folder), unit="B") as task:
        files = {
            file.relative_to(folder).as_posix(): {
                "bytes": file.stat().st_size,
                "sha256": file_sha256(file, task),
            }
            for file in files_in(folder)
        }
    marker = {"name": name, "source": source, "converter": CONVERTER, "files": files}
    (folder / MARKER).write_text(json.dumps(marker, indent=1) + "\n")


def read_marker(folder: Path) -> dict | None:
    """What `write_marker` wrote, or None where there is no such file or it isn't whole."""
    try:
        marker = json.loads((folder / MARKER).read_text())
    except (OSError, ValueError):
        return None
    return marker if isinstance(marker, dict) and "files" in marker else None


def damage(folder: Path, source: str) -> str | None:
    """Why a ready folder can't be used, or None where it can, as far as sizes tell: a millisecond.

    Args:
        source: SHA-256 (hex) of what it should be made from.
    """
    marker = read_marker(folder)
    if marker is None:
        return "it was never finished"
    if marker.get("source") != source:
        return "it was made from another source"
    if marker.get("converter") != CONVERTER:
        return "it was made by another version of the converter"
    for name, kept in marker["files"].items():
        file = folder / name
        if not file.is_file():
            return f"{name} is missing"
        size = file.stat().st_size
        if size != kept["bytes"]:
            return f"{name} has {size:,} bytes instead of {kept['bytes']:,}"
    return None


def alteration(folder: Path, name: str, progress: Progress) -> str | None:
    """Which file of a ready folder has other contents than its marker says, in words, or None.

    Hashes everything: seconds a gigabyte.
    """
    marker = read_marker(folder) or {"files": {}}
    with progress.task(f"verifying {name}", size_of(folder), unit="B") as task:
        for path, kept in marker["files"].items():
            if file_sha256(folder / path, task) != kept["sha256"]:
                return f"{path} was altered"
    return None


@contextmanager
def locked(name: str, progress: Progress) -> Iterator[None]:
    """Holds the model's lock; says so where it has to wait for another process."""
    from filelock import FileLock, Timeout

    lock = FileLock(root() / "locks" / f"{name}.lock")
    Path(lock.lock_file).parent.mkdir(parents=True, exist_ok=True)
    try:
        lock.acquire(timeout=0)
    except Timeout:
        progress.say(f"{name}: another process is at work on it; waiting for it to finish")
        lock.acquire()
    try:
        yield
    finally:
        lock.release()


@contextmanager
def disk_errors() -> Iterator[None]:
    """Turns an error of the disk into one line that says how to mend it.

    The tensor library's own error isn't an OSError and carries the number in its text.
    """
    try:
        yield
    except Exception as error:
        number = error.errno if isinstance(error, OSError) else _os_error_in(str(error))
        if number in _FULL:
            raise UserError(
                f"the disk of {root()} is full: make room, or set TOPROPE_CACHE to another folder"
            ) from error
        if number in _CLOSED:
            raise UserError(
                f"the cache folder {root()} can't be written ({os.strerror(number)}): "
                "set TOPROPE_CACHE to a folder that can"
            ) from error
        raise


def _os_error_in(text: str) -> int | None:
    found = re.search(r"os error (\d+)", text)
    return int(found[1]) if found else None


def require_space(needed: int, what: str) -> None:
    """Checks that the cache's disk has room for `needed` bytes.

    Raises:
        UserError: it hasn't.
    """
    folder = root()
    while not folder.exists():
        folder = folder.parent
    free = shutil.disk_usage(folder).free
    if free < needed:
        raise UserError(
            f"{what} needs {needed / 1e9:.1f} GB and the disk of {root()} has {free / 1e9:.1f} GB: "
            "make room, or set TOPROPE_CACHE to another folder"
        )
