"""The study: its settings, and a whole run on a tiny model with random weights."""

import json
from pathlib import Path
from typing import Any

import pytest

from toprope.errors import UserError
from toprope.evidence import Evidence
from toprope.lab import Lab
from toprope.models.local import LocalModel
from toprope.study import make_study
from toprope.techniques.weak_to_strong.measures import CONTROLS
from toprope.techniques.weak_to_strong.methods import METHODS

CITIES = ("Paris", "Lagos", "Oslo", "Lima", "Cairo", "Quito")
COUNTRIES = ("France", "Nigeria", "Norway", "Peru", "Egypt", "Ecuador")
CONTROLLED = set(CONTROLS)


def write_data(path: Path, rows: int) -> str:
    """The name of a dataset of so many rows, in pairs that are a group each."""
    with path.open("w") as file:
        for i in range(rows):
            city, country = CITIES[i % 6], COUNTRIES[(i + i // 6 % 2) % 6]
            row = {
                "text": f"{city} is in {country}, says walker {i}. Is this true? Answer:",
                "label": "true" if i // 6 % 2 == 0 else "false",
                "pair": i // 2,
            }
            file.write(json.dumps(row) + "\n")
    return f"file:{path}?group=pair&labels=false,true&answers= no, yes"


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> str:
    return write_data(tmp_path_factory.mktemp("data") / "cities.jsonl", 120)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run's folder that tests share: the models are read once."""
    return tmp_path_factory.mktemp("run")


def evidence(folder: Path, model: Path, data: str, *, seed: int = 0, **settings: Any) -> list:
    """A whole study, of two seeds; without what it took, which is never the same twice."""
    usual = {
        "overseer": str(model),
        "target": str(model),
        "data": data,
        "seeds": 2,
        "depths": [0.5, 1.0],
        "resamples": 1000,
    }
    study = make_study("weak_to_strong", usual | settings)
    return list(study.run(Lab(folder, seed=seed, device="cpu")))


def without_cost(rows: list[Evidence]) -> list[dict[str, Any]]:
    return [row.model_dump(exclude={"cost"}) for row in rows]


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"methods": ["naive", "confidense"]}, r"unknown method 'confidense': did you mean 'conf"),
        ({"methods": ["naive"], "headline": "filtered"}, r"headline 'filtered' isn't among the"),
        ({"mode": "lora"}, r"'ccs' reads frozen activations: leave it out of methods, or use mode"),
        ({"depths": [0.5, 1.5]}, r"depth 1\.5: give shares above 0, up to 1"),
        ({"depths": [0.0]}, r"depth 0\.0: give shares above 0, up to 1"),
        ({"methods": []}, r"methods: .*at least 1"),
        ({"seeds": 1}, r"seeds: .*greater than or equal to 2 \(got 1\)"),
        ({"seed": 3}, r"unknown key 'seed' in weak_to_strong: did you mean 'seeds'\?"),
        ({"mode": "probes"}, r"mode: .*'probe' or 'lora' \(got 'probes'\)"),
        ({"keep": 0}, r"keep: .*greater than 0 \(got 0\)"),
    ],
)
def test_a_mistake_in_the_settings_is_one_line(settings: dict[str, Any], message: str):
    given = {"overseer": "a", "target": "b", "data": "cities"} | settings
    with pytest.raises(UserError, match=message) as caught:
        make_study("weak_to_strong", given)
    assert "\n" not in str(caught.value)
    assert "rror" not in str(caught.value)


def test_the_data_must_be_named():
    with pytest.raises(UserError, match="'data' is missing"):
        make_study("weak_to_strong", {"overseer": "a", "target": "b"})


@pytest.mark.parametrize(
    ("settings", "method", "how"),
    [
        ({}, "cross_fitting", "before the run, as the best on the sets"),
        ({"methods": ["naive", "confidence"]}, "confidence", "best on NLP in Burns et al. 2023"),
        ({"methods": ["naive", "ccs"]}, "naive", "the first method"),
        ({"headline": "filtered"}, "filtered", "named in the settings"),
    ],
)
def test_the_headline_is_chosen_without_ground_truth(settings, method: str, how: str):
    study: Any = make_study(
        "weak_to_strong", {"overseer": "a", "target": "b", "data": "cities"} | settings
    )
    assert study.chosen[0] == method
    assert "without ground truth" in study.chosen[1]
    assert how in study.chosen[1]


def test_a_whole_study_has_evidence_for_every_arm(folder: Path, tiny_folder: Path, data: str):
    rows = evidence(folder, tiny_folder, data, intermediates=[str(tiny_folder)])
    accuracies = {row.arm: row for row in rows if row.metric == "accuracy"}
    assert set(accuracies) == {*METHODS, *CONTROLLED, "headline"}
    assert {row.arm for row in rows if row.metric == "pgr"} == {*METHODS, "headline"}
    for row in rows:
        assert row.dataset == "cities"
        assert row.target == str(tiny_folder)
        assert row.seed == 0
        assert len(row.split) == len(row.config_hash) == 64
    for arm, row in accuracies.items():
        assert row.value is not None
        assert 0 <= row.value <= 1
        assert row.controls.keys() == (CONTROLLED if row.role == "result" else set()), arm
    assert accuracies["headline"].value == accuracies["cross_fitting"].value
    assert accuracies["headline"].notes.startswith("cross_fitting, ")
    for arm in ("supervisor", "ceiling", "bootstrapping"):
        assert accuracies[arm].cost.tokens > 120, arm
    assert accuracies["naive"].cost.tokens == 0
    assert all(accuracies[arm].cost.seconds > 0 for arm in METHODS)


