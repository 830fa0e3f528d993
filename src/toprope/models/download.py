"""One file over HTTP: resumed where an earlier try stopped, verified by SHA-256, moved into place.

The bytes gather in `TARGET.partial`, which survives a kill. `file:` addresses are read as well: a
package index may be a folder. `hub` and `wheels` are the sources that are built on it.
"""

import os
import ssl
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit
from urllib.request import url2pathname

import httpx

from toprope.models.cache import file_sha256
from toprope.models.catalog import Entry, SourceFile
from toprope.progress import Task

CHUNK = 1 << 20
_TRIES = 3
_PAUSE_SECONDS = 1.0


class SourceError(Exception):
    """A source can't give what was asked: `str(error)` is the reason, and another may have it."""


class Meter:
    """Tells a task how many of a model's bytes are there; goes back when a file starts over."""

    def __init__(self, task: Task) -> None:
        self._task, self._at = task, 0.0

    def at(self, position: float) -> None:
        self._task.advance(position - self._at)
        self._at = position

    def span(self, start: float, length: float) -> Callable[[int, int], None]:
        """For a transfer that brings the bytes from `start` on: takes how much of it is there.

        What is transferred may be compressed, so it counts as the share of `length` that it brings.
        """
        return lambda there, total: self.at(start + length * there / total)


@dataclass(frozen=True, slots=True)
class Order:
    """What is asked of a source: the entry's files that are missing in `folder`.

    Attributes:
        files: those that are missing; of one broken off earlier a partial file is there.
        meter: counts the bytes of all the entry's files.
        say: shows the user a line.
    """

    entry: Entry
    files: list[SourceFile]
    folder: Path
    meter: Meter
    say: Callable[[str], None]


def client() -> httpx.Client:
    """An HTTP client that finds out within seconds that a host can't be reached."""
    return httpx.Client(
        verify=_trusted(),
        follow_redirects=True,
        timeout=httpx.Timeout(30, connect=5),
        headers={"accept-encoding": "identity"},
    )


def _trusted() -> ssl.SSLContext:
    """The system's certificates, with those the user names for pip or requests, else certifi's."""
    import certifi

    context = ssl.create_default_context()
    for variable in ("PIP_CERT", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"):
        if bundle := os.environ.get(variable):
            try:
                context.load_verify_locations(**{_bundle_kind(bundle): bundle})
            except OSError as error:
                raise SourceError(f"{variable} names no certificates: {bundle}") from error
            return context
    context.load_verify_locations(certifi.where())
    return context


def _bundle_kind(bundle: str) -> str:
    return "capath" if Path(bundle).is_dir() else "cafile"


def partial_of(target: Path) -> Path:
    return target.with_name(target.name + ".partial")


def kept(target: Path, sha256: str, say: Callable[[str], None]) -> bool:
    """Whether the file is there and sound; one that was altered is deleted, and that is said."""
    if not target.is_file():
        return False
    if file_sha256(target) == sha256:
        return True
    target.unlink()
    say(f"{target.name}, kept from an earlier try, was altered: fetching it again")
    return False


def settle(target: Path, sha256: str) -> bool:
    """Puts the partial file in place where its hash is right; deletes it where it isn't."""
    partial = partial_of(target)
    if file_sha256(partial) != sha256:
        partial.unlink()
        return False
    os.replace(partial, target)
    return True


def fetch(
    http: httpx.Client,
    url: str,
    target: Path,
    *,
    sha256: str,
    report: Callable[[int, int], None],
    say: Callable[[str], None],
    headers: dict[str, str] | None = None,
) -> None:
    """Fetches `url` into `target`, going on from what an earlier try left.

    Args:
        sha256: of the whole file, hex.
        report: is called with the bytes there and the bytes in all.
        say: is called with a line for the user when an altered earlier part is thrown away.

    Raises:
        SourceError: the address can't be reached, refuses, or sends something else.
    """
    if kept(target, sha256, say):
        return
    target.parent.mkdir(parents=True, exist_ok=True)
    partial = partial_of(target)
    resumed = _size(partial) > 0
    _receive(http, url, partial, headers or {}, report)
    if settle(target, sha256):
        return
    if resumed:
        say(f"{target.name}: what an earlier try left was altered: fetching it from the start")
        _receive(http, url, partial, headers or {}, report)
        if settle(target, sha256):
            return
    raise SourceError(f"what it sends as {target.name} has another SHA-256")


def _receive(
    http: httpx.Client,
    url: str,
    partial: Path,
    headers: dict[str, str],
    report: Callable[[int, int], None],
) -> None:
    """Appends to `partial` until it's whole; a broken transfer goes on while bytes come."""
    if urlsplit(url).scheme == "file":
        _copy(url, partial, report)
        return
    tries = 0
    while True:
        before = _size(partial)
        try:
            _stream(http, url, partial, headers, report)
            return
        except (httpx.RequestError, _BusyError) as error:
            tries = 1 if _size(partial) > before else tries + 1
            if tries >= _TRIES:
                raise SourceError(explain(error)) from error
            time.sleep(_PAUSE_SECONDS)


class _BusyError(Exception):
    """The server says that a later try may do better."""


def _stream(
    http: httpx.Client,
    url: str,
    partial: Path,
    headers: dict[str, str],
    report: Callable[[int, int], None],
) -> None:
    start = _size(partial)
    asked = headers | ({"range": f"bytes={start}-"} if start else {})
    with http.stream("GET", url, headers=asked) as answer:
        if answer.status_code == httpx.codes.REQUESTED_RANGE_NOT_SATISFIABLE:
            return  # there is nothing left to send; the hash tells whether what is there is right
        if answer.status_code == httpx.codes.TOO_MANY_REQUESTS or answer.is_server_error:
            raise _BusyError(f"HTTP {answer.status_code}")
        if not answer.is_success:
            raise SourceError(f"HTTP {answer.status_code} for {url}")
        if answer.status_code != httpx.codes.PARTIAL_CONTENT:
            start = 0  # the server sends the whole file whatever was asked
        total = start + int(answer.headers.get("content-length", 0))
        with partial.open("r+b" if start else "wb") as file:
            file.seek(start)
            for chunk in answer.iter_raw():
                file.write(chunk)
                report(file.tell(), max(total, file.tell()))


def _copy(url: str, partial: Path, report: Callable[[int, int], None]) -> None:
    path = Path(url2pathname(urlsplit(url).path))
    if not path.is_file():
        raise SourceError(f"there is no file {path}")
    total = path.stat().st_size
    with path.open("rb") as source, partial.open("wb") as file:
        while chunk := source.read(CHUNK):
            file.write(chunk)
            report(file.tell(), total)


def explain(error: Exception) -> str:
    """Why a request failed, in a few words."""
    if isinstance(error, httpx.ConnectError | httpx.TimeoutException):
        return f"it can't be reached ({str(error) or 'no answer in time'})"
    return f"the transfer broke off ({error})"


def _size(file: Path) -> int:
    return file.stat().st_size if file.is_file() else 0
