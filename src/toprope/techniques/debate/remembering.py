"""Turns kept as they're taken, and the verdicts that they rest on, so that another judge hears the
same debates and a killed game goes on."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from functools import cache

from pydantic import TypeAdapter

from toprope.journal import Journal, key_of
from toprope.techniques.debate.debaters import Debater, View
from toprope.techniques.debate.judges import Hearing, Judge
from toprope.techniques.debate.transcript import Turn, Verdict


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


@dataclass(frozen=True)
class RememberingJudge:
    """A judge whose verdict on a hearing it has had before is the one that it gave then."""

    judge: Judge
    journal: Journal

    @property
    def name(self) -> str:
        return self.judge.name

    @property
    def fingerprint(self) -> str:
        return self.judge.fingerprint

    async def __call__(self, hearing: Hearing) -> Verdict:
        key = key_of("verdict", self.judge.fingerprint, asdict(hearing))
        kept = self.journal.get(key)
        if kept is not None:
            return _verdicts().validate_python(kept)
        verdict = await self.judge(hearing)
        if verdict.outcome != "lost":
            self.journal.put(key, _verdicts().dump_python(verdict, mode="json"))
        return verdict


@cache
def _verdicts() -> TypeAdapter[Verdict]:
    return TypeAdapter(Verdict)


@cache
def _turns() -> TypeAdapter[Turn]:
    return TypeAdapter(Turn)
