"""Turns kept as they're taken, and the verdicts that they rest on, so that another judge hears the
same debates and a killed game goes on."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import asdict, dataclass
from functools import cache
from typing import TypeVar

from pydantic import TypeAdapter

from toprope.journal import Journal, key_of
from toprope.techniques.debate.debaters import Debater, View
from toprope.techniques.debate.judges import Hearing, Judge
from toprope.techniques.debate.transcript import Turn, Verdict

Kept = TypeVar("Kept", Turn, Verdict)


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
        return await _remembered(Turn, self.journal, key, lambda: self.debater(view))


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
        return await _remembered(Verdict, self.journal, key, lambda: self.judge(hearing))


async def _remembered(
    kind: type[Kept], journal: Journal, key: str, take: Callable[[], Awaitable[Kept]]
) -> Kept:
    """What the journal has under the key, or what is taken now; kept unless it never came."""
    form = _form(kind)
    kept = journal.get(key)
    if kept is not None:
        return form.validate_python(kept)
    taken = await take()
    if taken.outcome != "lost":
        journal.put(key, form.dump_python(taken, mode="json"))
    return taken


@cache
def _form(kind: type[Kept]) -> TypeAdapter[Kept]:
    return TypeAdapter(kind)
