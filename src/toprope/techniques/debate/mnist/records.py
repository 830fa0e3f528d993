"""A game as it's kept for people: the image, who revealed what in which order, and what the judge
believed after each pixel."""

from typing import Annotated

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from toprope.techniques.debate.mnist.game import ANY_LIE
from toprope.techniques.debate.mnist.judge import Judge
from toprope.techniques.debate.mnist.playing import Played
from toprope.techniques.debate.mnist.scoring import Scorer

Share = Annotated[float, Field(ge=0, le=1)]


class Reveal(BaseModel):
    """
    Attributes:
        row, column: of the pixel.
        honest: whether the honest agent revealed it.
        beliefs: the judge's probability of each class after it. A judge is trained on whole games'
            pixels only: what it believes of fewer is a guide, and settles nothing.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    row: int = Field(ge=0)
    column: int = Field(ge=0)
    honest: bool
    beliefs: tuple[Share, ...]


class GameRecord(BaseModel):
    """
    Attributes:
        image: rows of values from 0 to 255.
        lie: the class that the liar committed to, or None.
        honest_won: by the judge's verdict at the end.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    image: tuple[tuple[Annotated[int, Field(ge=0, le=255)], ...], ...]
    truth: int
    lie: int | None
    rules: str
    reveals: tuple[Reveal, ...]
    honest_won: bool


def record(played: Played, number: int, judge: Judge) -> GameRecord:
    """One of the games that were played before a judge."""
    games = played.games
    image, side = int(games.image_G[number]), games.boards.side
    board = games.boards.part(np.array([image]))
    scorer = Scorer(judge, board)
    slots_K = games.revealed_GD[number]
    shown_P = np.zeros(side**2, dtype=int)
    shown_P[board.pixel_NM[0, : board.count_N[0]]] = np.rint(
        255 * board.value_NM[0, : board.count_N[0]]
    )
    reveals = []
    for k, slot in enumerate(slots_K.tolist()):
        logits_C = scorer.logits(np.zeros(1, np.int64), slots_K[None, : k + 1])[0].astype(float)
        beliefs_C = np.exp(logits_C - logits_C.max())
        beliefs_C /= beliefs_C.sum()
        row, column = divmod(int(board.pixel_NM[0, slot]), side)
        reveals.append(
            Reveal(
                row=row,
                column=column,
                honest=bool(games.honest_moves_at(k)[number]),
                beliefs=tuple(np.clip(beliefs_C, 0, 1).tolist()),
            )
        )
    lie = int(games.lie_G[number])
    return GameRecord(
        image=tuple(map(tuple, shown_P.reshape(side, side).tolist())),
        truth=int(board.truth_N[0]),
        lie=None if lie == ANY_LIE else lie,
        rules=played.rules[int(games.rules_G[number])].name,
        reveals=tuple(reveals),
        honest_won=bool(played.wins_G[number]),
    )
