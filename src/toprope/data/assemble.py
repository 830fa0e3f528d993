"""Drafts -> a Dataset: groups joined, each text once, classes balanced, limited, checked.

A text that occurs with two labels has no known truth, so all its copies go; a text that occurs
twice with one label is kept once. Both are counted. Texts that differ in letter case or white space
alone count as the same.
"""

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from toprope.data.config import DatasetConfig
from toprope.data.drafts import Draft, Drafts, Input, draft
from toprope.data.examples import Dataset, Example, Provenance
from toprope.data.groups import Joined, near_pairs, same_text
from toprope.data.sampling import evened, limited
from toprope.data.seeding import named_rng
from toprope.errors import UserError

FEWEST = 8
"""A set smaller than this can't be split into the parts that any study needs."""


def assemble(config: DatasetConfig, inputs: Sequence[Input], *, seed: int) -> Dataset:
    """The dataset that a description (with its name settled) makes of the rows of its files.

    Raises:
        UserError: no row is left, or one isn't as described (drafts.draft).
    """
    assert config.name is not None
    drafted = draft(config, inputs, seed=seed)
    if not drafted.drafts:
        raise UserError(
            f"dataset '{config.name}': none of {drafted.rows_read} rows is left: "
            f"{dict(drafted.rows_dropped)}"
        )
    label_names = _label_names(config, inputs, drafted.drafts)
    groups, notes = _groups(drafted, config)
    examples = [
        Example(d.id, d.text, label_names.index(d.label), group, d.difficulty, d.meta)
        for d, group in zip(drafted.drafts, groups, strict=True)
    ]
    provenance = Provenance(
        source=config.source,
        licence=config.licence,
        files={given.name: given.sha256 for given in inputs},
        rows_read=drafted.rows_read,
        rows_dropped=dict(drafted.rows_dropped),
        examples_made=len(examples),
        notes=tuple(notes),
    )
    dropped: Counter[str] = Counter()
    examples = _each_text_once(examples, dropped)
    if config.balance:
        kept = evened(examples, rng=named_rng(seed, config.name, "balance"))
        dropped["balance of the classes"] += len(examples) - len(kept)
        examples = kept
    provenance = replace(provenance, examples_dropped=dict(+dropped))
    answers = config.answers or tuple(f" {label}" for label in label_names)
    return Dataset(config.name, tuple(examples), label_names, answers, provenance)


def take(dataset: Dataset, limit: int | None, *, seed: int) -> Dataset:
    """At most `limit` examples: whole groups, drawn by the seed, with the classes in proportion."""
    if limit is None or limit >= len(dataset):
        return dataset
    if limit < 1:
        raise UserError(f"limit {limit}: give 1 or more")
    kept = limited(dataset.examples, limit, rng=named_rng(seed, dataset.name, "limit"))
    if not kept:
        raise UserError(f"limit {limit}: too small for any whole group of dataset '{dataset.name}'")
    dropped = {
        **dataset.provenance.examples_dropped,
        f"limit of {limit}": len(dataset) - len(kept),
    }
    provenance = replace(dataset.provenance, examples_dropped=dropped)
    return Dataset(dataset.name, tuple(kept), dataset.label_names, dataset.answers, provenance)


def checked(dataset: Dataset) -> Dataset:
    """The same dataset, if a study can use it: enough examples, and some of each class."""
    if len(dataset) < FEWEST:
        raise UserError(
            f"dataset '{dataset.name}': {len(dataset)} examples; at least {FEWEST} are needed"
        )
    counts = np.bincount(dataset.labels, minlength=len(dataset.label_names))
    if (counts == 0).any() or len(counts) < 2:
        has = ", ".join(
            f"{n} {label}" for label, n in zip(dataset.label_names, counts, strict=True)
        )
        raise UserError(f"dataset '{dataset.name}': every class needs examples; it has {has}")
    return dataset


def _label_names(
    config: DatasetConfig, inputs: Sequence[Input], drafts: Sequence[Draft]
) -> tuple[str, ...]:
    """As described, else as the hub has them, else those that occur in order."""
    hub_names = {given.class_names.get(config.label, ()) for given in inputs}
    named = config.all_label_names or (hub_names.pop() if len(hub_names) == 1 else ())
    if named:
        return named
    found = {d.label for d in drafts}
    if all(label.isdecimal() for label in found):
        return tuple(sorted(found, key=int))
    return tuple(sorted(found))


def _groups(drafted: Drafts, config: DatasetConfig) -> tuple[list[str], list[str]]:
    """The group of each draft, named by its first member's key, and notes on what was joined."""
    drafts = drafted.drafts
    joined = Joined(len(drafts))
    joined.join_equal([same_text(d.key) for d in drafts])
    notes = []
    if drafted.without_group:
        notes.append(f"{drafted.without_group} rows name no group: each is its own")
    if config.near:
        near = _join_near(joined, drafts, config)
        notes.append(f"{near} groups joined with another: near-identical rows close together")
    repeated = joined.join_equal([same_text(d.text) for d in drafts])
    if repeated:
        notes.append(f"{repeated} groups joined with another: the same text is in both")
    return [drafts[joined.head(item)].key for item in range(len(drafts))], notes


def _join_near(joined: Joined, drafts: Sequence[Draft], config: DatasetConfig) -> int:
    assert config.near is not None
    # One draft stands for its row: the others of a row, two for a question, have its key.
    by_file: dict[str, dict[str, int]] = defaultdict(dict)
    for item, one in enumerate(drafts):
        by_file[one.file].setdefault(one.where, item)
    joins = 0
    for rows in by_file.values():
        items = list(rows.values())
        texts = [drafts[item].near for item in items]
        pairs = near_pairs(texts, within=config.near.rows, share=config.near.share)
        joins += sum(joined.join(items[i], items[j]) for i, j in pairs)
    return joins


def _each_text_once(examples: Sequence[Example], dropped: Counter[str]) -> list[Example]:
    labels: Mapping[str, set[int]] = defaultdict(set)
    for one in examples:
        labels[same_text(one.text)].add(one.label)
    kept: dict[str, Example] = {}
    for one in examples:
        text = same_text(one.text)
        if len(labels[text]) > 1:
            dropped["the same text with two labels"] += 1
        elif text in kept:
            dropped["repeated text"] += 1
        else:
            kept[text] = one
    return list(kept.values())
