"""The record types: arrays in order, and a fingerprint that changes with whatever is measured."""

import datetime
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest

from toprope.data import Dataset, Example, Provenance

FIRST = Example("a", "one Answer:", 0, "g1", 0.25, {"day": datetime.date(2024, 1, 2)})
SET = Dataset("set", (FIRST, Example("b", "two Answer:", 1, "g2")), ("no", "yes"), (" no", " yes"))


def test_arrays_are_in_the_order_of_the_examples():
    assert len(SET) == 2
    assert SET.labels.dtype == np.int64
    assert SET.labels.tolist() == [0, 1]
    assert SET.texts == ["one Answer:", "two Answer:"]
    assert SET.groups == ["g1", "g2"]


def with_first(**change) -> Dataset:
    return replace(SET, examples=(replace(FIRST, **change), SET.examples[1]))


@pytest.mark.parametrize(
    "other",
    [
        with_first(id="z"),
        with_first(text="one  Answer:"),
        with_first(label=1),
        with_first(group="g2"),
        with_first(difficulty=None),
        with_first(meta={}),
        replace(SET, examples=SET.examples[::-1]),
        replace(SET, name="other"),
        replace(SET, label_names=("yes", "no")),
        replace(SET, answers=("no", "yes")),
    ],
)
def test_the_fingerprint_changes_with_any_part(other):
    assert other.fingerprint != SET.fingerprint


def test_the_fingerprint_is_the_same_in_another_process_and_for_other_provenance():
    code = (
        "from toprope.data import Dataset, Example\n"
        "one = Example('a', 'one', 0, 'g1')\n"
        "two = Example('b', 'two', 1, 'g2', None, {'y': 1, 'x': 2})\n"
        "print(Dataset('set', (one, two), ('no', 'yes'), ('n', 'y')).fingerprint)"
    )
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    ones = (Example("a", "one", 0, "g1"), Example("b", "two", 1, "g2", None, {"x": 2, "y": 1}))
    here = Dataset("set", ones, ("no", "yes"), ("n", "y"), Provenance(source="elsewhere"))
    assert ran.stdout.strip() == here.fingerprint


def test_the_summary_says_where_the_rows_went():
    provenance = Provenance(
        rows_read=1200,
        rows_dropped={"short is not true": 100},
        examples_made=1100,
        examples_dropped={"repeated text": 7},
    )
    assert provenance.summary == (
        "1,200 rows read, 1,093 examples; 100 out: short is not true; 7 out: repeated text"
    )
