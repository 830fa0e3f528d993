"""What the study's processes do: train a judge, train agents, play games (see `workers`).

What is trained is kept in a folder, named by all that decides it; a folder that is complete isn't
made again.
"""

from __future__ import annotations

import json
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from toprope.files import write_text
from toprope.progress import Progress
from toprope.techniques.debate.mnist.agents import Agents, AgentSettings, load_agents
from toprope.techniques.debate.mnist.answers import Answer, answers_of
from toprope.techniques.debate.mnist.boards import boards_of
from toprope.techniques.debate.mnist.data import Digits
from toprope.techniques.debate.mnist.game import Rules, games_of
from toprope.techniques.debate.mnist.judge import JudgeSettings, load_judge
from toprope.techniques.debate.mnist.learning import LearningSettings, train_agents
from toprope.techniques.debate.mnist.playing import Mover, at_random, play, searching
from toprope.techniques.debate.mnist.search import SearchSettings
from toprope.techniques.debate.mnist.training import train_judge

LOSSES = "losses.json"
UNTRAINED, TRAINED = "untrained", "trained"


@dataclass(frozen=True)
class Sides:
    """Digits that judges train on, that are debated, and that agents train on (None: no agents)."""

    training: Digits
    debates: Digits
    lessons: Digits | None


@dataclass(frozen=True)
class TrainJudge:
    """Attributes:
    folder: where the judge is kept.
    """

    settings: JudgeSettings
    folder: Path

    @property
    def is_done(self) -> bool:
        return (self.folder / "judge.json").exists()

    @property
    def size(self) -> float:
        return self.settings.steps

    def do(self, sides: Sides, progress: Progress) -> None:
        train_judge(sides.training, self.settings, progress=progress).save(self.folder)


@dataclass(frozen=True)
class TrainAgents:
    """Attributes:
    folder: for two of them, as they were before training and after, and the losses.
    """

    judge: Path
    rules: tuple[Rules, ...]
    settings: LearningSettings
    folder: Path

    @property
    def is_done(self) -> bool:
        return (self.folder / LOSSES).exists()

    @property
    def size(self) -> float:
        return self.settings.rounds

    @property
    def losses(self) -> list[float]:
        """By round, once it's done."""
        return json.loads((self.folder / LOSSES).read_text(encoding="utf-8"))

    def do(self, sides: Sides, progress: Progress) -> None:
        judge = load_judge(self.judge)
        if sides.lessons is None:
            raise ValueError("agents train on images that there are none of")
        boards = boards_of(sides.lessons, pixels=judge.settings.pixels)
        agents = Agents(AgentSettings(side=boards.side, seed=self.settings.seed))
        agents.save(self.folder / UNTRAINED)
        losses = train_agents(agents, boards, judge, self.rules, self.settings, progress=progress)
        agents.save(self.folder / TRAINED)
        write_text(self.folder / LOSSES, json.dumps(losses) + "\n")


@dataclass(frozen=True)
class PlayGames:
    """All games of some images under some rules, before one judge.

    Attributes:
        images: numbers of debated images.
        by: a search, or the folder of agents; None: random pixels.
    """

    judge: Path
    pixels: int
    images: tuple[int, ...]
    rules: tuple[Rules, ...]
    by: SearchSettings | Path | None
    repeats: int
    seed: int

    @property
    def size(self) -> float:
        games = len(self.images) * games_of(self.rules, self.repeats)
        # All games of an image share the first move's search, and the last move's is quick.
        moves = max(1, self.pixels - 2)
        return games * (moves if isinstance(self.by, SearchSettings) else 0.01)

    def do(self, sides: Sides, progress: Progress) -> list[list[Answer]]:
        """By image and rules."""
        began = time.perf_counter()
        debates = sides.debates.part(np.array(self.images))
        played = play(
            boards_of(debates, pixels=self.pixels),
            load_judge(self.judge),
            self._mover(),
            self.rules,
            repeats=self.repeats,
            seed=self.seed,
            progress=progress,
        )
        return answers_of(played, time.perf_counter() - began)

    def _mover(self) -> Mover:
        if self.by is None:
            return at_random
        if isinstance(self.by, SearchSettings):
            return searching(self.by)
        return load_agents(self.by).move
