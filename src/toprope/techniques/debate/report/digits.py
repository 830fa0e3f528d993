"""The arms of debates over digits: what was measured of them, and their names in words."""

import re

from toprope.evidence import Evidence
from toprope.report.text import capitalised, counted, in_words
from toprope.techniques.debate.mnist.arms import Arm
from toprope.techniques.debate.report.results import Results
from toprope.techniques.debate.rows import HEADLINE

_PLAYERS = {
    "random": "judge alone, random pixels",
    "search": "",
    "agents": "trained agents",
    "untrained_agents": "untrained agents",
}


class Found(Results):
    """The arms of a setting, by how many pixels they reveal."""

    @property
    def pixels(self) -> list[int]:
        known = [Arm.named(arm) for arm in self.arms]
        return list(dict.fromkeys(arm.pixels for arm in known if arm))

    def of_pixels(self, pixels: int) -> list[str]:
        """The control first, then each kind of rules: by search, by agents before and after."""
        known = [arm for name in self.arms if (arm := Arm.named(name)) and arm.pixels == pixels]
        rules = list(dict.fromkeys(str(arm.rules) for arm in known))
        players = list(_PLAYERS)
        known.sort(key=lambda arm: (rules.index(str(arm.rules)), players.index(arm.by)))
        return [arm.name for arm in known]

    def alone(self, pixels: int) -> Evidence | None:
        return self.get(Arm(pixels, None, "random").name)

    def by_search(self, pixels: int) -> list[str]:
        arms = self.of_pixels(pixels)
        return [name for name in arms if (arm := Arm.named(name)) and arm.by == "search"]

    @property
    def chosen(self) -> str:
        """The headline's arm, which its notes name."""
        row = self.get(HEADLINE)
        notes = re.findall(r"\w+", row.notes) if row else []
        return next((word for word in notes if word in self.arms), "")


def arm_name(name: str) -> str:
    """ "4_pixels_free_liar_first_by_agents" -> "4 pixels, free, liar first, trained agents"."""
    arm = Arm.named(name)
    if arm is None:
        return in_words(name)
    rules = rules_name(name)
    return f"{counted(arm.pixels, 'pixel')}, {rules[:1].lower()}{rules[1:]}"


def rules_name(name: str) -> str:
    """The same without the number of pixels."""
    arm = Arm.named(name)
    if arm is None:
        return in_words(name)
    player = _PLAYERS[arm.by]
    if arm.rules is None:
        return capitalised(player)
    commitment = "committed" if arm.rules.precommit else "free"
    order = f"liar {'first' if arm.rules.liar_first else 'second'}"
    return capitalised(", ".join(filter(None, (commitment, order, player))))
