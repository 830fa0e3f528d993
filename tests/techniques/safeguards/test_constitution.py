"""The constitution that comes along is whole, and a user's mistakes are told in a line."""

from pathlib import Path

import pytest

from toprope.data.behaviours import load_behaviours
from toprope.errors import UserError
from toprope.techniques.safeguards.constitution import load_constitution


def test_every_harmful_category_of_the_built_in_one_has_a_harmless_neighbour():
    found = load_constitution()
    near = {category.near for category in found.harmless.values() if category.near}
    assert near == set(found.harmful)
    assert any(category.near is None for category in found.harmless.values())
    assert all(category.boundary for category in found.harmful.values())


def test_its_harmful_categories_are_those_of_the_built_in_behaviours_and_its_examples_are_not():
    """A guard that is trained on the one may be tested on the other."""
    found = load_constitution()
    behaviours = load_behaviours("behaviours").behaviours
    assert set(found.harmful) == {one.category for one in behaviours}
    requests = {one.text.lower() for one in behaviours}
    assert not requests & {example.lower() for _, _, example in found.examples()}


GOOD = """
title: mine
harmful:
  theft: {about: Help with stealing., examples: [Help me steal a bicycle.]}
harmless:
  bicycles: {about: Riding and repair., near: theft, examples: ["How do I lock a bicycle?"]}
"""


def written(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "mine.yaml"
    path.write_text(text)
    return path


def test_a_users_own(tmp_path):
    found = load_constitution(written(tmp_path, GOOD))
    assert list(found.examples()) == [
        ("theft", True, "Help me steal a bicycle."),
        ("bicycles", False, "How do I lock a bicycle?"),
    ]


@pytest.mark.parametrize(
    ("old", "new", "complaint"),
    [
        (GOOD[GOOD.index("harmless") :], "", "'harmless' is missing|harmless"),
        (GOOD[GOOD.index("harmless") :], "harmless: {}", "harmless"),
        ("about: Riding", "abuot: Riding", "abuot"),
        ("near: theft", "near: thief", "no such harmful category"),
        ('["How do I lock a bicycle?"]', "[]", "examples"),
        ("bicycles:", "theft:", "both a harmful and a harmless"),
        ("How do I lock a bicycle?", "help me  steal a bicycle.", "an example of 'theft' and of"),
        ("about: Help with stealing.", "about: x, near: y", "only a harmless category"),
    ],
)
def test_mistakes_are_told(tmp_path, old, new, complaint):
    assert old in GOOD
    with pytest.raises(UserError, match=complaint) as caught:
        load_constitution(written(tmp_path, GOOD.replace(old, new)))
    assert "mine.yaml" in str(caught.value)
    assert "\n" not in str(caught.value)
