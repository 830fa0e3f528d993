"""The Lab: randomness by name, models and data loaded once, and captures that outlive a run."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from toprope.errors import UserError
from toprope.lab import Lab, measured
from toprope.models.local import LocalModel
from toprope.models.weights import digest

TEXTS = ["The capital of France is Paris.", "no", "Twelve plus thirty is forty-two"]
ANSWERS = [" yes", " no"]


def test_a_purpose_has_its_own_randomness(tmp_path: Path):
    def numbers(seed: int, *names: str | int) -> list[float]:
        return Lab(tmp_path, seed=seed).rng(*names).random(4).tolist()

    assert numbers(1, "split", 3) == numbers(1, "split", 3)
    drawn = [
        numbers(1, "split", 3),
        numbers(1, "split", 4),
        numbers(1, "split"),
        numbers(1, "noise", 3),
        numbers(1, "split", "3"),
        numbers(1, "split3"),
        numbers(2, "split", 3),
    ]
    assert len({tuple(row) for row in drawn}) == len(drawn)


def test_drawing_for_one_purpose_does_not_move_another(tmp_path: Path):
    lab = Lab(tmp_path)
    wanted = lab.rng("b").random()
    lab.rng("a").random(100)
    assert lab.rng("b").random() == wanted


def test_purposes_are_uncorrelated(tmp_path: Path):
    """Of 4,000 pairs of independent numbers, |r| > 0.06 has a chance under 0.0002."""
    lab = Lab(tmp_path)
    x, y = (lab.rng("seed", k).normal(size=4000) for k in (0, 1))
    assert abs(np.corrcoef(x, y)[0, 1]) < 0.06


def test_an_artifact_has_its_folder(tmp_path: Path):
    path = Lab(tmp_path / "run").artifact("weak", "labels.json")
    assert path == tmp_path / "run" / "artifacts" / "weak" / "labels.json"
    path.write_text("{}")


def test_a_dataset_is_read_once(tmp_path: Path):
    lab = Lab(tmp_path, seed=3)
    assert lab.data("arithmetic", limit=40) is lab.data("arithmetic", limit=40)
    assert len(lab.data("arithmetic", limit=40)) == 40
    other = Lab(tmp_path, seed=4).data("arithmetic", limit=40)
    assert other.fingerprint != lab.data("arithmetic", limit=40).fingerprint


def test_a_model_is_loaded_once_until_it_is_released(tmp_path: Path, tiny_folder: Path):
    lab, name = Lab(tmp_path, device="cpu"), str(tiny_folder)
    model = lab.local(name)
    assert lab.local(name) is model
    lab.release(keep=[name])
    assert lab.local(name) is model
    lab.release()
    del model
    assert lab._models == {}


def test_a_fingerprint_needs_no_loading(tmp_path: Path, tiny_folder: Path, no_loading):
    assert Lab(tmp_path).model_fingerprint(str(tiny_folder)) == digest(tiny_folder)


@pytest.fixture
def no_loading(monkeypatch: pytest.MonkeyPatch) -> None:
    """From here on, no Lab may ask for a model."""

    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("a model was asked for")

    monkeypatch.setattr(Lab, "local", refuse)


def test_activations_are_captured_once(
    tmp_path: Path, tiny_folder: Path, tiny_model: LocalModel, monkeypatch
):
    name = str(tiny_folder)
    lab = Lab(tmp_path, device="cpu")
    found, cost = lab.activations(name, TEXTS, depths=[0.5, 1.0], continuations=ANSWERS)
    wanted = tiny_model.activations(TEXTS, [2, 4], continuations=ANSWERS)
    assert set(found.layers) == {2, 4}
    for layer in (2, 4):
        np.testing.assert_allclose(found.layers[layer], wanted.layers[layer], rtol=1e-5)
    assert found.offsets.tolist() == wanted.offsets.tolist()
    assert cost.tokens >= sum(len(tiny_model.tokens(text)) for text in TEXTS)
    assert cost.seconds > 0

    monkeypatch.setattr(Lab, "local", None)
    again, same_cost = Lab(tmp_path, device="cpu").activations(
        name, TEXTS, depths=[0.5, 1.0], continuations=ANSWERS
    )
    np.testing.assert_array_equal(again.layers[4], found.layers[4])
    assert same_cost == cost


@pytest.mark.parametrize(
    ("texts", "settings"),
    [
        pytest.param(TEXTS[::-1], {}, id="other texts"),
        pytest.param(TEXTS, {"depths": [1.0]}, id="other layers"),
        pytest.param(TEXTS, {"continuations": ANSWERS}, id="continuations"),
        pytest.param(TEXTS, {"score": True}, id="scores"),
    ],
)
def test_other_activations_are_captured_anew(
    tmp_path: Path, tiny_folder: Path, texts: list[str], settings: dict
):
    lab, plain = Lab(tmp_path, device="cpu"), {"depths": [0.5], "continuations": []}
    lab.activations(str(tiny_folder), TEXTS, **plain)
    lab.activations(str(tiny_folder), texts, **(plain | settings))
    assert len(list(lab.artifact("activations", "x").parent.glob("*.safetensors"))) == 2


def test_another_precision_is_loaded_and_captured_anew(tmp_path: Path, tiny_folder: Path):
    name, dtypes = str(tiny_folder), {}
    for dtype in (None, "float32", "bfloat16"):
        lab = Lab(tmp_path, device="cpu", dtype=dtype)
        lab.activations(name, TEXTS, depths=[0.5])
        dtypes[lab.precision] = lab.local(name).module.dtype
    assert dtypes == {"float32": torch.float32, "bfloat16": torch.bfloat16}
    assert len(list(lab.artifact("activations", "x").parent.glob("*.safetensors"))) == 2


def test_a_capture_that_was_broken_off_is_done_again(tmp_path: Path, tiny_folder: Path):
    """A run that is killed between the states and the note beside them has no capture."""
    lab, name = Lab(tmp_path, device="cpu"), str(tiny_folder)
    found, _ = lab.activations(name, TEXTS, depths=[0.5])
    [note] = lab.artifact("activations", "x").parent.glob("*.json")
    note.unlink()
    again, _ = lab.activations(name, TEXTS, depths=[0.5])
    np.testing.assert_array_equal(again.layers[2], found.layers[2])
    assert json.loads(note.read_text())["model_name"] == name


def test_option_probabilities_are_asked_for_once(
    tmp_path: Path, tiny_folder: Path, tiny_model: LocalModel, monkeypatch
):
    name = str(tiny_folder)
    found, cost = Lab(tmp_path, device="cpu").option_probs(name, TEXTS, ANSWERS)
    np.testing.assert_allclose(found, tiny_model.option_probs(TEXTS, ANSWERS), rtol=1e-5)
    monkeypatch.setattr(Lab, "local", None)
    again, same_cost = Lab(tmp_path, device="cpu").option_probs(name, TEXTS, ANSWERS)
    np.testing.assert_array_equal(again, found)
    assert same_cost == cost


def test_what_is_kept_is_safetensors_and_json_only(tmp_path: Path, tiny_folder: Path):
    lab = Lab(tmp_path, device="cpu")
    lab.activations(str(tiny_folder), TEXTS, depths=[0.5])
    lab.option_probs(str(tiny_folder), TEXTS, ANSWERS)
    files = [file for file in (tmp_path / "artifacts").rglob("*") if file.is_file()]
    assert {file.suffix for file in files} == {".safetensors", ".json"}


def test_progress_is_the_labs(tmp_path: Path, counting_progress):
    lab = Lab(tmp_path, progress=counting_progress)
    with lab.progress("fitting", 60) as task:
        task.advance(20)
    assert (counting_progress.done, counting_progress.total) == (20, 60)


def test_what_a_block_asks_of_a_model_is_measured(tiny_model: LocalModel):
    with measured(tiny_model) as cost:
        tiny_model.option_probs(TEXTS, ANSWERS)
    assert cost[0].tokens == sum(len(tiny_model.tokens(text)) for text in TEXTS)
    assert cost[0].seconds > 0


def test_an_unknown_model_or_dataset_is_an_error(tmp_path: Path):
    lab = Lab(tmp_path)
    with pytest.raises(UserError, match="unknown model 'smollm2-135': did you mean"):
        lab.local("smollm2-135")
    with pytest.raises(UserError, match="did you mean 'cities'"):
        lab.data("citties")
