"""A study from what a user wrote: what is refused, and what makes it another study."""

import sys
from pathlib import Path

import pytest

from toprope import study
from toprope.errors import UserError
from toprope.lab import Lab
from toprope.study import Study, code_version, make_study, study_class

from .fake_studies import fake_study  # noqa: F401

pytestmark = pytest.mark.usefixtures("fake_study")

GOOD = {"overseer": "fake-weak", "target": "fake-strong", "data": "fake-data"}


def made(**changes: object) -> Study:
    return make_study("fake_study", {**GOOD, **changes}, where="ladder.yaml, study 1")


def test_a_study_has_its_settings_and_a_title():
    assert made().model_dump()["data"] == "fake-data"
    assert made().title == "fake_study: fake-weak -> fake-strong"


def test_an_unknown_study_is_answered_with_the_nearest():
    with pytest.raises(UserError, match=r"unknown study 'fake_studdy' in ladder\.yaml: did you "):
        make_study("fake_studdy", GOOD, where="ladder.yaml")
    with pytest.raises(UserError, match=r"known: .*weak_to_strong"):
        study_class("zzz")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        pytest.param(
            {"metods": ["naive"]},
            "unknown key 'metods' in ladder.yaml, study 1: did you mean 'methods'? known: data, ",
            id="unknown key",
        ),
        pytest.param(
            {"value": 1.5},
            "ladder.yaml, study 1: value: Input should be less than or equal to 1 (got 1.5)",
            id="out of range",
        ),
        pytest.param(
            {"methods": ["naive", "magic"]},
            "ladder.yaml, study 1: methods.1: Input should be 'naive' or 'confidence' "
            "(got 'magic')",
            id="no such choice",
        ),
    ],
)
def test_a_mistake_is_one_line_with_its_place(changes: dict, message: str):
    with pytest.raises(UserError) as caught:
        made(**changes)
    assert str(caught.value).startswith(message)
    assert "\n" not in str(caught.value)


def test_a_missing_field_is_named_and_explained():
    with pytest.raises(UserError) as caught:
        make_study("fake_study", {"target": "fake-strong", "data": "fake-data"}, where="x.yaml")
    assert str(caught.value) == ("x.yaml: 'overseer' is missing (the weaker or more trusted model)")


def test_settings_are_frozen():
    with pytest.raises(ValueError, match="frozen"):
        made().overseer = "another"


def test_the_fingerprint_changes_with_each_setting_and_with_the_seed(tmp_path: Path):
    lab = Lab(tmp_path, seed=1)
    wanted = made().fingerprint(lab)
    assert made().fingerprint(Lab(tmp_path / "elsewhere", seed=1)) == wanted
    others = [
        made(value=0.71).fingerprint(lab),
        made(methods=["confidence"]).fingerprint(lab),
        made(overseer="fake-other").fingerprint(lab),
        made().fingerprint(Lab(tmp_path, seed=2)),
        made().fingerprint(Lab(tmp_path, seed=1, dtype="float16")),
    ]
    assert len({wanted, *others}) == 6


def test_the_fingerprint_changes_with_models_data_and_code(tmp_path: Path, monkeypatch):
    lab, fingerprints = Lab(tmp_path), set()
    weights, text, code = "weights", "text", "code"
    monkeypatch.setattr(Lab, "model_fingerprint", lambda _, name: f"{weights} of {name}")
    monkeypatch.setattr(type(made()), "datasets", lambda *_: [text])
    monkeypatch.setattr(study, "code_version", lambda _: code)
    one = made(overseer="real")
    fingerprints.add(one.fingerprint(lab))
    weights = "other weights"
    fingerprints.add(one.fingerprint(lab))
    text = "other text"
    fingerprints.add(one.fingerprint(lab))
    code = "other code"
    fingerprints.add(one.fingerprint(lab))
    assert len(fingerprints) == 4


def test_the_code_version_changes_when_a_source_is_edited(tmp_path: Path, monkeypatch):
    package = tmp_path / "edited_technique"
    package.mkdir()
    (package / "__init__.py").write_text("")
    (package / "study.py").write_text("x = 1\n")
    monkeypatch.syspath_prepend(tmp_path)
    before = code_version("edited_technique")
    (package / "leftover.pyc").write_bytes(b"compiled")
    assert code_version("edited_technique") == before
    (package / "study.py").write_text("x = 2\n")
    assert code_version("edited_technique") != before
    sys.modules.pop("edited_technique")


def test_the_config_hash_holds_the_settings_only(tmp_path: Path):
    assert made().config_hash == made().config_hash
    assert made().config_hash != made(value=0.71).config_hash
