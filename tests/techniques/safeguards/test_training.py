"""Training: what is left out, what counts, and the thresholds that come of it."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from toprope.errors import UserError
from toprope.lab import Lab
from toprope.techniques.safeguards import training
from toprope.techniques.safeguards.folds import by_source
from toprope.techniques.safeguards.reading import Reader
from toprope.techniques.safeguards.streaming import fit_projected
from toprope.techniques.safeguards.trainer import Trainer
from toprope.techniques.safeguards.training import area, balanced, guards, train

from .conftest import LAYERS, exchange

ONE = (3.0,)


def generator(*_: object) -> np.random.Generator:
    return np.random.default_rng(0)


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
    found = by_source(exchanges, labels_N)
    assert set(found) == {"bad", "worse", "good", "better"}
    assert (np.sum(list(found.values()), axis=0) == 1).all()


def test_a_source_that_alone_holds_a_side_is_left_out_in_parts_its_groups_whole():
    exchanges = [one for one in sources() if one.origin != "worse"]
    exchanges += [exchange("again", 1.0, origin="bad", group="bad0")]
    labels_N = np.array([one.label for one in exchanges])
    found = by_source(exchanges, labels_N)
    parts = [mask for name, mask in found.items() if name.startswith("bad, part")]
    assert len(parts) > 1
    assert (np.sum(list(found.values()), axis=0) == 1).all()
    first, last = 0, len(exchanges) - 1
    assert all(mask[first] == mask[last] for mask in parts)


def test_a_declined_attack_is_no_harmless_request_to_learn_from():
    declined = some(GOOD, 0.0, "worse")  # harmful requests, refused
    exchanges = [*some(BAD, 1.0, "bad"), *declined, *some(GOOD, 0.0, "good", harmless=True)]
    found = by_source(exchanges, np.array([one.label for one in exchanges]))
    assert not found.keys() & {"good", "bad"}  # in parts: each alone holds a side
    assert "worse" in found


def test_the_half_of_a_pair_that_is_of_another_source_isnt_learned_from_either(monkeypatch, tiny):
    bad = [replace(one, group=f"pair{i}") for i, one in enumerate(some(BAD, 1.0, "bad"))]
    good = some(GOOD, 0.0, "good", harmless=True)
    good = [replace(one, group=f"pair{i}") for i, one in enumerate(good)]
    exchanges = [*bad, *good, *some(BAD, 1.0, "worse"), *some(GOOD, 0.0, "better", harmless=True)]
    learned = []

    def spy(projection, z_NTK, labels_N, **rest):
        learned.append(len(labels_N))
        return fit_projected(projection, z_NTK, labels_N, **rest)

    monkeypatch.setattr(training, "fit_projected", spy)
    reader = Reader(tiny, LAYERS)
    train("probe", reader, reader.read(exchanges), exchanges, rng=generator, strengths=ONE)
    # Without bad or good: the 24 of the other two sources; without one of those: the other 36.
    assert sorted(learned[:4]) == [24, 24, 36, 36]
    assert learned[-1] == 48


def test_thresholds_are_set_on_harmless_requests_as_they_are_asked(tiny):
    framed = some(BAD, 0.0, "framed", harmless=True, family="fiction")
    exchanges = [*sources(), *framed]
    reader = Reader(tiny, LAYERS)
    readings = reader.read(exchanges)
    one = train("probe", reader, readings, exchanges, rng=generator, strengths=ONE)
    traffic_N = np.array([x.harmless and x.family == "" for x in exchanges])
    assert 0 < traffic_N.sum() < sum(x.harmless for x in exchanges)
    for budget in (0.1, 0.5):
        made = guards({"probe": one}, exchanges, target="t", budget=budget)["probe"]
        stopped_N = one.held_out_N >= made.about.stages[0].threshold
        most = int(budget * traffic_N.sum())
        # No threshold that stops more keeps to the budget: those with the same score go together.
        scores_T = one.held_out_N[traffic_N]
        next_T = scores_T >= scores_T[~stopped_N[traffic_N]].max()
        assert stopped_N[traffic_N].sum() <= most < next_T.sum()


def test_what_a_declined_attack_says_is_learned_from_by_nobody_who_reads_answers(tiny):
    declined = [*some(GOOD, 0.0, "bad"), *some(GOOD, 0.3, "worse")]
    reader = Reader(tiny, LAYERS)
    heads = []
    for exchanges in (sources(), [*sources(), *declined]):
        one = train(
            "probe", reader, reader.read(exchanges), exchanges, rng=generator, strengths=ONE
        )
        heads.append(one.head)
    x_TF = reader.read(sources()[:1])[0].x_TF
    # The features' scale is found from all of them.
    assert heads[1].highest(x_TF) == pytest.approx(heads[0].highest(x_TF), abs=0.05)


def test_one_side_alone_is_nothing_to_learn_from():
    exchanges = some(GOOD, 0.0, "good")
    with pytest.raises(UserError, match="0 of 12 exchanges are harmful"):
        by_source(exchanges, np.zeros(12))


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
