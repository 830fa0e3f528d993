"""From a name to a dataset: addresses, descriptions and where they are looked for, mistakes."""

import json
from pathlib import Path

import pytest

from toprope.data import load
from toprope.errors import UserError
from toprope.progress import Progress


@pytest.fixture(autouse=True)
def _in_an_empty_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("TOPROPE_DATA", raising=False)


def write_jsonl(path: str, records: list[dict]) -> None:
    Path(path).write_text("".join(json.dumps(record) + "\n" for record in records))


def questions(n: int = 12) -> list[dict]:
    """Questions on n/2 topics, two a topic, one of each label."""
    return [{"q": f"question {i}", "a": i % 2, "topic": f"t{i // 2}", "d": i / n} for i in range(n)]


def test_columns_are_mapped_by_options():
    write_jsonl("my.jsonl", questions())
    dataset = load(
        "file:my.jsonl?text=Q: {q}&label=a&group=topic&difficulty=d"
        "&labels=wrong,right&answers= no, yes&name=mine"
    )
    one = dataset.examples[3]
    assert (one.id, one.text, one.label, one.group) == ("mine/00003", "Q: question 3", 1, "t1")
    assert one.difficulty == 0.25
    assert (dataset.label_names, dataset.answers) == (("wrong", "right"), (" no", " yes"))
    assert dataset.provenance.rows_read == len(dataset) == 12


def test_a_template_may_hold_braces_and_reaches_no_further_than_columns():
    write_jsonl("my.jsonl", questions())
    assert load("file:my.jsonl?text={{{q}}} {{}}&label=a").texts[0] == "{question 0} {}"
    with pytest.raises(UserError, match=r"unknown column 'q.__class__'"):
        load("file:my.jsonl?text={q.__class__}&label=a")


def test_labels_that_are_not_named_are_those_found_in_order():
    records = [{"text": f"text {i}", "label": label} for i, label in enumerate(["b", "a"] * 6)]
    write_jsonl("my.jsonl", records)
    dataset = load("file:my.jsonl")
    assert (dataset.name, dataset.label_names) == ("my", ("a", "b"))
    assert dataset.answers == (" a", " b")
    write_jsonl("my.jsonl", [{"text": f"{i}", "label": i % 11} for i in range(22)])
    assert load("file:my.jsonl").label_names == tuple(str(i) for i in range(11))
    # Without a group column each text is its own group.
    assert len(set(dataset.groups)) == 12


DESCRIPTION = """
files: [my.jsonl]
text: q
label: a
label_names: [no, yes]
"""


def test_a_bare_name_is_looked_for_here_then_in_examples_then_in_the_data_folder(tmp_path):
    data = tmp_path / "data"
    data.mkdir()
    Path("examples/data").mkdir(parents=True)
    write_jsonl("data/my.jsonl", questions())
    (data / "set.yaml").write_text("title: from data\n" + DESCRIPTION)
    assert load("set", data_dir=data).name == "set"
    Path("examples/data/set.yaml").write_text("name: from-examples\n" + DESCRIPTION)
    assert load("set", data_dir=data).name == "from-examples"
    Path("set.yaml").write_text("name: from-here\n" + DESCRIPTION)
    assert load("set", data_dir=data).name == "from-here"
    assert load("data/set.yaml", data_dir=data).name == "set"


def test_the_data_folder_is_the_argument_or_the_environment_or_an_error(tmp_path, monkeypatch):
    Path("set.yaml").write_text(DESCRIPTION)
    write_jsonl("my.jsonl", questions())
    with pytest.raises(UserError, match=r"no data folder for 'my.jsonl': give --data-dir .*TOPROP"):
        load("set")
    with pytest.raises(UserError, match=r"the data folder nowhere .* isn't there"):
        load("set", data_dir=Path("nowhere"))
    monkeypatch.setenv("TOPROPE_DATA", str(tmp_path))
    assert len(load("set")) == 12


def test_a_path_with_a_dot_is_beside_the_description():
    Path("sets").mkdir()
    write_jsonl("sets/my.jsonl", questions())
    Path("sets/set.yaml").write_text(DESCRIPTION.replace("my.jsonl", "./my.jsonl"))
    assert len(load("sets/set.yaml")) == 12


def test_filters_extraction_and_length_are_counted():
    records = [
        {"raw": f"[{i}] word {'long ' * (i % 6)}", "a": i % 2, "keep": i < 30} for i in range(40)
    ]
    records.append({"raw": "no number", "a": 1, "keep": True})
    write_jsonl("my.jsonl", records)
    Path("set.yaml").write_text(
        "files: [./my.jsonl]\nlabel: a\nlabel_names: [no, yes]\nwhere: {keep: true}\n"
        "extract: {column: raw, pattern: '\\[(?P<n>\\d+)\\] (?P<body>.*)', unmatched: skip}\n"
        "text: '{n}: {body}'\nmax_words: 5\n"
    )
    dataset = load("set")
    # Of the 30 kept, i % 6 in {4, 5} makes 6 or 7 words.
    assert dataset.provenance.rows_read == 41
    assert dataset.provenance.rows_dropped == {
        "keep is not true": 10,
        "prompt of over 5 words": 10,
        "raw doesn't match the pattern for n, body": 1,
    }
    assert dataset.texts[1] == "1: word long"
    assert len(dataset) == 20


