"""Training: what is left out, what counts, and the thresholds that come of it."""

from pathlib import Path

import numpy as np
import pytest

from toprope.errors import UserError
from toprope.lab import Lab
from toprope.techniques.safeguards.reading import Reader
from toprope.techniques.safeguards.trainer import Trainer
from toprope.techniques.safeguards.training import area, balanced, folds

from .conftest import LAYERS, exchange

ONE = (3.0,)
BAD, GOOD = ["rope", "climber", "stronger", "safe"], ["town", "Paris", "weaker", "no"]


def some(words, label: float, origin: str, n: int = 12, **more) -> list:
    rng = np.random.default_rng(len(origin))
    return [
        exchange(" ".join(rng.choice(words, 6)), label, origin=origin, group=f"{origin}{i}", **more)
        for i in range(n)
    ]


def sources() -> list:
    return [
        *some(BAD, 1.0, "bad"),
        *some(BAD, 0.9, "worse"),
        *some(GOOD, 0.0, "good", harmless=True),
        *some(GOOD, 0.0, "better", harmless=True),
    ]


def test_each_source_is_left_out_whole():
    exchanges = sources()
    labels_N = np.array([one.label for one in exchanges])
    found = folds(exchanges, labels_N)
    assert set(found) == {"bad", "worse", "good", "better"}
    assert (np.sum(list(found.values()), axis=0) == 1).all()


def test_a_source_that_alone_holds_a_side_is_left_out_in_parts_its_groups_whole():
    exchanges = [one for one in sources() if one.origin != "worse"]
    exchanges += [exchange("again", 1.0, origin="bad", group="bad0")]
    labels_N = np.array([one.label for one in exchanges])
    found = folds(exchanges, labels_N)
    parts = [mask for name, mask in found.items() if name.startswith("bad, part")]
    assert len(parts) > 1
    assert (np.sum(list(found.values()), axis=0) == 1).all()
    first, last = 0, len(exchanges) - 1
    assert all(mask[first] == mask[last] for mask in parts)


def test_one_side_alone_is_nothing_to_learn_from():
    exchanges = some(GOOD, 0.0, "good")
    with pytest.raises(UserError, match="0 of 12 exchanges are harmful"):
        folds(exchanges, np.zeros(12))


def test_both_sides_and_the_sources_within_them_count_alike():
    exchanges = [
        *some(BAD, 1.0, "bad", 3),
        *some(BAD, 1.0, "worse", 9),
        *some(GOOD, 0.0, "good", 2),
    ]
    labels_N = np.array([one.label for one in exchanges])
    weights_N = balanced(exchanges, labels_N)
    of = {
        name: weights_N[[one.origin == name for one in exchanges]].sum()
        for name in ("bad", "worse", "good")
    }
    assert of["bad"] == pytest.approx(of["worse"])
    assert of["good"] == pytest.approx(of["bad"] + of["worse"])


def test_the_area_is_that_of_the_curve():
    labels_N = np.array([1.0, 1.0, 0.0, 0.0])
    assert area(np.array([4.0, 3, 2, 1]), labels_N) == 1
    assert area(np.array([1.0, 1, 1, 1]), labels_N) == 0.5
    assert area(np.array([3.0, 1, 2, 0]), labels_N) == 0.75
    assert area(np.array([1.0, 2]), np.ones(2)) == 0.5


def test_guards_of_every_kind_stop_harm_and_spare_harmless_exchanges(tiny, tmp_path: Path):
    readers = {
        "input": Reader(tiny, LAYERS, "prompt"),
        "probe": Reader(tiny, LAYERS),
        "tokens": Reader(tiny, (0,)),
        "external": Reader(tiny, (3,)),
    }
    trainer = Trainer(Lab(tmp_path), tiny.name, readers, budget=0.05, escalation=0.5, strengths=ONE)
    made = trainer.train(sources())
    assert set(made) == {*readers, "cascade", "outside"}
    assert [stage.name for stage in made["cascade"].about.stages] == ["probe", "external"]
    probe = trainer.classifiers["probe"]
    labels_N = np.array([one.label for one in sources()])
    assert area(probe.left_out_N, labels_N) > 0.9
    models = trainer.models
    for kind in ("probe", "cascade"):
        guard = made[kind]

        def stopped(words, origin, guard=guard):
            rows = some(words, 0.0, origin)
            readings = [reader.read(rows) for reader in guard.readers(models)]
            return np.mean([guard.stop(each) is not None for each in zip(*readings, strict=True)])

        assert stopped(GOOD, "unseen") <= 0.1
        assert stopped(BAD, "unseen too") >= 0.8
    # All prompts are the same: what reads those alone can't tell them.
    input_ = trainer.classifiers["input"]
    assert area(input_.left_out_N, labels_N) == pytest.approx(0.5, abs=0.35)


def test_what_was_read_before_isnt_read_again(tiny, tmp_path: Path):
    trainer = Trainer(Lab(tmp_path), tiny.name, {"probe": Reader(tiny, (3,))}, 0.05, strengths=ONE)
    trainer.train(sources())
    before = tiny.tokens_read
    trainer.train([*sources(), exchange("rope", 1.0, origin="bad", group="new")])
    assert 0 < tiny.tokens_read - before < 40


def test_a_budget_that_too_few_exchanges_can_show_says_what_they_can(tiny, tmp_path: Path):
    trainer = Trainer(Lab(tmp_path), tiny.name, {"probe": Reader(tiny, (3,))}, 0.001, strengths=ONE)
    with pytest.raises(UserError, match=r"24 harmless exchanges: 4\.17% is the least"):
        trainer.train(sources())
