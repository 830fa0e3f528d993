"""`toprope data`: which datasets there are, and what is in one."""

from pathlib import Path

import pytest

REVIEWS = """\
text,label,film
Good \a\u202efilm,yes,1
Bad film,no,1
Fine,yes,2
Dull,no,2
Superb,yes,3
Awful,no,3
Lovely,yes,4
Poor,no,4
Great,yes,5
"""
DESCRIPTION = """\
title: Film reviews
licence: CC0
source: made up
files: [./reviews.csv]
text: "Review: {text}\\nGood?"
label_names: [no, yes]
answers: [" no", " yes"]
group: film
"""


@pytest.fixture(autouse=True)
def reviews() -> None:
    Path("reviews.csv").write_text(REVIEWS)
    Path("reviews.yaml").write_text(DESCRIPTION)


def test_list_has_the_built_in_sets_and_the_descriptions(toprope) -> None:
    lines = [line.split(maxsplit=2) for line in toprope("data", "list").stdout.splitlines()]

    assert [line[0] for line in lines] == ["arithmetic", "cities", "reviews"]
    assert lines[1][2].endswith("true and false statements on which country a city is in.")
    assert lines[2][1:] == [".", "Film reviews"]


def test_list_takes_the_data_folder_too_and_names_what_it_leaves_out(toprope) -> None:
    Path("sets").mkdir()
    Path("sets/more.yaml").write_text(DESCRIPTION)
    Path("sets/reviews.yaml").write_text(DESCRIPTION.replace("Film", "Other"))
    Path("ladder.yaml").write_text("name: a\nrungs: []\n")
    Path(".hidden.yaml").write_text(DESCRIPTION)

    result = toprope("data", "list", "--data-dir", "sets")

    assert [line.split()[0] for line in result.stdout.splitlines()] == [
        "arithmetic", "cities", "reviews", "more"
    ]  # fmt: skip
    assert "Other" not in result.stdout
    assert "left out: unknown key 'rungs' in ladder.yaml line 2" in result.stderr


def test_show_tells_classes_groups_provenance_and_how_it_is_asked(toprope) -> None:
    text = toprope("data", "show", "reviews", "--examples", "4").stdout

    assert "examples:    9: 4 no, 5 yes\n" in text
    assert "groups:      5, the largest of 2 examples\n" in text
    assert "licence:     CC0\n" in text
    assert "file:        ./reviews.csv (SHA-256 " in text
    assert "  | Review: Bad film\n  | Good?\n  * ' no' (no)\n    ' yes' (yes)\n" in text
    shown = [line for line in text.splitlines() if line.startswith("  | Review")]
    assert shown[0] == "  | Review: Bad film"
    assert shown[2] == "  | Review: Dull"
    assert len(shown) == 4
    assert "\a" not in text
    assert "\u202e" not in text


def test_show_takes_a_limit_and_a_seed(toprope) -> None:
    text = toprope("data", "show", "arithmetic", "--limit", "20", "--seed", "1").stdout

    assert "examples:    20: " in text
    other = toprope("data", "show", "arithmetic", "--limit", "20", "--seed", "2").stdout
    assert text != other


def test_more_examples_than_there_are_is_all_of_them(toprope) -> None:
    text = toprope("data", "show", "reviews", "--examples", "50").stdout

    assert text.count("  | Review") == 9


def test_data_that_needs_a_folder_says_so(refused, monkeypatch) -> None:
    monkeypatch.delenv("TOPROPE_DATA", raising=False)
    Path("far.yaml").write_text(DESCRIPTION.replace("./reviews.csv", "far/reviews.csv"))

    assert "--data-dir FOLDER or set TOPROPE_DATA" in refused("data", "show", "far")
