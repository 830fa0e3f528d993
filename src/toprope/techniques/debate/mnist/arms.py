"""The arms of the study: how many pixels, under which rules, and who plays."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from toprope.techniques.debate.mnist.game import ALL_RULES, Rules

Player = Literal["random", "search", "agents", "untrained_agents"]


@dataclass(frozen=True)
class Arm:
    """
    Attributes:
        pixels: revealed in a game.
        rules: None: nobody argues, the pixels are random.
        by: who plays.
    """

    pixels: int
    rules: Rules | None
    by: Player

    @property
    def name(self) -> str:
        """ "4_pixels_precommitted_liar_first_by_agents", as evidence names it; the search is who
        plays where nobody is named."""
        if self.rules is None:
            return f"{self.pixels}_pixels_random"
        by = "" if self.by == "search" else f"_by_{self.by}"
        return f"{self.pixels}_pixels_{self.rules.name.replace(' ', '_')}{by}"

    @classmethod
    def named(cls, name: str) -> "Arm | None":
        """The arm of a name; None: it's no arm's, such as "headline"."""
        pixels = name.partition("_pixels_")[0]
        every = arms([int(pixels)], ALL_RULES, agents=True) if pixels.isdecimal() else []
        return next((one for one in every if one.name == name), None)


def arms(pixels: Sequence[int], rules: Sequence[Rules], *, agents: bool) -> list[Arm]:
    """All arms of a study, those of one number of pixels together, the control first."""
    players: tuple[Player, ...] = ("search", "untrained_agents", "agents")
    every = []
    for k in pixels:
        every.append(Arm(k, None, "random"))
        for by in players if agents else players[:1]:
            every += [Arm(k, one, by) for one in rules]
    return every


def headline(every: Sequence[Arm]) -> Arm:
    """The arm that a conclusion is about: precommitted, the liar first and the most pixels, as far
    as there are such; by search."""
    searched = [arm for arm in every if arm.by == "search" and arm.rules]

    def wanted(arm: Arm) -> tuple[bool, bool, int]:
        return arm.rules.precommit, arm.rules.liar_first, arm.pixels  # pyright: ignore

    return max(searched, key=wanted)
