"""The rules of the debate over a digit, for many games at once.

Irving, Christiano and Amodei 2018, section 3.1. Two agents see an image; the judge sees only what
they reveal. They take turns; each turn reveals one non-zero pixel, with its true value, that isn't
revealed yet, until there are K. One agent speaks for the image's true class, the other lies.

- With precommitment the liar names a class before the first move. The agent wins whose class has
  the higher logit. One game is played for each of the nine lies, and the liar wins the image if any
  lie wins. Since that takes the best of nine noisy searches, the paper plays each lie three times,
  with other seeds, and takes the mean; so does `honest_score`.
- Without precommitment the liar may claim, at the end, whatever class is then best: the truth wins
  only where its logit is the highest of all. One game an image.

The paper lets the honest agent or the liar move first; with K even, the other then moves last.

Shapes: G games, N images, K pixels of a game.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict

from toprope.techniques.debate.mnist.boards import Boards
from toprope.techniques.debate.mnist.data import CLASSES
from toprope.techniques.debate.mnist.ordering import Keys, child_keys, game_keys

ANY_LIE = -1
"""The lie of a liar who hasn't committed to one."""


class Rules(BaseModel):
    """How one game is played; which agent moves first, and whether the liar commits to a class."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    precommit: bool = True
    liar_first: bool = False

    @property
    def name(self) -> str:
        commitment = "precommitted" if self.precommit else "free"
        return f"{commitment} liar {'first' if self.liar_first else 'second'}"


ALL_RULES = tuple(
    Rules(precommit=precommit, liar_first=liar_first)
    for precommit in (True, False)
    for liar_first in (False, True)
)


@dataclass(frozen=True)
class Games:
    """Games on one set of boards, all with as many pixels revealed.

    Attributes:
        boards: the images' boards.
        image_G: which board each game is on.
        lie_G: the class that the liar claims, or ANY_LIE.
        rules_G: number of the game's rules, as its maker counts them.
        liar_first_G: whether the liar makes the first move.
        key_G: of the node at which the game stands (see `ordering`).
        revealed_GD: slots revealed so far, in order.
        pixels: K.
    """

    boards: Boards
    image_G: NDArray[np.int64]
    lie_G: NDArray[np.int64]
    rules_G: NDArray[np.int64]
    liar_first_G: NDArray[np.bool_]
    key_G: Keys
    revealed_GD: NDArray[np.int64]
    pixels: int

    def __len__(self) -> int:
        return len(self.image_G)

    @property
    def count_G(self) -> NDArray[np.int64]:
        """How many slots each game's board has."""
        return self.boards.count_N[self.image_G]

    @property
    def places(self) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """[U] one game at each place (image and key), and [G] which of the places each is at.

        Where two games are at one place, what follows is the same for both but for who wins.
        """
        place_G2 = np.column_stack([self.image_G.astype(np.uint64), self.key_G])
        _, one_U, which_G = np.unique(place_G2, axis=0, return_index=True, return_inverse=True)
        return one_U, which_G.reshape(-1)

    @property
    def left(self) -> int:
        """How many pixels are to be revealed yet."""
        return self.pixels - self.revealed_GD.shape[1]

    def honest_moves_at(self, depth: int) -> NDArray[np.bool_]:
        """bool [G]: whether the honest agent makes the move after `depth` pixels are revealed."""
        return self.liar_first_G == (depth % 2 == 1)

    def honest_wins(self, verdict_G: NDArray[np.uint16]) -> NDArray[np.bool_]:
        """bool [G], of the judge's verdicts (see `scoring.Verdicts`) on the games' ends."""
        return (verdict_G & self.winning_bits_G) == 0

    @property
    def winning_bits_G(self) -> NDArray[np.uint16]:
        """The bits of a verdict with any of which the liar wins."""
        every = (1 << CLASSES) - 1
        one_G = np.left_shift(1, np.maximum(self.lie_G, 0))
        return np.where(self.lie_G == ANY_LIE, every, one_G).astype(np.uint16)

    def after(self, slots_G: NDArray[np.int64]) -> "Games":
        """The games after one more move each.

        Raises:
            ValueError: a game is over, or a slot isn't there or is revealed already.
        """
        if self.left == 0:
            raise ValueError("the games are over")
        if ((slots_G < 0) | (slots_G >= self.count_G)).any():
            raise ValueError("a move to a pixel that is zero")
        if (self.revealed_GD == slots_G[:, None]).any():
            raise ValueError("a move to a pixel that is revealed already")
        return replace(
            self,
            key_G=child_keys(self.key_G, slots_G),
            revealed_GD=np.column_stack([self.revealed_GD, slots_G]),
        )

    def part(self, indices: NDArray[np.int64]) -> "Games":
        """Some of the games, on the same boards."""
        fields = ("image_G", "lie_G", "rules_G", "liar_first_G", "key_G", "revealed_GD")
        return replace(self, **{name: getattr(self, name)[indices] for name in fields})


def start(
    boards: Boards, rules: Sequence[Rules], *, pixels: int, repeats: int = 1, seed: int = 0
) -> Games:
    """All games of some rules on all boards: by image, rules, repeat and lie.

    Args:
        repeats: how often each is played, each time with another seed; 3 in the paper.
    """
    image, number, repeat, lie = [], [], [], []
    for n, truth in enumerate(boards.truth_N.tolist()):
        for r, one in enumerate(rules):
            lies = [c for c in range(CLASSES) if c != truth] if one.precommit else [ANY_LIE]
            for again in range(repeats):
                image += [n] * len(lies)
                number += [r] * len(lies)
                repeat += [again] * len(lies)
                lie += lies
    image_G, rules_G = np.array(image, np.int64), np.array(number, np.int64)
    seeds_G = seed * 1_000_003 + np.array(repeat, np.int64)
    return Games(
        boards,
        image_G,
        np.array(lie, np.int64),
        rules_G,
        np.array([one.liar_first for one in rules], dtype=bool)[rules_G],
        game_keys(boards.key_N[image_G], seeds_G),
        np.zeros((len(image), 0), np.int64),
        pixels,
    )


def games_of(rules: Sequence[Rules], repeats: int) -> int:
    """How many games `start` makes of an image."""
    return repeats * sum(CLASSES - 1 if one.precommit else 1 for one in rules)


def honest_score(games: Games, wins_G: NDArray[np.bool_], rules: int) -> NDArray[np.float64]:
    """What the honest agent gets of each image, [N], under one of the rules.

    For each lie the mean over its repeats; of the lies the worst (section 3.1).
    """
    is_here_G = games.rules_G == rules
    # ANY_LIE takes the first column.
    cell_G = games.image_G[is_here_G] * (CLASSES + 1) + games.lie_G[is_here_G] + 1
    cells = len(games.boards) * (CLASSES + 1)
    played = np.bincount(cell_G, minlength=cells)
    won = np.bincount(cell_G, weights=wins_G[is_here_G], minlength=cells)
    with np.errstate(invalid="ignore"):
        share_NC = (won / played).reshape(-1, CLASSES + 1)
    return np.nanmin(share_NC, axis=1)
