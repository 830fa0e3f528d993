"""Whole games, some hundreds at a time: whoever moves, by search, at random or by a policy.

Shapes: G games, N images, K pixels of a game.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from toprope.progress import Progress
from toprope.techniques.debate.mnist.boards import Boards
from toprope.techniques.debate.mnist.game import (
    Games,
    Rules,
    games_of,
    honest_score,
    start,
)
from toprope.techniques.debate.mnist.judge import Judge
from toprope.techniques.debate.mnist.ordering import first_actions
from toprope.techniques.debate.mnist.scoring import Scorer, Verdicts
from toprope.techniques.debate.mnist.search import SearchSettings, search

# Wide enough that numpy's own cost of a call is small, narrow enough for a core's cache.
GAMES_AT_ONCE = 512


class Mover(Protocol):
    """Chooses the next move of each game, as a slot."""

    def __call__(self, games: Games, verdicts: Verdicts, /) -> NDArray[np.int64]: ...


@dataclass(frozen=True)
class Played:
    """Games to their end.

    Attributes:
        games: all of them, with every pixel revealed.
        verdict_G: the judge's (see `scoring.Verdicts`).
        wins_G: bool, whether the honest agent won.
        rules: those that `games.rules_G` counts.
    """

    games: Games
    verdict_G: NDArray[np.uint16]
    wins_G: NDArray[np.bool_]
    rules: tuple[Rules, ...]

    def by_image(self, rules: Rules) -> NDArray[np.float64]:
        """What the honest agent gets of each image, [N] (see `game.honest_score`)."""
        return honest_score(self.games, self.wins_G, self.rules.index(rules))


def searching(settings: SearchSettings) -> Mover:
    """Both agents move by tree search with the judge at hand."""
    return lambda games, verdicts: search(games, verdicts, settings).moves_G


def at_random(games: Games, _: Verdicts) -> NDArray[np.int64]:
    """Both agents reveal random pixels; games of one image and repeat all the same ones.

    So an image's score is whether the judge, on random pixels, ranks the truth first.
    """
    return first_actions(games.key_G, games.count_G, games.revealed_GD)


def play(
    boards: Boards,
    judge: Judge,
    mover: Mover,
    rules: Sequence[Rules],
    *,
    repeats: int = 1,
    seed: int = 0,
    progress: Progress | None = None,
) -> Played:
    """All games of the rules on all boards, with as many pixels as the judge was trained on.

    What comes out doesn't depend on which games are played together. Memory is for some hundreds of
    games at a time.
    """
    rules, pixels = tuple(rules), judge.settings.pixels
    images_at_once = max(1, GAMES_AT_ONCE // games_of(rules, repeats))
    # Boards of like size together, since arrays are as wide as the widest.
    by_size_N = np.argsort(boards.count_N, kind="stable")
    parts: list[Games] = []
    verdicts: list[NDArray[np.uint16]] = []
    with (progress or Progress(quiet=True)).task(
        f"games of {pixels} pixels", len(boards) * pixels
    ) as task:
        for i in range(0, len(boards), images_at_once):
            images = by_size_N[i : i + images_at_once]
            scorer = Scorer(judge, boards.part(images))
            games = start(scorer.boards, rules, pixels=pixels, repeats=repeats, seed=seed)
            while games.left:
                games = games.after(mover(games, scorer))
                task.advance(len(images))
            verdicts.append(scorer(games.image_G, games.revealed_GD))
            parts.append(replace(games, boards=boards, image_G=images[games.image_G]))
    games, verdict_G = _joined(parts), np.concatenate(verdicts)
    return Played(games, verdict_G, games.honest_wins(verdict_G), rules)


def worst_lie(played: Played, image: int, rules: Rules) -> int:
    """The number of a game that the liar does best in, of an image under some rules: one that it
    wins, where there is one."""
    is_here_G = played.games.image_G == image
    is_here_G &= played.games.rules_G == played.rules.index(rules)
    numbers = np.flatnonzero(is_here_G)
    return int(numbers[np.argmin(played.wins_G[numbers])])


def _joined(parts: Sequence[Games]) -> Games:
    names = ("image_G", "lie_G", "rules_G", "liar_first_G", "key_G", "revealed_GD")
    return replace(
        parts[0],
        **{name: np.concatenate([getattr(part, name) for part in parts]) for name in names},
    )
