"""The process holds a model's weights once."""

import gc
import threading
from pathlib import Path

import pytest
import torch

from toprope.models.loaded import shared
from toprope.models.local import LocalModel


@pytest.fixture
def loads(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The names that weights were loaded by."""
    names: list[str] = []
    load = LocalModel.load

    def counted(name: str, **settings: object) -> LocalModel:
        names.append(name)
        return load(name, **settings)  # type: ignore[arg-type]

    monkeypatch.setattr(LocalModel, "load", counted)
    return names


def test_a_model_is_loaded_once_by_any_of_its_names(tiny_folder: Path, loads: list[str]) -> None:
    first = shared(str(tiny_folder), device="cpu")
    second = shared(f"{tiny_folder}/../{tiny_folder.name}", device="cpu")

    assert first is second
    assert loads == [str(tiny_folder)]


def test_another_precision_is_another_model(tiny_folder: Path) -> None:
    full = shared(str(tiny_folder), device="cpu")
    half = shared(str(tiny_folder), device="cpu", dtype=torch.bfloat16)

    assert (full.module.dtype, half.module.dtype) == (torch.float32, torch.bfloat16)


def test_threads_that_ask_at_once_load_once(tiny_folder: Path, loads: list[str]) -> None:
    models: list[LocalModel] = []
    threads = [
        threading.Thread(target=lambda: models.append(shared(str(tiny_folder), device="cpu")))
        for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert len(models) == 4
    assert len(set(map(id, models))) == 1
    assert len(loads) == 1


def test_a_model_that_nobody_has_is_let_go(tiny_folder: Path, loads: list[str]) -> None:
    for _ in range(2):
        model = shared(str(tiny_folder), device="cpu")
        del model
        gc.collect()

    assert len(loads) == 2
