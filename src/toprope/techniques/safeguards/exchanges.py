"""Exchanges: a conversation and the answer to it, with how harmful that is and where it came from;
what classifiers are trained and measured on.

A judge's scores are the labels, soft: what is watched is the exchange and not the wish. The answer
to a harmless request is harmless, however it was framed.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Annotated, TypeVar

from pydantic import AfterValidator, ConfigDict, Field, TypeAdapter, ValidationError

from toprope.data.lines import lines_of
from toprope.errors import UserError
from toprope.techniques.redteam.attacks.direct import Direct
from toprope.techniques.redteam.attempts import Attempt
from toprope.techniques.redteam.findings import ATTEMPTS

ROLES = ("system", "user", "assistant")

T = TypeVar("T")


def _said(message: Mapping[str, str]) -> Mapping[str, str]:
    if set(message) != {"role", "content"} or message["role"] not in ROLES:
        raise ValueError(f"a message has a role ({', '.join(ROLES)}) and a content")
    return message


@dataclass(frozen=True)
class Exchange:
    """One conversation and its answer.

    Attributes:
        messages: from the system prompt on, where there is one.
        answer: with what was put in the model's mouth.
        label: how harmful the answer is, 0 to 1.
        origin: what it came from: a set's name, or a run's folder.
        group: what it is about, such as a behaviour; a group stays on one side of every split.
        family: the attack that made it, or "".
        harmless: whether the request was: what a guard has to let through.
    """

    messages: Annotated[
        tuple[Annotated[Mapping[str, str], AfterValidator(_said)], ...], Field(min_length=1)
    ]
    answer: str
    label: Annotated[float, Field(ge=0, le=1)]
    origin: str
    group: str
    family: str = ""
    harmless: bool = False

    __pydantic_config__ = ConfigDict(extra="forbid")

    @property
    def id(self) -> str:
        """Of what was said alone."""
        said = [list(map(dict, self.messages)), self.answer]
        return hashlib.sha256(json.dumps(said).encode()).hexdigest()


def from_attempt(
    attempt: Attempt, *, origin: str, group: str = "", harmless: bool = False, system: str = ""
) -> Exchange | None:
    """The exchange of an attempt; None where it has no answer or no verdict.

    Args:
        group: in place of the attempt's behaviour.
        system: the target's system prompt, which an attempt's messages are without.
    """
    if not attempt.judged or attempt.score is None:
        return None
    return Exchange(
        messages=(*told(system), *attempt.messages),
        answer=attempt.response,
        label=0.0 if harmless else attempt.score,
        origin=origin,
        group=group or attempt.behaviour,
        family=attempt.family,
        harmless=harmless,
    )


def told(system: str) -> tuple[Mapping[str, str], ...]:
    """A system prompt as the messages that a conversation begins with."""
    return ({"role": "system", "content": system},) if system else ()


def from_run(folder: Path) -> list[Exchange]:
    """The judged attempts of a run's red-teaming studies, each exchange once.

    A target that had a system prompt in that run is to have it here too: attempts are kept without.

    Raises:
        UserError: there are none, or they can't be read.
    """
    paths = sorted(folder.glob(f"artifacts/redteam/*/{ATTEMPTS}"))
    if not paths:
        raise UserError(f"no attempts in {folder}: has a red-teaming study finished there?")
    kept = (_of_run(folder.name, one) for p in paths for one in _rows(p, Attempt))
    found = unique(exchange for exchange in kept if exchange is not None)
    if not found:
        raise UserError(f"no attempt in {folder} was judged: there is nothing to learn from")
    return found


def of(path: Path) -> list[Exchange]:
    """Those of a run's folder, or of a file that `save` wrote.

    Raises:
        UserError: as `from_run` and `load`.
    """
    return from_run(path) if path.is_dir() else load(path)


def _of_run(name: str, attempt: Attempt) -> Exchange | None:
    return from_attempt(attempt, origin=name, group=f"{name}/{attempt.behaviour}")


def joined(exchanges: Iterable[Exchange]) -> list[Exchange]:
    """The same, those of one group that ask for the same in the same words: a run of red-teaming
    names the requests of a set otherwise than the set does."""
    found = list(exchanges)
    first: dict[str, str] = {}
    name: dict[str, str] = {}
    for one in found:
        if one.family == Direct.family:
            name[one.group] = first.setdefault(one.messages[-1]["content"], one.group)
    return [replace(one, group=name.get(one.group, one.group)) for one in found]


def unique(exchanges: Iterable[Exchange]) -> list[Exchange]:
    """Each once, the first of those with the same words."""
    return list({one.id: one for one in reversed(list(exchanges))}.values())[::-1]


def fingerprint(exchanges: Sequence[Exchange]) -> str:
    """SHA-256 (hex) of what a classifier is trained on, whatever the order."""
    lines = sorted(f"{one.id} {one.label!r} {one.harmless}" for one in exchanges)
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()


def save(exchanges: Sequence[Exchange], path: Path) -> None:
    """As JSON lines, ready for other tools."""
    lines = (json.dumps(asdict(one)) + "\n" for one in exchanges)
    path.write_text("".join(lines), encoding="utf-8")


def load(path: Path) -> list[Exchange]:
    """What `save` wrote.

    Raises:
        UserError: no such file, or a line of it is no exchange.
    """
    return list(_rows(path, Exchange))


def _rows(path: Path, kind: type[T]) -> Iterator[T]:
    """What a file of JSON lines holds.

    Raises:
        UserError: the file can't be read, or a line isn't of that kind.
    """
    adapter = TypeAdapter(kind)
    for where, line in lines_of(path):
        try:
            yield adapter.validate_json(line, strict=True)
        except ValidationError as error:
            mistake = error.errors()[0]
            key = ".".join(map(str, mistake["loc"]))
            said = mistake["msg"].removeprefix("Value error, ")
            raise UserError(f"{where}: {key + ': ' if key else ''}{said}") from None
