"""What happened in one debate: who said what, what each kept to itself, what the judge thought.

Options are counted as the question has them, wherever they are shown: a seating says which one is
shown as A, and who speaks first.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cache
from typing import Any, Literal, Self

from pydantic import TypeAdapter

from toprope.techniques.debate.questions import LETTERS, Question

Role = Literal["debater", "consultant", "critic", "judge", "prover", "estimator", "overseer"]

Kind = Literal[
    "speech",
    "bet",
    "choice",
    "question",
    "critique",
    "refinement",
    "claims",
    "direction",
    "estimates",
    "implied",
    "truth",
]
"""speech: an argument, or the answer to a judge's question; bet: how sure a debater is to win;
choice: which answer a debater argues for where it may choose; question: of the judge; critique: of
an argument, by a critic or by a debater of its own draft; refinement: an argument after its
critique; claims, direction, estimates, implied, truth: see `protocols/prover_estimator.py`."""

PRIVATE = ("bet", "choice")
"""Kinds of turns that their speaker alone sees."""

TurnOutcome = Literal["spoken", "cut", "empty", "refused", "lost"]
"""spoken: as it came; cut: it went on with another's turn, and ends where that began; empty: there
were no words; refused; lost: no answer came at all."""

VerdictOutcome = Literal["answered", "unnamed", "refused", "empty", "lost"]
"""answered: with an answer; unnamed: with words, and none of them an answer."""


@dataclass(frozen=True)
class Private:
    """What nobody but the speaker sees.

    Attributes:
        bet: percent, from 0 to 100, that the judge will decide for the speaker's answer.
        scratchpad: what it thought before it spoke.
    """

    bet: float | None = None
    scratchpad: str = ""


@dataclass(frozen=True)
class Turn:
    """
    Attributes:
        speaker: as the judge sees it, such as "Debater A".
        by: the name of the model behind it.
        position: the option argued for; None: none.
        round: from 1.
        text: for all to see, with quotes marked.
        values: what a turn says in numbers: a chosen option, probabilities, a direction.
        verified, unverified: quotes found in the passage, and not found.
        tokens, calls: of models, drafts and their ratings included.
    """

    speaker: str
    role: Role
    text: str
    position: int | None = None
    round: int = 1
    kind: Kind = "speech"
    by: str = ""
    private: Private = Private()
    outcome: TurnOutcome = "spoken"
    values: tuple[float, ...] = ()
    verified: int = 0
    unverified: int = 0
    tokens: int = 0
    calls: int = 1

    def public(self) -> Self:
        """As the others see it."""
        return replace(self, private=Private())

    def as_lost(self) -> Self:
        """In its place, where something that it depends on never came."""
        return replace(self, text="", outcome="lost", verified=0, unverified=0)


@dataclass(frozen=True)
class Verdict:
    """What the judge thinks.

    Attributes:
        answer: the option it names; None: none.
        probabilities: of each option, summing to one; empty where it didn't answer.
        stated: False where it named an answer without probabilities: all of it is then on that one.
        round: after which it was asked; 0: before anyone spoke.
    """

    answer: int | None
    probabilities: tuple[float, ...] = ()
    outcome: VerdictOutcome = "answered"
    stated: bool = True
    text: str = ""
    round: int = 0
    tokens: int = 0


@dataclass(frozen=True)
class Seating:
    """
    Attributes:
        shown: the options in the order in which they're shown.
        speaks: the options whose debaters speak, in that order.
        assigned: the option that a lone speaker argues for; None: the protocol has none, or it may
            choose.
    """

    shown: tuple[int, ...]
    speaks: tuple[int, ...]
    assigned: int | None = None

    def letter(self, option: int) -> str:
        """Under which an option is shown."""
        return LETTERS[self.shown.index(option)]

    def option(self, letter: str) -> int | None:
        """The option that is shown under a letter."""
        place = ord(letter.upper()) - ord("A")
        return self.shown[place] if 0 <= place < len(self.shown) else None


@dataclass(frozen=True)
class Transcript:
    """
    Attributes:
        verdicts: in the order in which they were given; the last one counts.
        details: what a protocol has beyond turns, of JSON types.
    """

    protocol: str
    question: Question
    seating: Seating
    turns: tuple[Turn, ...] = ()
    verdicts: tuple[Verdict, ...] = ()
    details: Mapping[str, Any] = field(default_factory=dict)

    @property
    def verdict(self) -> Verdict:
        return self.verdicts[-1]

    @property
    def correct(self) -> bool:
        """Whether the judge named the right answer."""
        return self.verdict.answer == self.question.answer

    @property
    def is_lost(self) -> bool:
        """Whether some answer of a model never came: another day it may."""
        return any(one.outcome == "lost" for one in (*self.turns, *self.verdicts))

    @property
    def positions(self) -> tuple[int, ...]:
        """The options that were argued for, each once; a lone speaker's is the one that it was
        assigned."""
        if self.seating.assigned is not None:
            return (self.seating.assigned,)
        argued = (turn.position for turn in self.turns if turn.kind == "speech")
        return tuple(dict.fromkeys(one for one in argued if one is not None))

    def as_json(self) -> dict[str, Any]:
        return _records().dump_python(self, mode="json")

    @classmethod
    def of_json(cls, record: Mapping[str, Any]) -> "Transcript":
        """
        Raises:
            pydantic.ValidationError: it's no transcript.
        """
        return _records().validate_python(record)


def seen_by(speaker: str, turns: Iterable[Turn]) -> tuple[Turn, ...]:
    """What a debater may see: its own turns whole; of the others' what is public.

    Never another's bet, choice or scratchpad.
    """
    return tuple(
        turn if turn.speaker == speaker else turn.public()
        for turn in turns
        if turn.speaker == speaker or turn.kind not in PRIVATE
    )


def judged_on(turns: Iterable[Turn]) -> tuple[Turn, ...]:
    """What the judge may see: what is public, of everyone."""
    return tuple(turn.public() for turn in turns if turn.kind not in PRIVATE)


def rotations(question: Question) -> list[Seating]:
    """Every option once in each place, and its debater once in each place of the speaking order:
    for two options, both orders. What is averaged over them favours neither."""
    n = len(question.options)
    orders = [tuple((first + i) % n for i in range(n)) for first in range(n)]
    return [Seating(order, order) for order in orders]


def crossed(seatings: Sequence[Seating]) -> list[Seating]:
    """Each of them also with the last to speak first, so that place and order are told apart."""
    turned = [replace(one, speaks=one.speaks[::-1]) for one in seatings]
    return [both for pair in zip(seatings, turned, strict=True) for both in pair]


def assigned(question: Question) -> list[Seating]:
    """Every rotation, with each option as the one that a lone speaker argues for."""
    return [
        replace(seating, speaks=(option,), assigned=option)
        for option in range(len(question.options))
        for seating in rotations(question)
    ]


@cache
def _records() -> TypeAdapter[Transcript]:
    return TypeAdapter(Transcript)
