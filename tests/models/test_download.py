"""One file over HTTP: what a broken, busy or dishonest server does to it."""

import hashlib
import http.server
import os
import threading
from pathlib import Path

import pytest

from toprope.models import download
from toprope.models.download import Meter, SourceError, client, fetch, partial_of

from .conftest import StandIn

CONTENTS = os.urandom(300_000)
SHA256 = hashlib.sha256(CONTENTS).hexdigest()


@pytest.fixture
def get(stand_in: StandIn, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Fetches /file into a folder; gives the lines that were said."""
    monkeypatch.setattr(download, "_PAUSE_SECONDS", 0.0)
    stand_in.files["/file"] = CONTENTS

    def run(url: str = f"{stand_in.url}/file", target: Path = tmp_path / "file") -> list[str]:
        said: list[str] = []
        with client() as http:
            fetch(http, url, target, sha256=SHA256, report=lambda *_: None, say=said.append)
        assert target.read_bytes() == CONTENTS
        assert not partial_of(target).exists()
        return said

    return run


def test_a_partial_file_is_gone_on_with(get, stand_in: StandIn, tmp_path: Path):
    (tmp_path / "file.partial").write_bytes(CONTENTS[:1234])
    assert get() == []
    assert stand_in.fetched == [("/file", "bytes=1234-")]
    assert stand_in.sent["/file"] == len(CONTENTS) - 1234


def test_a_complete_partial_file_needs_no_bytes(get, stand_in: StandIn, tmp_path: Path):
    (tmp_path / "file.partial").write_bytes(CONTENTS)
    assert get() == []
    assert stand_in.sent["/file"] == 0


def test_an_altered_partial_file_is_thrown_away_with_a_line(get, tmp_path: Path):
    (tmp_path / "file.partial").write_bytes(b"x" * 1234)
    [line] = get()
    assert "altered" in line


def test_a_partial_file_longer_than_the_file_is_thrown_away(get, tmp_path: Path):
    (tmp_path / "file.partial").write_bytes(CONTENTS + b"more")
    [line] = get()
    assert "altered" in line


def test_a_server_without_ranges_sends_it_all_again(get, stand_in: StandIn, tmp_path: Path):
    stand_in.ranges = False
    (tmp_path / "file.partial").write_bytes(CONTENTS[:1234])
    assert get() == []


def test_a_sound_file_is_not_fetched_and_an_altered_one_is(get, stand_in: StandIn, tmp_path: Path):
    (tmp_path / "file").write_bytes(CONTENTS)
    assert get() == []
    assert stand_in.fetched == []
    (tmp_path / "file").write_bytes(CONTENTS[:-1])
    [line] = get()
    assert "altered" in line


def test_a_busy_server_is_asked_again(get, stand_in: StandIn):
    stand_in.busy["/file"] = 2
    assert get() == []


def test_a_server_that_stays_busy_is_given_up(get, stand_in: StandIn):
    stand_in.busy["/file"] = 100
    with pytest.raises(SourceError, match="503"):
        get()
    assert stand_in.times("/file") == 3


def test_a_missing_file_is_given_up_at_once(get, stand_in: StandIn):
    stand_in.files.clear()
    with pytest.raises(SourceError, match="404"):
        get()
    assert stand_in.times("/file") == 1


def test_other_contents_are_refused_and_leave_nothing(get, stand_in: StandIn, tmp_path: Path):
    stand_in.files["/file"] = CONTENTS[:-1] + b"x"
    with pytest.raises(SourceError, match="another SHA-256"):
        get()
    assert list(tmp_path.iterdir()) == []


def test_connections_that_keep_breaking_are_taken_up_as_long_as_bytes_come(get):
    """Each connection brings 40 kB and dies; eight of them make the file, more than idle tries."""

    class Breaking(http.server.BaseHTTPRequestHandler):
        def log_message(self, *args: object) -> None:
            pass

        def do_GET(self) -> None:
            asked = self.headers.get("range", "bytes=0-")
            start = int(asked.removeprefix("bytes=").removesuffix("-"))
            self.send_response(206 if start else 200)
            self.send_header("content-length", str(len(CONTENTS) - start))
            self.end_headers()
            self.wfile.write(CONTENTS[start : start + 40_000])

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Breaking)
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}).start()
    try:
        assert get(f"http://127.0.0.1:{server.server_port}/file") == []
    finally:
        server.shutdown()
        server.server_close()


def test_a_compressed_transfer_counts_as_the_bytes_that_it_brings():
    class Bar:
        done = 0.0

        def advance(self, amount: float = 1) -> None:
            self.done += amount

    bar = Bar()
    meter = Meter(bar)
    meter.at(100)
    report = meter.span(100, 50)
    report(10, 40)  # a quarter of the 40 bytes that make 50
    assert bar.done == 112.5
    report(5, 40)  # it started over
    assert bar.done == 106.25


def test_a_host_that_is_not_there_is_a_reason(get):
    with pytest.raises(SourceError, match="can't be reached"):
        get("http://127.0.0.1:9/file")


def test_an_index_may_be_a_folder(get, tmp_path: Path):
    source = tmp_path / "a wheel"
    source.write_bytes(CONTENTS)
    assert get(source.as_uri()) == []
    with pytest.raises(SourceError, match="no file"):
        get((tmp_path / "absent").as_uri(), target=tmp_path / "other")


def test_a_bundle_of_certificates_that_is_not_there_is_a_reason(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("PIP_CERT", "/nowhere/ca.pem")
    with pytest.raises(SourceError, match="PIP_CERT"):
        client()
