"""The interpretability study from end to end, on a tiny model: with every measure, gone on with,
and refused."""

import json
import random
from collections.abc import Callable
from pathlib import Path

import pytest

from toprope.errors import UserError
from toprope.evidence import Evidence
from toprope.lab import Lab
from toprope.study import make_study
from toprope.techniques.interpretability import workbench
from toprope.techniques.interpretability.activations import capture
from toprope.techniques.interpretability.making import captured, train_seeds
from toprope.techniques.interpretability.study import Interpretability
from toprope.techniques.interpretability.training import Trainee
from toprope.techniques.interpretability.workbench import FROZEN, Workbench, about_of, is_random

WORDS = (
    *("rope", "climb", "partner", "ground", "safe", "city", "Paris", "Lagos"),
    *("Norway", "twelve", "seven", "true", "answer"),
)
QUICK = {
    "tokens": 3000,
    "window": 32,
    "share": 0.4,
    "width": 48,
    "active": 4,
    "seeds": 2,
    "batch": 64,
    "epochs": 2,
    "layer": 2,
    "latents": 12,
    "threshold": 0.5,
}


@pytest.fixture(scope="module")
def texts(tmp_path_factory: pytest.TempPathFactory) -> str:
    rng = random.Random(0)
    path = tmp_path_factory.mktemp("texts") / "texts.jsonl"
    rows = [f"{i} " + " ".join(rng.choices(WORDS, k=60)) for i in range(120)]
    path.write_text("".join(json.dumps({"text": row}) + "\n" for row in rows))
    return f"file:{path}"


@pytest.fixture
def study(texts: str, tiny_folder: Path, monkeypatch) -> Callable[..., Interpretability]:
    for module in ("study", "labels.job", "labels.naming"):
        monkeypatch.setattr(
            f"toprope.techniques.interpretability.{module}.EMBEDDER", str(tiny_folder)
        )

    def made(**settings) -> Interpretability:
        all_ = {**QUICK, "target": str(tiny_folder), "texts": texts, **settings}
        found = make_study("interpretability", all_)
        assert isinstance(found, Interpretability)
        return found

    return made


def of(rows: list[Evidence], arm: str, metric: str) -> Evidence:
    [found] = [row for row in rows if (row.arm, row.metric) == (arm, metric)]
    return found


def test_the_whole_study(study, tmp_path: Path, tiny_folder: Path, monkeypatch):
    made = study(overseer=str(tiny_folder), scorers=["detection", "trained", "intruder"])
    lab = Lab(tmp_path)
    rows = list(made.run(lab))
    bench = made.bench(lab)
    assert set(bench.names) >= {"seed-0", "seed-1", FROZEN, "random-0", "random-1"}
    for name in bench.seeds():
        fvu = of(rows, name, "fvu")
        assert fvu.value is not None
        assert fvu.value < fvu.controls[FROZEN]
        assert fvu.controls.keys() == {FROZEN, "random-0"}
    for name in bench.names:
        origin = bench.dictionary(name).origin
        assert origin is not None
        assert origin.layer == 2
        assert ("random weights" in origin.model) == is_random(name)
    shared = of(rows, "seed-0", "shared_with_seed")
    assert shared.controls.keys() == {"random dictionary", "rotated", "before training"}
    assert of(rows, "seed-0", "ce_recovered").controls.keys() == {FROZEN}
    arms = {row.arm for row in rows if row.metric == "interpretable"}
    assert {arm.split("/")[0] for arm in arms} >= {"seed-0", FROZEN, "random-0"}
    assert {arm.split("/")[1] for arm in arms} == {"token-statistics", "explainer"}
    scored = of(rows, "random-0/token-statistics", "balanced_accuracy_detection")
    assert scored.role == "control"
    assert "another latent's label" in scored.controls


def test_a_second_run_does_nothing_anew(study, tmp_path: Path, monkeypatch):
    made = study(controls=False)
    first = list(made.run(Lab(tmp_path)))

    def never(*_: object, **__: object) -> None:
        raise AssertionError("done again")

    monkeypatch.setattr(capture._Making, "_make", never)
    monkeypatch.setattr(Trainee, "step", never)
    monkeypatch.setattr(workbench, "collect", never)
    again = list(made.run(Lab(tmp_path)))
    same = {(row.arm, row.metric): row.value for row in first if "per_minute" not in row.metric}
    for row in again:
        assert row.value == same[row.arm, row.metric]


def test_another_recipe_doesnt_take_over_a_folder(study, tmp_path: Path):
    lab = Lab(tmp_path)

    def begin(**settings) -> Workbench:
        recipe = study(controls=False, **settings).recipe
        return Workbench.begin(tmp_path / "features", about_of(recipe, lab), lab)

    bench = begin()
    # Nothing is trained yet, and the capture serves either.
    captured(bench)
    wider = begin(width=50)
    assert (wider.recipe.width, wider.reads("seed-0").rows) == (50, bench.reads("seed-0").rows)
    train_seeds(begin())
    with pytest.raises(UserError, match="holds other features \\(width was 48, now 64\\)"):
        begin(width=64)
    with pytest.raises(UserError, match=r"there are no features in .*no features.json"):
        Workbench.open(tmp_path / "elsewhere", lab)


def test_what_cant_be_done_is_said_before_the_work(study, tmp_path: Path):
    lab = Lab(tmp_path)
    with pytest.raises(UserError, match="served model, whose activations can't be reached"):
        list(study(target="openai/gpt-5").run(lab))
    with pytest.raises(UserError, match="the scorer 'detection' asks an overseer"):
        list(study(scorers=["detection"]).run(lab))
    with pytest.raises(UserError, match="has no layer 9"):
        list(study(layer=9).run(lab))
    with pytest.raises(UserError, match="tokens to train on"):
        list(study(tokens=10_000_000).run(lab))
    with pytest.raises(UserError, match="3,000 tokens are too few for dictionaries of 4,096"):
        list(study(width=4096).run(lab))
    with pytest.raises(UserError, match="put another scorer first"):
        study(scorers=["intruder"])
    with pytest.raises(UserError, match="99 latents can't be active of 48"):
        study(active=99)
