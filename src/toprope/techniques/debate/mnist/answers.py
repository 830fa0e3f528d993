"""Games as a journal keeps them, an answer for each image and each of the rules; and whole games of
those.

An answer holds what was revealed in each game and the judge's verdict, in the order in which
`game.start` counts an image's games. All else follows from the image and the rules.

Shapes: N images, G games, K pixels of a game.
"""

from collections.abc import Sequence
from typing import TypedDict

import numpy as np

from toprope.techniques.debate.mnist.boards import Boards
from toprope.techniques.debate.mnist.game import Rules, start
from toprope.techniques.debate.mnist.playing import Played


class Answer(TypedDict):
    """The games of an image under some rules, by repeat and lie.

    `slots` are those revealed in each game, in order; `seconds` of one core.
    """

    slots: list[list[int]]
    verdicts: list[int]
    seconds: float


def answers_of(played: Played, seconds: float) -> list[list[Answer]]:
    """By image and rules.

    Args:
        seconds: that all games took, which are shared out by their number.
    """
    games = played.games
    answers = []
    for image in range(len(games.boards)):
        answers.append([])
        for number in range(len(played.rules)):
            own = np.flatnonzero((games.image_G == image) & (games.rules_G == number))
            answers[-1].append(
                Answer(
                    slots=games.revealed_GD[own].tolist(),
                    verdicts=played.verdict_G[own].tolist(),
                    seconds=seconds * len(own) / len(games),
                )
            )
    return answers


def put_together(
    answers: Sequence[Sequence[Answer]],
    boards: Boards,
    rules: Sequence[Rules],
    *,
    pixels: int,
    repeats: int,
    seed: int,
) -> Played:
    """The games that answers are of, by image and rules.

    Raises:
        ValueError: they are of other games.
    """
    in_order = [one for of_image in answers for one in of_image]
    slots_GK = np.array([slots for one in in_order for slots in one["slots"]], dtype=np.int64)
    verdict_G = np.array([bits for one in in_order for bits in one["verdicts"]], dtype=np.uint16)
    games = start(boards, rules, pixels=pixels, repeats=repeats, seed=seed)
    for slots_G in slots_GK.T:
        games = games.after(slots_G)
    return Played(games, verdict_G, games.honest_wins(verdict_G), tuple(rules))
