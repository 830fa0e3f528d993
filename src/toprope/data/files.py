"""Data files on disk: plain, gzipped, or a member of a zip (`archive.zip/member.txt`).

A file is read whole: the sets that this is for have megabytes, not gigabytes.
"""

import gzip
import io
import zipfile
import zlib
from dataclasses import dataclass
from difflib import get_close_matches
from hashlib import sha256
from pathlib import Path, PurePosixPath

from toprope.data.formats import format_of, parse
from toprope.data.rows import Row
from toprope.errors import UserError, unknown


@dataclass(frozen=True, slots=True)
class DataFile:
    """A file's rows, and the SHA-256 of what is on disk: of the archive, for a zip's member."""

    rows: list[Row]
    sha256: str


def read_file(
    path: str,
    *,
    root: Path,
    file_format: str | None = None,
    encoding: str = "utf-8",
    comment: str | None = None,
) -> DataFile:
    """All rows of a data file.

    Args:
        path: relative to `root`, or absolute. `.gz` is decompressed; `a.zip/b/c.txt` is the member
            b/c.txt of a.zip.
        file_format: one of formats.FORMATS; by default what the name ends in.
        encoding: of a text format.
        comment: see `parse`.

    Raises:
        UserError: there is no such file or member, or it can't be read as its format.
    """
    stored, content = _read(path, root)
    rows = parse(
        content, file_format or format_of(path), file=path, encoding=encoding, comment=comment
    )
    return DataFile(rows, sha256(stored).hexdigest())


def read_bytes(path: str, *, root: Path) -> bytes:
    """A file's content, decompressed, found and refused as `read_file` does."""
    return _read(path, root)[1]


def _read(path: str, root: Path) -> tuple[bytes, bytes]:
    """What is on disk, and the content."""
    disk, member = _locate(path, root)
    stored = _stored(disk, path)
    content = stored if member is None else _member(stored, disk, member)
    return stored, _gunzip(content, path) if path.endswith(".gz") else content


def _locate(path: str, root: Path) -> tuple[Path, str | None]:
    """(the file on disk, the member of it or None)."""
    parts = PurePosixPath(path).parts
    for end, part in enumerate(parts[:-1], start=1):
        archive = root.joinpath(*parts[:end])
        if part.lower().endswith(".zip") and archive.is_file():
            return archive, "/".join(parts[end:])
    return root / path, None


def _stored(disk: Path, path: str) -> bytes:
    try:
        return disk.read_bytes()
    except (FileNotFoundError, NotADirectoryError):
        raise UserError(f"no data file '{path}': looked for {disk}{_nearest(disk)}") from None
    except OSError as error:
        raise UserError(f"can't read {disk}: {error.strerror}") from None


def _nearest(disk: Path) -> str:
    if not disk.parent.is_dir():
        return f" (there is no folder {disk.parent})"
    near = get_close_matches(disk.name, [other.name for other in disk.parent.iterdir()], n=1)
    return f"; did you mean '{near[0]}'?" if near else ""


def _member(stored: bytes, disk: Path, member: str) -> bytes:
    try:
        with zipfile.ZipFile(io.BytesIO(stored)) as archive:
            names = [name for name in archive.namelist() if not name.endswith("/")]
            if member not in names:
                raise unknown("member", member, names, where=str(disk))
            return archive.read(member)
    except (zipfile.BadZipFile, zlib.error) as error:
        raise UserError(f"{disk}: not a zip file that can be read: {error}") from None
    except RuntimeError as error:  # zipfile's word for a member that needs a password
        raise UserError(f"{disk}: {error}") from None


def _gunzip(content: bytes, path: str) -> bytes:
    try:
        return gzip.decompress(content)
    except (gzip.BadGzipFile, EOFError, zlib.error) as error:
        raise UserError(f"{path}: not a gzip file that can be read: {error}") from None
