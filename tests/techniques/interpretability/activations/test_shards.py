"""Stored rows, and files that say when they aren't what was written."""

from hashlib import sha256

import numpy as np
import pytest
import torch

from toprope.errors import UserError
from toprope.files import write_bytes
from toprope.techniques.interpretability.activations import shards
from toprope.techniques.interpretability.activations.shards import Rows

LABEL = {"capture": "mine", "folder": "layer-1", "shard": "0"}


def normal(rows=2000, channels=64):
    return torch.randn(rows, channels, generator=torch.Generator().manual_seed(0))


def fvu(x_ND, decoded_ND):
    return ((x_ND - decoded_ND) ** 2).sum() / ((x_ND - x_ND.mean(0)) ** 2).sum()


def test_int8_is_off_by_half_a_step_of_the_rows_own_scale():
    x_ND = normal() * torch.logspace(-1, 2, 2000)[:, None]
    error_ND = (Rows.encoded(x_ND, "int8").decoded() - x_ND).abs()
    step_N = x_ND.abs().amax(1) / 127
    # The scale has eleven bits: the largest value may lie a little beyond 127 steps of it.
    assert (error_ND <= step_N[:, None] * (0.5 + 127 / 2**11)).all()
    # Uniform rounding has a variance of step^2 / 12 (Widrow and Kollar 2008).
    assert (error_ND**2).sum() == pytest.approx(float((step_N**2).sum() * 64 / 12), rel=0.02)


def test_float16_is_off_by_a_two_thousandth():
    x_ND = normal()
    rows = Rows.encoded(x_ND, "float16")
    assert torch.equal(rows.decoded(), x_ND.half().float())
    assert fvu(x_ND, rows.decoded()) < 1e-7


@pytest.mark.parametrize("store", ["int8", "float16"])
def test_extremes_stay_finite(store):
    x_ND = torch.tensor([[0.0, 0.0], [1e6, -1e6], [1e-3, 1e-4]])
    decoded = Rows.encoded(x_ND, store).decoded()
    assert torch.isfinite(decoded).all()
    assert not decoded[0].any()
    assert decoded[1, 0] == -decoded[1, 1] >= 6e4


@pytest.mark.parametrize(("store", "bytes_a_value"), [("int8", 1), ("float16", 2)])
def test_a_range_of_a_file(tmp_path, store, bytes_a_value):
    rows = Rows.encoded(normal(), store)
    path = tmp_path / "deep" / "0.safetensors"
    write_bytes(path, shards.packed(rows.tensors(), LABEL))
    assert torch.equal(shards.read(path, 10, 20).decoded(), rows.decoded()[10:20])
    assert shards.bytes_a_row(64, store) == 64 * bytes_a_value + 2 * (store == "int8")
    assert path.stat().st_size == pytest.approx(2000 * shards.bytes_a_row(64, store), abs=400)
    assert list(path.parent.iterdir()) == [path]


def test_rows_are_put_and_taken_by_number():
    rows = Rows.encoded(normal(10), "int8")
    held = Rows.empty(3, 64, "int8")
    held.put(torch.tensor([2, 0, 1]), rows[torch.tensor([7, 8, 9])])
    assert torch.equal(held.decoded(), rows.decoded()[[8, 9, 7]])


def flipped(path):
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def foreign(path):
    theirs = shards.packed(Rows.encoded(normal(), "int8").tensors(), LABEL | {"capture": "theirs"})
    path.write_bytes(theirs)


@pytest.mark.parametrize(
    ("harm", "said"),
    [
        (flipped, "is damaged"),
        (lambda path: path.write_bytes(path.read_bytes()[:-100]), "is damaged"),
        (lambda path: path.write_bytes(b"not a shard"), "is damaged"),
        (foreign, "isn't of this capture"),
        (lambda path: path.unlink(), "is missing"),
    ],
)
def test_a_file_that_changed_is_named(tmp_path, harm, said):
    path = tmp_path / "0.safetensors"
    content = shards.packed(Rows.encoded(normal(), "int8").tensors(), LABEL)
    write_bytes(path, content)
    hashed = sha256(content).hexdigest()
    shards.check(path, hashed, LABEL)
    harm(path)
    with pytest.raises(UserError, match=said) as error:
        shards.check(path, hashed, LABEL)
    assert str(path) in str(error.value)
    assert "\n" not in str(error.value)


def test_a_write_that_fails_leaves_what_was_there(tmp_path, monkeypatch):
    path = tmp_path / "0.safetensors"
    write_bytes(path, b"before")

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(UserError, match=r"the disk of .* is full"), shards.disk_errors(tmp_path):
        write_bytes(path, b"after")
    assert path.read_bytes() == b"before"
    assert list(tmp_path.iterdir()) == [path]


def test_fvu_of_int8_on_normal_rows_is_that_of_a_uniform_quantiser():
    x_ND = normal(2000, 576)
    expected = ((x_ND.abs().amax(1) / 127) ** 2 / 12).mean()
    found = fvu(x_ND, Rows.encoded(x_ND, "int8").decoded())
    assert found == pytest.approx(float(expected), rel=0.02)
    assert np.log10(float(found)) == pytest.approx(-4.2, abs=0.3)
