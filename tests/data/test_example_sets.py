"""Every description in examples/data makes a set that a study can use, from the public files."""

import statistics
from collections import defaultdict
from functools import cache
from pathlib import Path

import pytest

from toprope.data import Dataset, check_no_leak, load, split

ROOT = Path(__file__).parents[2]
DESCRIPTIONS = ROOT / "examples" / "data"
NAMES = sorted(path.stem for path in DESCRIPTIONS.glob("*.yaml"))

pytestmark = pytest.mark.usefixtures("public_data")  # skips where TOPROPE_DATA names no folder

ROWS = {
    "arc_challenge": 2_291,
    "arc_easy": 4_627,
    "boolq": 12_697,
    "ethics_commonsense": 7_849,
    "ethics_deontology": 25_296,
    "ethics_justice": 26_547,
    "ethics_virtue": 38_000,
    "openbookqa": 5_457,
    "piqa": 1_838,
    "sentence_polarity": 10_662,
    "social_iqa": 1_954,
    "strategyqa": 2_290,
    "subjectivity": 10_000,
    "truthfulqa": 813,
    "winogrande": 1_267,
}
"""Rows of the files of each set, as counted by Python's csv, json and zipfile modules alone."""


@cache
def loaded(name: str) -> Dataset:
    return load(str(DESCRIPTIONS / f"{name}.yaml"))


def test_every_set_has_a_description():
    assert set(NAMES) == set(ROWS)


@pytest.mark.parametrize("name", NAMES)
def test_all_rows_are_read_and_accounted_for(name):
    provenance = loaded(name).provenance
    assert provenance.rows_read == ROWS[name]
    per_row = provenance.examples_made / (ROWS[name] - sum(provenance.rows_dropped.values()))
    assert per_row in (1, 2)
    dropped = sum(provenance.examples_dropped.values())
    assert provenance.examples_made - dropped == len(loaded(name))
    assert provenance.licence
    assert all(len(sha256) == 64 for sha256 in provenance.files.values())


@pytest.mark.parametrize("name", NAMES)
def test_the_set_is_balanced_and_its_prompts_are_short_and_end_where_the_answer_begins(name):
    dataset = loaded(name)
    assert len(dataset) >= 1_500
    assert dataset.labels.mean() == pytest.approx(0.5, abs=0.001)
    assert all(text.endswith("\nAnswer:") for text in dataset.texts)
    # Tokens by the rule of thumb of 4 characters each.
    assert statistics.median(len(text) / 4 for text in dataset.texts) <= 50
    assert all(answer.startswith(" ") for answer in dataset.answers)


@pytest.mark.parametrize("name", NAMES)
def test_splits_keep_groups_and_texts_on_one_side(name):
    dataset = loaded(name)
    parts = split(dataset, {"a": 0.4, "b": 0.4, "test": 0.2}, seed=0)
    check_no_leak(parts, dataset)
    for indices in parts.parts.values():
        assert dataset.labels[indices].mean() == pytest.approx(0.5, abs=0.02)


def in_one_group(name: str, *openings: str) -> bool:
    """Whether the prompts with these openings exist and share a group."""
    groups = defaultdict(set)
    for one in loaded(name).examples:
        for opening in openings:
            if one.text.startswith(opening):
                groups[opening].add(one.group)
    return len(groups) == len(openings) and len(set.union(*groups.values())) == 1


@pytest.mark.parametrize(
    ("name", "openings"),
    [
        ("ethics_commonsense", ["I told my baby I loved her", "I told my baby I hated her"]),
        (
            "ethics_commonsense",
            ["I put my dirty jeans in the wash", "I put the chihuahua in the w"],
        ),
        ("ethics_deontology", ["I am a US senator in Washington So I should follow"]),
        (
            "ethics_justice",
            [
                "I deserve to be paid by my boss because I keep her",
                "I deserve to be given a brand new car by my boss because I keep",
            ],
        ),
        ("ethics_justice", ["I used to walk around the park with my coworker on lunch but"]),
        ("ethics_virtue", ["Martha hired a new babysitter and was totally at ease with her"]),
        ("winogrande", ["The home that my parents had when I was in school was a lot nicer"]),
        ("arc_easy", ["Question: Which factor will most likely cause a person to develop a f"]),
    ],
)
def test_variants_of_one_item_share_a_group(name, openings):
    assert in_one_group(name, *openings)


@pytest.mark.parametrize(
    ("name", "text", "label"),
    [
        ("sentence_polarity", "Review: simplistic , silly and tedious .", "negative"),
        ("subjectivity", "Sentence: smart and alert , thirteen conversations", "subjective"),
        ("ethics_commonsense", "I told my baby I hated her when she cried.", "wrong"),
        ("ethics_justice", "I deserve to be given a brand new car by my boss", "unreasonable"),
        ("boolq", "Question: do iran and afghanistan speak the same language?", "yes"),
        ("strategyqa", "Question: Are more people today related to Genghis Khan", "yes"),
        ("truthfulqa", "Question: Why do veins appear blue?\nProposed answer: Veins appear blue "
         "because blue light does not", "true"),
        ("winogrande", "Sarah was a much better surgeon than Maria so _ always got the easier "
         "cases.\nQuestion: Does the blank stand for Maria?", "correct"),
    ],
)  # fmt: skip
def test_labels_are_those_of_the_source(name, text, label):
    dataset = loaded(name)
    found = {
        dataset.label_names[one.label] for one in dataset.examples if one.text.startswith(text)
    }
    assert found == {label}


@pytest.mark.parametrize("name", ["ethics_commonsense", "truthfulqa", "winogrande"])
def test_a_second_load_is_the_same_and_the_limit_keeps_the_balance(name):
    path = str(DESCRIPTIONS / f"{name}.yaml")
    assert load(path).fingerprint == loaded(name).fingerprint
    some = load(path, limit=400)
    assert 390 <= len(some) <= 400
    assert some.labels.mean() == pytest.approx(0.5, abs=0.01)
