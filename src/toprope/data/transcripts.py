"""Transcripts of debates, from the files in which they're kept: what was said in public.

A file has a game a line, as JSON: its `question`, its `seating` (which option is shown where, whose
debater speaks first) and its `turns`. Read are the question's id and text, the options as they were
shown, and what was said in public. What speakers kept to themselves, what the judge decided and
which answer is right isn't.
"""

import json
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from pydantic import BaseModel, ConfigDict, ValidationError

from toprope.data.lines import lines_of
from toprope.errors import UserError

PRIVATE = ("bet", "choice")
"""Kinds of turns that their speaker alone sees."""

FILES = "transcripts/*.jsonl"
"""Where a run keeps them, in some folder of its own; a file for each protocol, named for it."""

USUAL = "debate"
"""The protocol that is taken of several."""

_CUE = re.compile(r"\s*\b(?:Answer|A):\s*\Z")
_HEAD = re.compile(r"\A\s*(?:Question|Q):\s*")


def posed(text: str) -> str:
    """A prompt as a question: without "Question:" before it, and "Answer:" behind it."""
    return _HEAD.sub("", _CUE.sub("", text)).strip()


class Spoken(Protocol):
    """A turn, as anyone hears it."""

    @property
    def speaker(self) -> str: ...
    @property
    def round(self) -> int: ...
    @property
    def text(self) -> str: ...
    @property
    def kind(self) -> str: ...


def rendered(turns: Iterable[Spoken]) -> str:
    """The turns that are words for all, as everyone reads them."""
    return "\n\n".join(
        f"{turn.speaker} (round {turn.round}): {turn.text or '(says nothing)'}"
        for turn in turns
        if turn.kind not in PRIVATE
    )


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore")


class _Turn(_Part):
    speaker: str
    text: str
    round: int = 1
    kind: str = "speech"


class _Question(_Part):
    id: str
    text: str
    options: tuple[str, ...]


class _Seating(_Part):
    shown: tuple[int, ...]
    speaks: tuple[int, ...]
    assigned: int | None = None


class _Game(_Part):
    question: _Question
    seating: _Seating
    turns: tuple[_Turn, ...] = ()


@dataclass(frozen=True)
class Heard:
    """One game.

    Attributes:
        id, text: of its question.
        options: as they were shown, such as "A. yes", a line each.
        words: what was said; "": nobody spoke.
        seating: which of a question's games it is.
    """

    id: str
    text: str
    options: str
    words: str
    seating: str


def heard(path: Path) -> Iterator[Heard]:
    """The games of a file, in order.

    Raises:
        UserError: there's no such file, or a line of it is no transcript.
    """
    for where, line in lines_of(path):
        yield _heard(line, where)


def _heard(line: str, where: str) -> Heard:
    try:
        game = _Game.model_validate(json.loads(line))
        options = "\n".join(
            f"{chr(ord('A') + place)}. {game.question.options[i]}"
            for place, i in enumerate(game.seating.shown)
        )
    except (ValidationError, ValueError, IndexError) as error:
        said = str(error).splitlines()[0]
        raise UserError(f"{where} is no transcript of a debate: {said}") from None
    return Heard(
        game.question.id,
        game.question.text,
        options,
        rendered(game.turns),
        game.seating.model_dump_json(),
    )


def file_of(place: str) -> Path:
    """The file of transcripts that is meant: a file itself, or of a run's folder that of `debate`,
    or the only one.

    Raises:
        UserError: there is none, or there are several.
    """
    path = Path(place).expanduser()
    if not path.is_dir():
        return path
    found = sorted(path.rglob(FILES))
    if not found:
        raise UserError(
            f"no debates in {place}: name the folder of a run of 'toprope debate text', or a file "
            "of transcripts"
        )
    usual = [one for one in found if one.stem == USUAL]
    if len(usual or found) > 1:
        listed = ", ".join(str(one.relative_to(path)) for one in usual or found)
        raise UserError(f"{place} has several files of transcripts: name one of {listed}")
    return (usual or found)[0]
