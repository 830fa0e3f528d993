"""A YAML description: plain words stay words, and a mistake is one line that says where."""

import pytest

from toprope.data.config import DatasetConfig
from toprope.data.yaml_file import load_yaml
from toprope.errors import UserError

GOOD = """\
files: [a.csv]
label: answer
label_values: {false: no, true: yes, 2: yes}
label_names: [no, yes]
where: {short: true, kind: [x, 2]}
extract: {column: c, pattern: '(?P<q>.*)'}
"""


def load(tmp_path, text: str) -> DatasetConfig:
    path = tmp_path / "set.yaml"
    path.write_text(text)
    return load_yaml(path, DatasetConfig)


def test_short_forms_and_plain_words(tmp_path):
    config = load(tmp_path, GOOD)
    assert config.files[0].path == "a.csv"
    assert config.label_names == ("no", "yes")
    assert dict(config.label_values) == {"false": "no", "true": "yes", "2": "yes"}
    assert dict(config.where) == {"short": ("true",), "kind": ("x", "2")}
    assert config.extract[0].column == "c"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (GOOD + "lable: x\n", r"unknown key 'lable' in .*set.yaml line 7: did you mean 'label'"),
        (GOOD + "gruop: x\n", r"unknown key 'gruop' in .*set.yaml line 7: did you mean 'group'"),
        ("files:\n- path: a.csv\n  encodng: x\n", r"'encodng' in .* line 3: did you mean 'encod"),
        ("title: x\n", r"set.yaml line 1: the key 'files' is missing"),
        ("files: []\n", r"set.yaml line 1: files: "),
        (GOOD + "max_words: many\n", r"set.yaml line 7: max_words: .*integer"),
        (GOOD + "format: xls\n", r"set.yaml line 7: format: .*'jsonl'"),
        ("files: [a.csv]\nextract: {column: c, pattern: '(?P<q'}\n", r"line 2: .*not a regular"),
        ("files: [a.csv]\nextract: {column: c, pattern: '.*'}\n", r"line 2: .*names no column"),
        ("files: [a.csv]\nchoices: {correct: c}\n", r"line 2: choices: give either `columns`"),
        ("files: [a.csv]\ntext: q\nchoices: {columns: [A, B], correct: k}\n", r"the {choice}"),
        ("files: [a.csv]\nlabel_names: [a, a]\n", r"a label name is there twice"),
        ("files: [a.csv]\nlabel_names: [a]\n", r"at least two label names"),
        ("files: [a.csv]\nlabel_names: [a, b]\nanswers: [x]\n", r"1 answers for 2 label names"),
        (GOOD.replace("true: yes", "true: yse"), r"'yse' isn't among the label names: no, yes"),
        (GOOD + "label: x\n", r"set.yaml line 7: .*the key 'label' is there twice"),
        ("files: [a.csv\nlabel: x", r"set.yaml line 2: not YAML"),
        ("- a\n- b\n", r"set.yaml: expected `key: value` lines, found list"),
        ("", r"set.yaml: expected"),
    ],
)
def test_a_mistake_is_one_line_that_says_where(tmp_path, text, message):
    with pytest.raises(UserError, match=message) as error:
        load(tmp_path, text)
    assert "\n" not in str(error.value)


def test_a_file_that_is_not_there(tmp_path):
    with pytest.raises(UserError, match=r"can't read .*none.yaml: No such file"):
        load_yaml(tmp_path / "none.yaml", DatasetConfig)
