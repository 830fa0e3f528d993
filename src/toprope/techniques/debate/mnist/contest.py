"""The whole of a sparse MNIST study, but for its measures: judges, agents and every game.

What is finished is never done again: judges and agents are in folders of their own, games in the
journal, each under all that decides it. So a study that was killed goes on, and one with more
judges, rules or pixels takes over what it shares with an earlier one.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from toprope.journal import Journal, key_of
from toprope.progress import Progress
from toprope.study import code_version
from toprope.techniques.debate.mnist.answers import Answer, put_together
from toprope.techniques.debate.mnist.arms import Player
from toprope.techniques.debate.mnist.boards import Boards, boards_of
from toprope.techniques.debate.mnist.game import Rules
from toprope.techniques.debate.mnist.jobs import (
    TRAINED,
    UNTRAINED,
    Sides,
    TrainAgents,
    TrainJudge,
)
from toprope.techniques.debate.mnist.judge import JudgeSettings
from toprope.techniques.debate.mnist.learning import LearningSettings
from toprope.techniques.debate.mnist.playing import Played
from toprope.techniques.debate.mnist.search import SearchSettings
from toprope.techniques.debate.mnist.series import Series
from toprope.techniques.debate.mnist.workers import Crew

PLAYED_BY = (
    "agents.py",
    "boards.py",
    "game.py",
    "judge.py",
    "last_move.py",
    "learning.py",
    "nodes.py",
    "ordering.py",
    "playing.py",
    "scoring.py",
    "search.py",
    "training.py",
    "tree.py",
)
"""What judges, agents and games come from, beside their settings."""

RANDOM = (Rules(precommit=False),)
"""Of games on random pixels: the truth wins where the judge thinks it likeliest."""


@dataclass(frozen=True)
class Plan:
    """What is to be played.

    Attributes:
        judges: for each number of pixels, one for each seed.
        repeats: games of each lie; the agents, who draw nothing, play one.
        random_sets: of random pixels, for each image and judge.
        agents: how they learn; None: no agents.
    """

    judges: dict[int, list[JudgeSettings]]
    rules: tuple[Rules, ...]
    search: SearchSettings
    repeats: int
    random_sets: int
    agents: LearningSettings | None


@dataclass
class Outcome:
    """Everything that was played.

    Attributes:
        played: by pixels and player, the games before each judge.
        seconds: of one core, by pixels, player and number of the rules.
        judges, agents: by pixels, in the order of the judges' seeds.
    """

    played: dict[tuple[int, Player], list[Played]] = field(default_factory=dict)
    seconds: dict[tuple[int, Player, int], float] = field(default_factory=dict)
    judges: dict[int, list[TrainJudge]] = field(default_factory=dict)
    agents: dict[int, list[TrainAgents]] = field(default_factory=dict)


class Contest:
    """
    Args:
        folder: for networks.
        crew: whose processes share the sides' digits.
    """

    def __init__(
        self, plan: Plan, crew: Crew[Sides], journal: Journal, folder: Path, progress: Progress
    ) -> None:
        self.plan, self.crew, self.sides = plan, crew, crew.shared
        self.journal, self.folder, self.progress = journal, folder, progress

    def play(self) -> Outcome:
        """
        Raises:
            UserError: an image with too few pixels, or a process that was killed.
        """
        outcome = Outcome()
        boards = {k: boards_of(self.sides.debates, pixels=k) for k in self.plan.judges}
        outcome.judges = {
            k: [self._judge(one) for one in judges] for k, judges in self.plan.judges.items()
        }
        self._train([job for jobs in outcome.judges.values() for job in jobs], "judges' training")
        if self.plan.agents:
            outcome.agents = {
                k: [self._agents(one) for one in judges] for k, judges in outcome.judges.items()
            }
            jobs = [job for jobs in outcome.agents.values() for job in jobs]
            self._train(jobs, "agents' self-play")
        series = [
            one
            for k in self.plan.judges
            for n, judge in enumerate(outcome.judges[k])
            for one in self._series(judge, outcome.agents[k][n] if outcome.agents else None)
        ]
        self._play(series, boards)
        for one in series:
            self._collect(one, boards[one.pixels], outcome)
        return outcome

    # --- networks ---

    def _judge(self, settings: JudgeSettings) -> TrainJudge:
        about = settings.model_dump(mode="json")
        key = key_of(about, self.sides.training.fingerprint, version())
        return TrainJudge(settings, self.folder / "judges" / key[:16])

    def _agents(self, judge: TrainJudge) -> TrainAgents:
        assert self.plan.agents is not None
        assert self.sides.lessons is not None
        settings = self.plan.agents.model_copy(update={"seed": judge.settings.seed})
        rules = [one.model_dump() for one in self.plan.rules]
        about = [settings.model_dump(mode="json"), rules, judge.folder.name]
        key = key_of(*about, self.sides.lessons.fingerprint, version())
        folder = self.folder / "agents" / key[:16]
        return TrainAgents(judge.folder, self.plan.rules, settings, folder)

    def _train(self, jobs: Sequence[TrainJudge] | Sequence[TrainAgents], what: str) -> None:
        left = [job for job in jobs if not job.is_done]
        if not left:
            return
        with self.progress.task(what, sum(job.size for job in left)) as task:
            for _ in self.crew.results(left, task):
                pass

    # --- games ---

    def _series(self, judge: TrainJudge, agents: TrainAgents | None) -> list[Series]:
        plan, seed = self.plan, judge.settings.seed
        found = [
            Series(judge, "random", None, RANDOM, plan.random_sets, seed),
            Series(judge, "search", plan.search, plan.rules, plan.repeats, seed),
        ]
        if agents:
            found += [
                Series(judge, "untrained_agents", agents.folder / UNTRAINED, plan.rules, 1, seed),
                Series(judge, "agents", agents.folder / TRAINED, plan.rules, 1, seed),
            ]
        return found

    def _play(self, series: Sequence[Series], boards: dict[int, Boards]) -> None:
        """Plays the games that the journal hasn't, and keeps them there."""
        jobs = [(one, job) for one in series for job in one.jobs(boards[one.pixels], self.journal)]
        if not jobs:
            return
        with self.progress.task("games", sum(job.size for _, job in jobs)) as task:
            for number, answers in self.crew.results([job for _, job in jobs], task):
                one, job = jobs[number]
                for image, of_image in zip(job.images, answers, strict=True):
                    for rules, answer in zip(job.rules, of_image, strict=True):
                        self.journal.put(one.key(boards[one.pixels], image, rules), answer)

    def _collect(self, one: Series, boards: Boards, outcome: Outcome) -> None:
        answers: list[list[Answer]] = [
            [self.journal.get(one.key(boards, image, rules)) for rules in one.rules]
            for image in range(len(boards))
        ]
        played = put_together(
            answers, boards, one.rules, pixels=one.pixels, repeats=one.repeats, seed=one.seed
        )
        outcome.played.setdefault((one.pixels, one.by), []).append(played)
        for number in range(len(one.rules)):
            took = sum(of_image[number]["seconds"] for of_image in answers)
            place = (one.pixels, one.by, number)
            outcome.seconds[place] = outcome.seconds.get(place, 0.0) + took


def version() -> str:
    """The release, and a hash of what judges, agents and games come from."""
    return code_version("toprope.techniques.debate.mnist", PLAYED_BY)
