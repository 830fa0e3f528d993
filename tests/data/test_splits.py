"""Splits: whole groups, classes in proportion, the same in every process, or else refused."""

import subprocess
import sys

import numpy as np
import pytest

from toprope.data import Dataset, Example, check_no_leak, split
from toprope.data.sampling import quotas
from toprope.data.splits import Split
from toprope.errors import UserError


def dataset(group_sizes: list[int], share: float = 0.5, seed: int = 0, classes: int = 2) -> Dataset:
    rng = np.random.default_rng(seed)
    names = [f"g{g}" for g, size in enumerate(group_sizes) for _ in range(size)]
    labels = rng.permutation(np.arange(len(names)) < share * len(names)).astype(int)
    examples = [
        Example(f"e{i}", f"text {i}", int(label), name)
        for i, (name, label) in enumerate(zip(names, labels, strict=True))
    ]
    label_names = tuple(str(c) for c in range(classes))
    return Dataset("set", tuple(examples), label_names, label_names)


def uneven(n: int, seed: int) -> list[int]:
    """Groups of 1 to 9, most of them small."""
    return np.random.default_rng(seed).geometric(0.4, size=n).clip(1, 9).tolist()


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize(
    "sizes", [{"a": 0.4, "b": 0.4, "test": 0.2}, {"a": 100, "b": 100, "test": 50}, {"a": 0.1}]
)
def test_whole_groups_near_their_sizes_with_classes_in_proportion(sizes, seed):
    data = dataset(uneven(300, seed), share=0.3, seed=seed)
    parts = split(data, sizes, seed=seed)
    check_no_leak(parts, data)
    assert list(parts.parts) == list(sizes)
    for name, size in sizes.items():
        wanted = size if isinstance(size, int) else size * len(data)
        indices = parts.parts[name]
        assert indices.dtype == np.int64
        assert (np.diff(indices) > 0).all()
        assert abs(len(indices) - wanted) <= 3
        assert abs(data.labels[indices].mean() - 0.3) < 0.04


def test_single_items_meet_their_sizes_exactly():
    data = dataset([1] * 101, share=0.4)
    parts = split(data, {"a": 33, "b": 50, "test": 18}, seed=1).parts
    assert {name: len(part) for name, part in parts.items()} == {"a": 33, "b": 50, "test": 18}
    shares = split(data, {"a": 1 / 3, "b": 1 / 3, "c": 1 / 3}, seed=1).parts
    assert sum(len(part) for part in shares.values()) == 101


def test_every_group_is_as_likely_in_every_part():
    # A group of 4 among single items lands in a part of a quarter in about a quarter of the seeds:
    # 100 of 400; the binomial's standard deviation is 8.7, so within 5 of them.
    data = dataset([4] * 5 + [1] * 60)
    hits = sum(0 in split(data, {"a": 0.25, "b": 0.75}, seed=s).parts["a"] for s in range(400))
    assert 57 < hits < 143


def test_a_split_is_settled_by_its_seed_in_every_process():
    data = dataset(uneven(80, 1))
    sizes = {"a": 0.5, "test": 0.5}
    code = (
        "from toprope.data import Dataset, Example, split\n"
        f"ones = {[(e.id, e.text, e.label, e.group) for e in data.examples]!r}\n"
        "data = Dataset('set', tuple(Example(*one) for one in ones), ('0', '1'), ('0', '1'))\n"
        f"print(split(data, {sizes!r}, seed=7).fingerprint)"
    )
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    mine = split(data, sizes, seed=7)
    assert ran.stdout.strip() == mine.fingerprint
    assert split(data, sizes, seed=8).fingerprint != mine.fingerprint
    # Equal parts under other names are another split.
    assert split(data, {"b": 0.5, "test": 0.5}, seed=7).fingerprint != mine.fingerprint


@pytest.mark.parametrize(
    ("groups", "sizes", "message"),
    [
        ([90] + [1] * 10, {"a": 0.5, "b": 0.5}, r"was to have 50 .* the largest 'g0' with 90"),
        ([50, 50], {"a": 0.4, "b": 0.4, "c": 0.2}, r"would be empty.*100 examples in 2 groups"),
        ([1] * 20, {"a": 21}, r"ask for 21 examples of 20"),
        ([1] * 20, {"a": 0.6, "b": 0.6}, r"ask for 24 examples of 20"),
        ([1] * 20, {"a": 0}, r"part 'a': size 0"),
        ([1] * 20, {"a": 1.5}, r"part 'a': size 1.5"),
        ([1] * 20, {}, r"ask for 0 examples"),
    ],
)
def test_a_split_that_cannot_be_had_is_refused(groups, sizes, message):
    with pytest.raises(UserError, match=message):
        split(dataset(groups), sizes, seed=0)


def test_a_part_without_a_class_is_refused():
    data = dataset([1] * 40, share=0.05)  # two of label 1, for three parts
    with pytest.raises(UserError, match=r"part '.' of 'set' would have no example of class '1'"):
        split(data, {"a": 0.4, "b": 0.3, "c": 0.3}, seed=0)


def test_a_leak_is_found():
    data = dataset([2, 2, 2, 2])
    whole = np.arange(8)
    for left, right, kind in (
        (whole[:3], whole[3:], "group 'g1'"),
        (whole[:5], whole[4:], "example 'e4'"),
    ):
        with pytest.raises(UserError, match=kind):
            check_no_leak(Split({"a": left, "b": right}, ""), data)
    twin = Dataset(
        "set",
        (*data.examples[:7], Example("e7", "TEXT  0", 1, "other")),
        data.label_names,
        data.answers,
    )
    with pytest.raises(UserError, match=r"the text 'text 0' is in both 'a' and 'b'"):
        check_no_leak(Split({"a": whole[:2], "b": whole[6:]}, ""), twin)


@pytest.mark.parametrize("seed", range(20))
def test_quotas_meet_rows_and_columns_within_a_rounding(seed):
    rng = np.random.default_rng(seed)
    class_counts = rng.integers(1, 40, size=rng.integers(2, 5))
    total = int(class_counts.sum())
    cut = sorted(rng.integers(0, total + 1, size=2).tolist())
    sizes = [cut[0], cut[1] - cut[0], total - cut[1]]
    result = quotas(sizes, class_counts)
    assert result.sum(axis=1).tolist() == sizes
    assert result.sum(axis=0).tolist() == class_counts.tolist()
    assert (abs(result - np.outer(sizes, class_counts) / total) < 2).all()
    assert (result >= 0).all()
