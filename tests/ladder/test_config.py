"""A ladder in YAML: what is accepted, and what one says of a mistake."""

from pathlib import Path

import pytest
import yaml

from toprope.errors import UserError
from toprope.ladder import LadderConfig, load_ladder, make_ladder

from ..fake_studies import ladder

pytestmark = pytest.mark.usefixtures("fake_study")

EXAMPLES = Path(__file__).parents[2] / "examples"

GOOD = """\
name: good
rungs:
  - overseer: fake-weak
    target: fake-strong
    studies:
      - fake_study: {data: fake-a, methods: [naive, confidence]}
      - fake_study:
          data: fake-b
  - overseer: fake-strong
    target: fake-stronger
    studies: [fake_study: {data: fake-c}]
"""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "ladder.yaml"


def test_every_study_gets_its_rungs_models_and_its_own_settings(path: Path) -> None:
    path.write_text(GOOD)

    config = load_ladder(path)

    assert (config.name, config.seed) == ("good", 0)
    told = [
        (study.overseer, study.target, *study.model_dump(include={"data", "methods"}).values())
        for study in config.studies()
    ]
    assert told == [
        ("fake-weak", "fake-strong", "fake-a", ("naive", "confidence")),
        ("fake-weak", "fake-strong", "fake-b", ("naive",)),
        ("fake-strong", "fake-stronger", "fake-c", ("naive",)),
    ]


def test_what_is_resolved_is_the_same_ladder_with_its_defaults_written_out(path: Path) -> None:
    path.write_text(GOOD)
    config = load_ladder(path)

    path.write_text(yaml.safe_dump(config.resolved()))

    again = load_ladder(path)
    assert again.studies() == config.studies()
    assert again.rungs[1].studies[0]["fake_study"]["value"] == 0.7
    assert again.resolved() == config.resolved()


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        pytest.param(
            "name: good",
            "name: good\nseeed: 1",
            "unknown key 'seeed' in FILE line 2: did you mean 'seed'? known: name, rungs, seed",
            id="key of the ladder",
        ),
        pytest.param(
            "    target: fake-strong\n",
            "    taget: fake-strong\n",
            "unknown key 'taget' in FILE line 4: did you mean 'target'? "
            "known: overseer, studies, target",
            id="key of a rung",
        ),
        pytest.param(
            "methods: [naive, confidence]",
            "metods: [naive]",
            "unknown key 'metods' in FILE, rung 1, study 1 'fake_study': did you mean 'methods'?",
            id="key of a study",
        ),
        pytest.param(
            "- fake_study:\n",
            "- fake_stud:\n",
            "unknown study 'fake_stud' in FILE, rung 1, study 2: did you mean 'fake_study'?",
            id="study",
        ),
        pytest.param(
            "data: fake-c",
            "value: 0.5",
            "FILE, rung 2, study 1 'fake_study': 'data' is missing (what it would read)",
            id="a setting left out",
        ),
        pytest.param(
            "[naive, confidence]",
            "[naive, confidant]",
            "FILE, rung 1, study 1 'fake_study': methods.1: Input should be 'naive' or "
            "'confidence' (got 'confidant')",
            id="a value that doesn't fit",
        ),
        pytest.param(
            "data: fake-c",
            "data: fake-c, target: another",
            "FILE, rung 2, study 1 'fake_study': 'target' belongs to the rung",
            id="a model",
        ),
        pytest.param(
            "          data: fake-b",
            "        data: fake-b",
            "FILE line 7: rungs.0.studies.1: one study an item, found the keys fake_study, data: "
            "a study's settings are indented below its name",
            id="indentation",
        ),
        pytest.param(
            "\n          data: fake-b",
            " fake-b",
            "FILE line 7: rungs.0.studies.1: 'fake_study' needs `setting: value` pairs, "
            "found 'fake-b'",
            id="no settings",
        ),
        pytest.param(
            "name: good",
            "name: ../up",
            "FILE line 1: name: '../up' can't be a folder's name",
            id="name",
        ),
        pytest.param("name: good\n", "", "FILE line 1: the key 'name' is missing", id="no name"),
        pytest.param(
            "name: good",
            "name: good\nseed: -1",
            "FILE line 2: seed: Input should be greater",
            id="seed",
        ),
        pytest.param(
            "name: good",
            "name: good\nname: better",
            "FILE line 2: not YAML: the key 'name' is there twice",
            id="a key twice",
        ),
        pytest.param(
            "  - overseer: fake-strong",
            " - overseer: fake-strong",
            "FILE line 9: not YAML: expected <block end>",
            id="not YAML",
        ),
        pytest.param(GOOD, "", "FILE: expected `key: value` lines, found NoneType", id="empty"),
        pytest.param(GOOD, "name: a\nrungs: []", "FILE line 2: rungs: ", id="no rungs"),
        pytest.param(
            "name: good",
            "name: !!python/object/apply:os.system [ls]",
            "FILE line 1: not YAML: ",
            id="code",
        ),
    ],
)
def test_a_mistake_is_one_line_with_its_place(path: Path, old: str, new: str, message: str) -> None:
    assert old in GOOD
    path.write_text(GOOD.replace(old, new, 1))

    with pytest.raises(UserError) as raised:
        load_ladder(path)

    assert str(raised.value).startswith(message.replace("FILE", str(path)))
    assert "\n" not in str(raised.value)


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"can't read .*none\.yaml: No such file"):
        load_ladder(tmp_path / "none.yaml")


def test_a_ladder_made_of_plain_values_is_checked_as_a_file_is() -> None:
    config = make_ladder(ladder("fake-a"), source="here")
    assert isinstance(config, LadderConfig)

    with pytest.raises(UserError, match=r"here, rung 1, study 1 'fake_study': value: .*got 2"):
        make_ladder(ladder("fake-a", value=2), source="here")
    with pytest.raises(UserError, match="here: name: 'a b' can't be a folder's name"):
        make_ladder(ladder("fake-a", name="a b"), source="here")


def test_a_study_without_settings_needs_no_braces(path: Path) -> None:
    path.write_text(GOOD.replace("- fake_study:\n          data: fake-b", "- fake_study"))

    with pytest.raises(UserError, match="study 2 'fake_study': 'data' is missing"):
        load_ladder(path)


def test_the_quickstart_is_the_ladder_that_the_documentation_promises() -> None:
    # Without its study's class: that is for the technique's own tests.
    config = LadderConfig.model_validate(yaml.safe_load((EXAMPLES / "quickstart.yaml").read_text()))

    [rung] = config.rungs
    assert (config.name, rung.overseer, rung.target) == (
        "quickstart",
        "smollm2-135m",
        "qwen2.5-coder-0.5b",
    )
    assert [(*study, study["weak_to_strong"]["data"]) for study in rung.studies] == [
        ("weak_to_strong", "cities")
    ]
