"""A study's own command: its options come from its fields, and it runs as a ladder would."""

import re
from pathlib import Path

import pytest
import yaml

from toprope.cli.study import MORE_FLAGS, default_name, study_command
from toprope.study import STUDIES

from ..fake_studies import runs_of

MODELS = ("--overseer", "fake-weak", "--target", "fake-strong")
GIVEN = (*MODELS, "--data", "fake-a", "--quiet")


def settings(name: str = "fake-study-fake-weak-fake-strong-fake-a") -> dict:
    config = yaml.safe_load((Path("runs") / name / "config.yaml").read_text())
    return config["rungs"][0]["studies"][0]["fake_study"]


def test_it_makes_the_run_that_a_ladder_of_one_rung_makes(toprope) -> None:
    result = toprope("fake-study", *GIVEN)

    assert result.exit_code == 0, result.output
    folder = Path("runs/fake-study-fake-weak-fake-strong-fake-a")
    config = yaml.safe_load((folder / "config.yaml").read_text())
    assert config["rungs"][0]["overseer"] == "fake-weak"
    assert config["rungs"][0]["target"] == "fake-strong"
    assert f"report: {folder / 'report.html'}" in result.stdout

    assert toprope("climb", folder / "config.yaml", "--quiet").exit_code == 0
    assert toprope("fake-study", *GIVEN).exit_code == 0
    assert runs_of(folder) == ["fake-a"]


def test_a_study_may_have_other_names_for_overseer_and_target(toprope, monkeypatch) -> None:
    """As weak-to-strong has: a study without them takes --overseer and --target alone."""
    assert set(MORE_FLAGS) == {"weak_to_strong"}
    toprope("fake-study", *GIVEN)
    monkeypatch.setitem(MORE_FLAGS, "fake_study", MORE_FLAGS["weak_to_strong"])
    other = ("--weak", "fake-weak", "--strong", "fake-strong", "--data", "fake-a", "--quiet")
    assert toprope("fake-study", *other).exit_code == 0

    assert runs_of(Path("runs/fake-study-fake-weak-fake-strong-fake-a")) == ["fake-a"]


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ([], {"value": 0.7, "methods": ["naive"], "intermediates": [], "limit": 20}),
        (["--value", "0.4", "--limit", "9"], {"value": 0.4, "limit": 9}),
        (["--limit", "none"], {"limit": None}),
        (["--methods", "naive,confidence"], {"methods": ["naive", "confidence"]}),
        (["--methods", "confidence", "--methods", "naive"], {"methods": ["confidence", "naive"]}),
        (["--arms", "confidence"], {"methods": ["confidence"]}),
        (["--methods", ""], {"methods": []}),
        (["--intermediates", "hf:a/b, ./c"], {"intermediates": ["hf:a/b", "./c"]}),
        (["--mode", "lora"], {"mode": "lora"}),
        (["--shuffle"], {"shuffle": True}),
        (["--no-shuffle"], {"shuffle": False}),
        (["--options", "{a: 1, b: 2}"], {"options": {"a": 1, "b": 2}}),
    ],
)
def test_fields_become_options(toprope, options: list[str], expected: dict) -> None:
    result = toprope("fake-study", *GIVEN, *options)

    assert result.exit_code == 0, result.output
    assert expected.items() <= settings().items()


def test_the_help_says_what_the_fields_say(toprope) -> None:
    text = re.sub(r"\s+", " ", toprope("fake-study", "--help").stdout)

    assert "Measure nothing at all, and say so with an interval." in text
    assert (
        "toprope fake-study --overseer smollm2-135m --target qwen2.5-coder-0.5b --data cities"
        in text
    )
    assert "--overseer OVERSEER The weaker or more trusted model [required]" in text
    assert "--data DATA What it would read [required]" in text
    assert "--arms, --methods naive|confidence,... The arms [default: naive]" in text
    assert "--mode [probe|lora] [default: probe]" in text
    assert "--limit INTEGER|NONE At most so many [default: 20]" in text
    assert "--value FLOAT What it finds [default: 0.7]" in text
    assert "--seed INTEGER" in text


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ((), "Missing option '--overseer' (see 'toprope fake-study --help')"),
        ((*GIVEN, "--methods", "naive,confidnce"), "unknown value 'confidnce' in --arms: "
         "did you mean 'confidence'? known: confidence, naive"),
        ((*GIVEN, "--mode", "prob"), "unknown value 'prob' in --mode: did you mean 'probe'?"),
        ((*GIVEN, "--value", "3"), "fake-study: value: Input should "
         "be less than or equal to 1 (got 3.0)"),
        ((*GIVEN, "--limit", "many"), "Invalid value for '--limit': 'many' is not a valid"),
        ((*GIVEN, "--options", "{a: ["), "Invalid value for '--options': not YAML: "),
        ((*GIVEN, "--options", "{a: b}"), "fake-study: options.a: "),
        ((*GIVEN, "--valu", "1"), "No such option '--valu'. Did you mean '--value'?"),
        ((*GIVEN, "--name", "a/b"), "fake-study: name: 'a/b' can't be a folder's name"),
    ],
)  # fmt: skip
def test_a_mistake_is_one_line(refused, options: tuple[str, ...], message: str) -> None:
    assert refused("fake-study", *options).startswith(message)
    assert not Path("runs").exists()


def test_the_default_name_is_the_same_for_the_same_command_and_fits_a_folder() -> None:
    rung = {"overseer": "smollm2-135m", "target": "hf:Qwen/Qwen3-4B"}
    address = {"data": "file:/data/reviews.csv?text=sentence&label=stars"}

    assert default_name("weak-to-strong", {"overseer": "a", "target": "b"}, {"data": "cities"}) == (
        "weak-to-strong-a-b-cities"
    )
    attacked = {"overseer": "none", "target": "b"}
    assert default_name("redteam", attacked, {"behaviours": "jbb"}) == "redteam-b-jbb"
    name = default_name("weak-to-strong", rung, address)
    assert re.fullmatch(r"weak-to-strong-smollm2-135m-hf-Qwen-Qwen3-4B-[\w.-]+-[0-9a-f]{8}", name)
    assert len(name) <= 100
    assert name == default_name("weak-to-strong", rung, dict(address))
    other = {"data": "file:/data/reviews.csv?text=sentence-label=stars"}
    assert name != default_name("weak-to-strong", rung, other)


def test_a_field_may_not_hide_an_option_of_all_runs(monkeypatch, fake_study, tmp_path) -> None:
    (tmp_path / "bad_technique.py").write_text(
        "from toprope.study import Study\nclass Bad(Study):\n    name = 'bad'\n    seed: int = 0\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setitem(STUDIES, "bad", "bad_technique:Bad")

    with pytest.raises(ValueError, match="study 'bad' has a field named as an option"):
        study_command("bad")
