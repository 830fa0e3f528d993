"""Rows as a set: joined groups, repeated and contradictory texts, balance, limit; all counted."""

from collections import Counter

import numpy as np
import pytest

from toprope.data.assemble import assemble, take
from toprope.data.config import DatasetConfig
from toprope.data.drafts import Input
from toprope.data.rows import Row
from toprope.errors import UserError


def build(rows: list[tuple[str, str, str]], *, seed: int = 0, **fields):
    """A dataset of (text, label, group) rows."""
    given = [
        Row("f", i, "line", {"text": text, "label": label, "group": group})
        for i, (text, label, group) in enumerate(rows, start=1)
    ]
    config = DatasetConfig.model_validate(
        {"name": "set", "files": ["f"], "label_names": ["no", "yes"], "group": "group", **fields}
    )
    return assemble(config, [Input("f", "", given)], seed=seed)


def accounted(dataset) -> bool:
    provenance = dataset.provenance
    kept = provenance.examples_made - sum(provenance.examples_dropped.values())
    return kept == len(dataset)


FILLER = [(f"filler {i}", "no" if i % 2 else "yes", f"f{i}") for i in range(10)]


def test_a_text_in_two_groups_makes_them_one():
    rows = [("same", "no", "a"), ("a2", "yes", "a"), ("Same ", "no", "b"), ("b2", "yes", "b")]
    dataset = build(rows + FILLER)
    groups = {one.text: one.group for one in dataset.examples}
    assert groups["same"] == groups["a2"] == groups["b2"] == "a"
    assert dataset.provenance.notes == ("1 groups joined with another: the same text is in both",)
    assert dataset.provenance.examples_dropped == {"repeated text": 1}
    assert accounted(dataset)


def test_a_text_with_two_labels_goes_in_all_its_copies():
    rows = [("both", "no", "a"), ("both", "yes", "b"), ("BOTH", "no", "c")]
    dataset = build(rows + FILLER)
    assert "both" not in {text.casefold() for text in dataset.texts}
    assert dataset.provenance.examples_dropped == {"the same text with two labels": 3}
    assert accounted(dataset)


def test_group_keys_that_differ_in_case_or_space_are_one():
    dataset = build([("x", "no", "Topic one"), ("y", "yes", "topic  ONE"), *FILLER])
    assert dataset.groups[:2] == ["Topic one", "Topic one"]


def test_rows_without_a_group_are_their_own_and_said():
    dataset = build([("x", "no", ""), ("y", "yes", " "), *FILLER])
    assert len(set(dataset.groups)) == 12
    assert dataset.provenance.notes == ("2 rows name no group: each is its own",)


def test_near_identical_neighbours_are_one_group():
    rows = [
        ("I gave my dog a warm bath", "yes", ""),
        ("I gave my dog a cold bath", "no", ""),  # six of eight words shared: Jaccard 0.75
        ("we went home", "no", ""),
        ("I gave my dog a bath", "yes", ""),  # near the first, but three rows away
        *FILLER,
    ]
    near = {"column": "text", "rows": 1, "share": 0.75}
    groups = build(rows, near=near).groups
    assert groups[0] == groups[1]
    assert len(set(groups)) == len(rows) - 1
    apart = build(rows, near={**near, "rows": 2}).groups
    assert apart[0] == apart[1] == apart[3] != apart[2]


def scenarios(n: int, right: int, wrong: int) -> list[tuple[str, str, str]]:
    labels = ["yes"] * right + ["no"] * wrong
    return [(f"{s} {i}", label, f"s{s}") for s in range(n) for i, label in enumerate(labels)]


def test_balance_evens_within_each_group():
    dataset = build(scenarios(20, 1, 4), balance=True)
    assert np.bincount(dataset.labels).tolist() == [20, 20]
    per_group = Counter(zip(dataset.groups, dataset.labels.tolist(), strict=True))
    assert set(per_group.values()) == {1}
    assert dataset.provenance.examples_dropped == {"balance of the classes": 60}
    assert accounted(dataset)
    # The seed draws which wrong one stays.
    kept = {tuple(build(scenarios(20, 1, 4), balance=True, seed=s).texts) for s in (0, 0, 1)}
    assert len(kept) == 2


def test_balance_reaches_equal_classes_where_groups_cannot():
    dataset = build(scenarios(3, 4, 1) + FILLER[:9], balance=True)
    assert np.bincount(dataset.labels).tolist() == [7, 7]


def test_a_limit_takes_whole_groups_and_keeps_the_share_of_classes():
    dataset = build(scenarios(100, 1, 3))
    taken = take(dataset, 81, seed=0)
    assert len(taken) == 80
    assert set(Counter(taken.groups).values()) == {4}
    assert np.bincount(taken.labels).tolist() == [60, 20]
    assert taken.provenance.examples_dropped == {"limit of 81": 320}
    assert accounted(taken)
    assert take(dataset, 81, seed=0).fingerprint == taken.fingerprint
    assert take(dataset, 81, seed=1).fingerprint != taken.fingerprint
    assert take(dataset, 400, seed=0) is dataset
    assert [one for one in dataset.examples if one in taken.examples] == list(taken.examples)


def test_a_limit_keeps_the_share_of_classes_where_each_group_has_one():
    rows = [(f"{i}", "yes" if i % 5 == 0 else "no", "") for i in range(500)]
    for seed in range(5):
        assert np.bincount(take(build(rows), 50, seed=seed).labels).tolist() == [40, 10]


def test_a_limit_below_any_group_is_an_error():
    dataset = build(scenarios(10, 2, 2))
    with pytest.raises(UserError, match="limit 3: too small for any whole group"):
        take(dataset, 3, seed=0)
    with pytest.raises(UserError, match="limit 0: give 1 or more"):
        take(dataset, 0, seed=0)
