"""Files are there whole or not at all; a disk that takes no more is an OSError, for tensors too."""

import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.numpy import load_file
from safetensors.torch import load_file as load_torch

from toprope import files

from .full_disk import full_disk

WAYS = [
    lambda path: files.write_bytes(path, b"x" * 10_000),
    lambda path: files.write_text(path, "x" * 10_000),
    lambda path: files.write_tensors(path, {"x": torch.zeros(10_000)}),
    lambda path: files.write_tensors(path, {"x": np.zeros(10_000)}),
]


@pytest.mark.parametrize("write", WAYS, ids=["bytes", "text", "torch", "numpy"])
def test_a_disk_that_takes_no_more(tmp_path: Path, write: Callable[[Path], None]) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"before")
    with full_disk(4096), pytest.raises(OSError, match="too large") as error:
        write(path)
    assert error.value.filename == str(path)
    assert path.read_bytes() == b"before"
    assert list(tmp_path.iterdir()) == [path]


def test_what_is_written_is_read(tmp_path: Path) -> None:
    files.write_text(tmp_path / "new" / "text", "é\n")
    assert (tmp_path / "new" / "text").read_bytes() == "é\n".encode()
    x_AB = torch.arange(6).reshape(2, 3).T
    files.write_tensors(tmp_path / "torch", {"x": x_AB, "y": torch.ones(2, dtype=torch.bfloat16)})
    found = load_torch(tmp_path / "torch")
    assert torch.equal(found["x"], x_AB)
    assert found["y"].dtype == torch.bfloat16
    files.write_tensors(tmp_path / "numpy", {"x": x_AB.numpy()})
    assert np.array_equal(load_file(tmp_path / "numpy")["x"], x_AB.numpy())


def test_a_kill_while_writing_leaves_what_was_there(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"before")

    def killed() -> None:
        with files.whole(path) as file:
            file.write(b"half")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        killed()
    assert path.read_bytes() == b"before"
    assert list(tmp_path.iterdir()) == [path]


def test_it_is_on_the_disk_before_it_takes_its_place(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    done: list[str] = []
    sync, move = os.fsync, os.replace
    monkeypatch.setattr("os.fsync", lambda file: (done.append("sync"), sync(file)))
    monkeypatch.setattr("os.replace", lambda a, b: (done.append("move"), move(a, b)))
    files.write_text(tmp_path / "file", "text")
    assert done == ["sync", "move"]


def test_a_folder_that_cant_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(FileExistsError) as error:
        files.write_text(tmp_path / "file" / "below", "text")
    assert str(error.value.filename) == str(tmp_path / "file")


def test_a_file_that_cant_be_opened_is_named_by_its_own_name(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="too long") as error:
        files.write_text(tmp_path / ("x" * 250), "text")  # the partial's name is longer
    assert error.value.filename == str(tmp_path / ("x" * 250))
