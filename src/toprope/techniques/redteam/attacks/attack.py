"""Attack: what every attack is, and what it says of itself."""

from collections.abc import AsyncGenerator
from typing import Protocol

from toprope.techniques.redteam.attempts import Attempt, Case


class Attack(Protocol):
    """One way to attack: an arm of the campaign.

    Attributes:
        family: what it is counted under.
        name: its own, within the family.
        needs_attacker: whether a model must write for it.
        needs_insides: whether it needs the target in this process.
    """

    @property
    def family(self) -> str: ...
    @property
    def name(self) -> str: ...
    @property
    def needs_attacker(self) -> bool: ...
    @property
    def needs_insides(self) -> bool: ...

    def search(self, case: Case) -> AsyncGenerator[Attempt, None]:
        """Attempts on the case's behaviour, one after another, until it has no more to try.

        It sees the score of each of its attempts before it makes the next one.
        """
        ...