def test_a_seed_decides_the_numbers_and_the_model_is_read_once(
    folder: Path, tiny_folder: Path, data: str, monkeypatch: pytest.MonkeyPatch
):
    methods = ["naive", "ccs", "bootstrapping"]
    first = evidence(folder, tiny_folder, data, methods=methods)

    def refuse(*_: Any, **__: Any) -> LocalModel:
        raise AssertionError("a model was loaded")

    monkeypatch.setattr(Lab, "local", refuse)
    again = evidence(folder, tiny_folder, data, methods=methods)
    assert without_cost(again) == without_cost(first)
    reading = [row.cost.tokens for row in first]
    assert [row.cost.tokens for row in again] == reading
    monkeypatch.undo()
    other = evidence(folder, tiny_folder, data, methods=methods, seed=1)
    assert {row.split for row in other}.isdisjoint(row.split for row in first)
    assert [row.value for row in other] != [row.value for row in first]


def test_another_folder_gives_the_same_numbers(
    tmp_path: Path, folder: Path, tiny_folder: Path, data: str
):
    one, other = (
        evidence(place, tiny_folder, data, methods=["naive", "filtered"], depths=[0.5])
        for place in (folder, tmp_path)
    )
    assert without_cost(one) == without_cost(other)


def test_too_few_examples_are_refused_before_a_model_is_read(tmp_path: Path, tiny_folder: Path):
    few = write_data(tmp_path / "few.jsonl", 24)
    with pytest.raises(UserError, match=r"'few' has 24 examples: weak-to-strong needs 40 or more"):
        evidence(tmp_path, tiny_folder, few)


def test_ccs_refuses_three_classes(tmp_path: Path, tiny_folder: Path):
    path = tmp_path / "three.csv"
    lines = [f"the {i}th thing,{'abc'[i % 3]}" for i in range(60)]
    path.write_text("\n".join(["text,label", *lines]))
    with pytest.raises(UserError, match=r"has 3 classes, and 'ccs' needs two: leave it out"):
        evidence(tmp_path, tiny_folder, f"file:{path}?labels=a,b,c")


def test_three_classes_do_without_ccs(tmp_path: Path, tiny_folder: Path):
    path = tmp_path / "three.csv"
    lines = [f"the {i}th thing,{'abc'[i % 3]}" for i in range(60)]
    path.write_text("\n".join(["text,label", *lines]))
    methods = [method for method in METHODS if method != "ccs"]
    name = f"file:{path}?labels=a,b,c&answers= a, b, c"
    rows = evidence(tmp_path, tiny_folder, name, methods=methods, depths=[1.0])
    assert {row.arm for row in rows if row.metric == "pgr"} == {*methods, "headline"}


def test_a_study_in_lora_mode_leaves_the_base_as_it_was(tmp_path: Path, tiny_folder: Path):
    data = write_data(tmp_path / "few.jsonl", 48)
    lab = Lab(tmp_path, device="cpu")
    model = lab.local(str(tiny_folder))
    before = [model.option_probs(["Paris is in"], [" France", " Peru"]), list(model.blocks)]
    study = make_study(
        "weak_to_strong",
        {
            "overseer": str(tiny_folder),
            "target": str(tiny_folder),
            "data": data,
            "mode": "lora",
            "methods": ["naive", "confidence"],
            "seeds": 2,
            "lora_rank": 2,
            "lora_epochs": 1,
            "resamples": 1000,
        },
    )
    rows = list(study.run(lab))
    accuracies = {row.arm: row for row in rows if row.metric == "accuracy"}
    assert set(accuracies) == {"naive", "confidence", "headline", *CONTROLLED}
    assert all(accuracies[arm].cost.tokens > 48 for arm in ("supervisor", "naive", "zero_shot"))
    after = [model.option_probs(["Paris is in"], [" France", " Peru"]), list(model.blocks)]
    assert (after[0] == before[0]).all()
    assert all(one is two for one, two in zip(after[1], before[1], strict=True))
    assert not any("lora" in name for name, _ in model.module.named_parameters())


@pytest.mark.model
def test_a_real_supervisor_is_above_chance(
    tmp_path: Path, smollm: LocalModel, monkeypatch: pytest.MonkeyPatch
):
    """SmolLM2-135M against itself: it knows some of the cities, and there is no gap to speak of."""
    monkeypatch.setattr(Lab, "local", lambda *_: smollm)
    rows = evidence(
        tmp_path,
        Path(smollm.name),
        "cities",
        limit=200,
        methods=["naive"],
        depths=[0.5, 0.75],
    )
    found = {(row.arm, row.metric): row for row in rows}
    assert found["supervisor", "accuracy"].value > 0.55
    assert abs(found["ceiling", "gap"].value) < 0.2
