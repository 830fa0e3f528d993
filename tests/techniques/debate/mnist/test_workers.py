"""Processes that do jobs: all of them, whatever happens to one, and never without a word."""

import multiprocessing
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from toprope.errors import UserError
from toprope.techniques.debate.mnist.data import Digits
from toprope.techniques.debate.mnist.game import Rules
from toprope.techniques.debate.mnist.jobs import PlayGames, Sides, TrainJudge
from toprope.techniques.debate.mnist.judge import JudgeSettings, load_judge
from toprope.techniques.debate.mnist.workers import Crew, cores


class _Told:
    """A task that notes how far it got, and does something at each step."""

    def __init__(self, then: Callable[[], None] = lambda: None) -> None:
        self.done, self.then = 0.0, then

    def advance(self, amount: float = 1) -> None:
        self.done += amount
        self.then()


def _judges(folder: Path, number: int, steps: int = 100) -> list[TrainJudge]:
    settings = JudgeSettings(kind="mlp", side=12, pixels=4, widths=(0, 8, 8), steps=steps)
    return [
        TrainJudge(settings.model_copy(update={"seed": seed}), folder / str(seed))
        for seed in range(number)
    ]


def test_every_job_is_done_once_and_alike_in_this_process_and_in_others(
    tmp_path: Path, banded: Digits
) -> None:
    for processes in (1, 2):
        jobs = _judges(tmp_path / str(processes), 5)
        task = _Told()
        with Crew(Sides(banded, banded, None), processes) as crew:
            # The second list finds the processes that the first one started.
            ends = [[n for n, _ in crew.results(part, task)] for part in (jobs[:3], jobs[3:])]

        assert [sorted(part) for part in ends] == [[0, 1, 2], [0, 1]]
        assert task.done == pytest.approx(sum(job.size for job in jobs))
    assert not multiprocessing.active_children()
    for seed in range(5):
        here, there = (
            load_judge(tmp_path / str(processes) / str(seed)).state_dict() for processes in (1, 2)
        )
        assert all(torch.equal(here[name], there[name]) for name in here)


def test_a_job_in_this_process_runs_on_one_thread_and_gives_the_others_back(
    tmp_path: Path, banded: Digits
) -> None:
    torch.set_num_threads(2)
    seen = []
    task = _Told(lambda: seen.append(torch.get_num_threads()))
    try:
        with Crew(Sides(banded, banded, None), 1) as crew:
            list(crew.results(_judges(tmp_path, 1), task))
        assert set(seen) == {1}
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(1)


def test_a_users_mistake_in_a_job_comes_out_as_it_is(tmp_path: Path, banded: Digits) -> None:
    job = PlayGames(tmp_path / "nobody", 4, (0, 1), (Rules(),), None, 1, 0)

    with (
        Crew(Sides(banded, banded, None), 2) as crew,
        pytest.raises(UserError, match=r"no judge in .*judge\.json is missing") as caught,
    ):
        list(crew.results([job, job], _Told()))

    assert "\n" not in str(caught.value)
    assert any("in a process of its own" in note for note in caught.value.__notes__)
    assert not multiprocessing.active_children()


def test_a_process_that_is_killed_ends_the_work_with_a_word(tmp_path: Path, banded: Digits) -> None:
    def kill() -> None:
        for process in multiprocessing.active_children():
            process.kill()

    with (
        Crew(Sides(banded, banded, None), 2) as crew,
        pytest.raises(UserError, match=r"processes ended \(exit status -9\).*fewer processes"),
    ):
        list(crew.results(_judges(tmp_path, 2, steps=10_000_000), _Told(kill)))

    assert not multiprocessing.active_children()


def test_there_is_a_core() -> None:
    assert cores() >= 1