def test_a_multiple_choice_question_makes_two_examples_or_none():
    records = [{"q": f"q{i}?", "A": f"a{i}", "B": f"b{i}", "key": "AB"[i % 2]} for i in range(9)]
    records[3]["A"] = "a wrong option of six words"
    write_jsonl("my.jsonl", records)
    Path("set.yaml").write_text(
        "files: [./my.jsonl]\nchoices: {columns: [A, B], correct: key}\n"
        "text: 'Q: {q} A: {choice}'\nmax_words: 8\nmeta: [key]\n"
    )
    dataset = load("set")
    assert [(one.text, one.label) for one in dataset.examples[:4]] == [
        ("Q: q0? A: a0", 1),
        ("Q: q0? A: b0", 0),
        ("Q: q1? A: a1", 0),
        ("Q: q1? A: b1", 1),
    ]
    assert dataset.label_names == ("incorrect", "correct")
    assert dataset.groups[0] == dataset.groups[1] != dataset.groups[2]
    assert dataset.examples[0].meta == {"key": "A"}
    # The fourth question has one prompt that is too long: its other one goes too.
    assert len(dataset) == 16
    assert not any("q3?" in text for text in dataset.texts)
    assert dataset.provenance.rows_dropped == {"prompt of over 8 words": 1}


def test_near_identical_questions_are_one_group_with_their_candidates():
    stems = ["the cat sat on the mat", "the cat sat on the hat", "a dog", "the cat sat on the rug"]
    records = [{"q": q, "A": f"a{i}", "B": "b", "key": "A"} for i, q in enumerate(stems)]
    write_jsonl("my.jsonl", records)
    Path("set.yaml").write_text(
        "files: [./my.jsonl]\nchoices: {columns: [A, B], correct: key}\ntext: '{q}: {choice}'\n"
        "near: {column: q, rows: 1, share: 0.6}\n"
    )
    # Only neighbours join: the last is as like the first two, but two rows away.
    groups = load("set").groups
    assert [groups.index(group) for group in groups] == [0, 0, 0, 0, 4, 4, 6, 6]


def test_what_was_dropped_is_said(capsys):
    write_jsonl("my.jsonl", [*questions(), *questions()[:2]])
    load("file:my.jsonl?text=q&label=a", progress=Progress())
    assert capsys.readouterr().err == "my: 14 rows read, 12 examples; 2 out: repeated text\n"


def test_a_row_that_does_not_match_is_named():
    write_jsonl("my.jsonl", [*questions(), {"q": "question 12b", "a": 0}])
    Path("set.yaml").write_text(
        DESCRIPTION.replace("[my", "[./my")
        + "extract: {column: q, pattern: 'question (?P<n>\\d+)'}\n"
    )
    with pytest.raises(
        UserError, match=r"./my.jsonl line 13: 'q' doesn't match .* for n: question 12b"
    ):
        load("set")


def bad(**change) -> list[dict]:
    return [*questions(), {**questions()[0], "q": "last", **change}]


@pytest.mark.parametrize(
    ("records", "options", "message"),
    [
        (bad(q=" "), "", r"my.jsonl line 13: the text is empty"),
        (bad(a=None), "", r"my.jsonl line 13: the label in column 'a' is empty"),
        (bad(a="ye"), "&labels=no,yes", r"'ye' in my.jsonl line 13, column 'a': .* 'yes'"),
        (bad(d=1.5), "&difficulty=d", r"my.jsonl line 13: difficulty '1.5' isn't a number from"),
        (bad(), "&group=topik", r"unknown column 'topik' in .* line 1: did you mean 'topic'"),
        (questions(), "&gruop=topic", r"unknown option 'gruop' in file:.*did you mean 'group'"),
        (questions(), "&text=a", r"an option is there twice"),
        (questions(), "&labels=no,yes&answers=x", r"1 answers for 2 label names"),
        (questions(), "&answers=a,b", r"answers need label names"),
        (questions(), "&balance=maybe", r"balance: .*boolean"),
        (questions(6), "", r"6 examples; at least 8"),
        ([{**one, "a": 1} for one in questions()], "", r"every class needs examples; it has 12 1"),
        (questions(), "&labels=no,yes,maybe", r"it has 6 no, 6 yes, 0 maybe"),
        ([], "", r"none of 0 rows is left"),
    ],
)
def test_bad_input_is_one_line_that_says_what_and_where(records, options, message):
    write_jsonl("my.jsonl", records)
    with pytest.raises(UserError, match=message) as error:
        load(f"file:my.jsonl?text=q&label=a{options}")
    assert "\n" not in str(error.value)


def test_an_unknown_name_gives_the_nearest():
    Path("reviews.yaml").write_text(DESCRIPTION)
    with pytest.raises(UserError, match=r"unknown dataset 'citys': did you mean 'cities'"):
        load("citys")
    with pytest.raises(UserError, match=r"did you mean 'reviews'\? known: arithmetic, cities, rev"):
        load("review")
    with pytest.raises(UserError, match=r"no dataset description 'nowhere/a.yaml'"):
        load("nowhere/a.yaml")
    write_jsonl("my.jsonl", questions())
    with pytest.raises(UserError, match=r"'my.jsonl' is a file, .*: write file:my.jsonl"):
        load("my.jsonl")


def test_numbers_are_no_positions_where_label_names_are_numbers():
    write_jsonl("my.jsonl", questions())
    with pytest.raises(UserError, match=r"unknown label '0' .*known: 1, 2"):
        load("file:my.jsonl?text=q&label=a&labels=1,2")
