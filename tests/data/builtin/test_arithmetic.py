"""`arithmetic`: labels right by Python's own sums, and not told by the look of a result."""

import operator
import re
from collections import Counter

import numpy as np
import pytest

from toprope.data import check_no_leak, load, split
from toprope.data.builtin.arithmetic import Sum, carries, steps
from toprope.errors import UserError

OPERATIONS = {"+": operator.add, "-": operator.sub, "*": operator.mul}


@pytest.fixture(scope="module")
def claims():
    return load("arithmetic")


def test_the_labels_are_right(claims):
    for one in claims.examples:
        [(a, operation, b, said)] = re.findall(r"^(\d+) (.) (\d+) = (\d+)\n", one.text)
        assert (OPERATIONS[operation](int(a), int(b)) == int(said)) == bool(one.label)


def test_every_pair_of_operands_is_once_true_and_once_false(claims):
    assert len(claims) == 2_000
    assert claims.labels.mean() == 0.5
    labels = Counter(zip(claims.groups, claims.labels.tolist(), strict=True))
    assert set(labels.values()) == {1}
    assert len(labels) == 2_000


def last_digit(one) -> str:
    return str(one.meta["said"])[-1]


def first_digit_and_length(one) -> tuple[str, int]:
    return str(one.meta["said"])[0], len(str(one.meta["said"]))


@pytest.mark.parametrize("look", [last_digit, first_digit_and_length])
def test_a_baseline_that_sees_only_the_look_of_the_result_is_at_chance(claims, look):
    parts = split(claims, {"train": 0.5, "test": 0.5}, seed=0)
    check_no_leak(parts, claims)
    votes = Counter()
    for i in parts.parts["train"]:
        votes[look(claims.examples[i])] += 1 if claims.labels[i] else -1
    test = parts.parts["test"]
    said = np.array([votes[look(claims.examples[i])] > 0 for i in test])
    true = claims.labels[test].astype(bool)
    balanced = (said[true].mean() + (~said[~true]).mean()) / 2
    # 1,000 items: standard error 0.016.
    assert abs(balanced - 0.5) < 0.05


@pytest.mark.parametrize(
    ("one", "columns", "difficulty"),
    [
        # Worked by hand: 8 + 7 carries; 3 + 4 + 1 doesn't.
        (Sum(37, "+", 48), [0], 3),
        # 9 + 1, then 9 + 0 with the carry, then 9 + 0 with the carry.
        (Sum(999, "+", 101), [0, 1, 2], 6),
        # 0 - 1 borrows, then 0 - 0 - 1 borrows.
        (Sum(500, "-", 101), [0, 1], 5),
        (Sum(88, "-", 20), [], 2),
    ],
)
def test_carries_and_borrows_are_those_of_the_written_method(one, columns, difficulty):
    assert carries(one) == columns
    assert steps(one) == difficulty


def test_difficulty_grows_with_the_work(claims):
    assert steps(Sum(123, "*", 45)) == 12
    difficulties = {one.difficulty for one in claims.examples if one.difficulty is not None}
    assert (min(difficulties), max(difficulties)) == (0, 1)


def test_false_results_are_slips(claims):
    kinds = Counter(one.meta["slip"] for one in claims.examples)
    assert kinds["none"] == 1_000
    assert all(kinds[kind] > 250 for kind in ("carry", "swap", "ten"))
    for one in claims.examples:
        a, b = map(int, re.findall(r"\d+", one.group))
        true, said = OPERATIONS[one.meta["operation"]](a, b), one.meta["said"]
        if one.meta["slip"] == "swap":
            assert sorted(str(true)) == sorted(str(said))
        if one.meta["slip"] == "ten":
            assert abs(true - said) == 10
        if one.meta["slip"] == "carry":
            assert re.fullmatch("10+", str(abs(true - said)))


def test_size_and_seed():
    assert len(load("arithmetic", limit=200)) == 200
    assert load("arithmetic", seed=1).fingerprint != load("arithmetic").fingerprint
    assert load("arithmetic", seed=1).fingerprint == load("arithmetic", seed=1).fingerprint
    with pytest.raises(UserError, match="there can be 2 to 10000"):
        load("arithmetic", limit=10_001)
