"""Behaviours: the built-in pairs, files and descriptions, splits that keep pairs and categories."""

from collections import Counter
from pathlib import Path

import pytest

from toprope.data.behaviours import BUILT_IN, Behaviours, load_behaviours
from toprope.data.groups import same_text
from toprope.errors import UserError


def written(folder: Path, text: str, name: str = "mine.csv") -> str:
    path = folder / name
    path.write_text(text, encoding="utf-8")
    return f"file:{path}"


def test_the_built_in_set_pairs_each_intent_with_a_look_alike():
    harmful, harmless = map(load_behaviours, BUILT_IN)
    assert len(harmful) == len(harmless) >= 100
    assert [one.pair for one in harmful.behaviours] == [one.pair for one in harmless.behaviours]
    assert all(one.harmful for one in harmful.behaviours)
    assert not any(one.harmful for one in harmless.behaviours)
    texts = [same_text(one.text) for s in (harmful, harmless) for one in s.behaviours]
    assert len(set(texts)) == len(texts)
    assert max(Counter(one.category for one in harmful.behaviours).values()) == 10


def test_a_split_keeps_pairs_whole_and_categories_in_proportion():
    harmful, harmless = map(load_behaviours, BUILT_IN)
    both = Behaviours("both", (*harmful.behaviours, *harmless.behaviours))
    search, held_out = both.split(0.4, seed=3)
    assert {b.pair for b in search.behaviours}.isdisjoint(b.pair for b in held_out.behaviours)
    assert len(search) + len(held_out) == len(both)
    counts = Counter(b.category for b in harmful.split(0.4, seed=3)[0].behaviours)
    assert set(counts.values()) == {4}
    again = both.split(0.4, seed=3)[0]
    assert again == search
    assert both.split(0.4, seed=4)[0] != search


def test_a_limit_draws_from_every_category():
    some = load_behaviours("behaviours", limit=22, seed=1)
    assert set(Counter(one.category for one in some.behaviours).values()) == {2}


def test_a_file_of_ones_own(tmp_path: Path):
    name = written(tmp_path, "behaviour,kind,about\nDo it.,a,A text.\nDo that.,b,\n")
    found = load_behaviours(f"{name}?category=kind&context=about&harmful=false")
    first, second = found.behaviours
    assert found.name == "mine"
    assert first.request == "A text.\n\n---\n\nDo it."
    assert (second.request, second.category, second.harmful) == ("Do that.", "b", False)
    assert first.pair == first.id != second.id


@pytest.mark.parametrize(
    ("text", "options", "complaint"),
    [
        ("goal\nDo it.\n", "", "line 2"),
        ("behaviour\nDo it.\ndo  IT.\n", "", "line 3: the same behaviour as .* line 2"),
        ("behaviour\n \n", "", "line 2: the behaviour is empty"),
        (
            "behaviour,id\nDo it.,1\nDo that.,1\n",
            "?id=id",
            "line 3: the id '1' is that of .*line 2",
        ),
        ("behaviour\nDo it.\n", "?behavior=goal", "did you mean 'behaviour'"),
    ],
)
def test_what_is_wrong_is_named_by_its_line(tmp_path, text, options, complaint):
    with pytest.raises(UserError, match=complaint):
        load_behaviours(written(tmp_path, text) + options)


def test_an_unknown_name_gets_the_nearest():
    with pytest.raises(UserError, match=r"unknown behaviours 'look_alike'.*mean 'look_alikes'"):
        load_behaviours("look_alike")


def test_repeats_are_kept_once_where_a_description_allows_it(tmp_path: Path):
    written(tmp_path, "behaviour\nDo it.\nDo it.\n")
    (tmp_path / "set.yaml").write_text("files: [./mine.csv]\nrepeats: true\n")
    found = load_behaviours(str(tmp_path / "set.yaml"))
    assert len(found) == 1
    assert found.provenance.dropped == {"repeated text": 1}
