"""Games of a study that are alike but for the image, and which of them are still to be played."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from toprope.journal import Journal, key_of
from toprope.techniques.debate.mnist.arms import Player
from toprope.techniques.debate.mnist.boards import Boards
from toprope.techniques.debate.mnist.game import Rules, games_of
from toprope.techniques.debate.mnist.jobs import PlayGames, TrainJudge
from toprope.techniques.debate.mnist.playing import GAMES_AT_ONCE
from toprope.techniques.debate.mnist.search import SearchSettings

_SLOW_GAMES_AT_ONCE = 64
"""Before a judge that takes longer than the search: a job is to end in minutes."""


@dataclass(frozen=True)
class Series:
    """The games on all images before one judge, by one kind of players.

    Attributes:
        moves: see `jobs.PlayGames.by`.
    """

    judge: TrainJudge
    by: Player
    moves: SearchSettings | Path | None
    rules: tuple[Rules, ...]
    repeats: int
    seed: int

    @property
    def pixels(self) -> int:
        return self.judge.settings.pixels

    def key(self, boards: Boards, image: int, rules: Rules) -> str:
        """That of the games of an image under some rules."""
        moves = self.moves
        if isinstance(moves, SearchSettings):
            played_by: object = moves.model_dump()
        else:
            played_by = f"{moves.parent.name}/{moves.name}" if moves else None
        what = [int(boards.key_N[image]), int(boards.truth_N[image]), rules.model_dump()]
        return key_of(self.judge.folder.name, *what, played_by, self.repeats, self.seed)

    def jobs(self, boards: Boards, journal: Journal) -> list[PlayGames]:
        """What the journal hasn't of these games, some hundreds at a time.

        The parts are always the same, so that a judge is asked in the same batches, and answers
        alike to the last bit, whether or not the study was interrupted.
        """
        is_slow = self.judge.settings.kind == "cnn" and self.by == "search"
        games = _SLOW_GAMES_AT_ONCE if is_slow else GAMES_AT_ONCE
        at_once = max(1, games // games_of(self.rules, self.repeats))
        # Boards of like size together, since arrays are as wide as the widest.
        images = np.argsort(boards.count_N, kind="stable").tolist()
        found = []
        for i in range(0, len(images), at_once):
            part = tuple(images[i : i + at_once])
            if rules := tuple(one for one in self.rules if self._lacks(part, one, boards, journal)):
                found.append(
                    PlayGames(
                        self.judge.folder,
                        self.pixels,
                        part,
                        rules,
                        self.moves,
                        self.repeats,
                        self.seed,
                    )
                )
        return found

    def _lacks(
        self, images: tuple[int, ...], rules: Rules, boards: Boards, journal: Journal
    ) -> bool:
        return any(journal.get(self.key(boards, image, rules)) is None for image in images)
