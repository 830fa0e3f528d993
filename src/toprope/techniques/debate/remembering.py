"""Turns kept as they're taken: another judge hears the same debates, and a killed game goes on."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from functools import cache

from pydantic import TypeAdapter

from toprope.journal import Journal, key_of
from toprope.techniques.debate.debaters import Debater, View
from toprope.techniques.debate.transcript import Turn


@dataclass(frozen=True)
class Remembering:
    """A debater whose turn in a view it has had before is the one that it took then."""

    debater: Debater
    journal: Journal

    @property
    def name(self) -> str:
        return self.debater.name

    @property
    def fingerprint(self) -> str:
        return self.debater.fingerprint

    async def __call__(self, view: View) -> Turn:
        key = key_of("turn", self.debater.fingerprint, asdict(view))
        kept = self.journal.get(key)
        if kept is not None:
            return _turns().validate_python(kept)
        turn = await self.debater(view)
        if turn.outcome != "lost":
            self.journal.put(key, _turns().dump_python(turn, mode="json"))
        return turn


@cache
def _turns() -> TypeAdapter[Turn]:
    return TypeAdapter(Turn)
