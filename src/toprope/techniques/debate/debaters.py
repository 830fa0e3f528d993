"""Debaters: whoever takes a turn in a protocol, from what it may see.

A debater is an async function from a `View` to a `Turn`. What it sees is all that the view holds:
the question with its passage, its own turns whole, the others' public words. Never the others'
bets, choices and scratchpads (`transcript.seen_by`), nor which answer is right where a protocol
doesn't say so: the question in a view has its answer, and no prompt here uses it.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Protocol

from toprope.data.prompts import filled, prompt_text
from toprope.data.seeding import named_seed
from toprope.journal import key_of
from toprope.models.chat import Chat, Reply
from toprope.techniques.debate import parsing
from toprope.techniques.debate.questions import Question
from toprope.techniques.debate.quotes import mark
from toprope.techniques.debate.transcript import Kind, Private, Role, Seating, Turn, TurnOutcome

SPOKEN = ("speech", "question", "critique", "refinement", "claims")
"""Kinds of turns that are words for others."""


ALSO_ALONE: tuple[Kind, ...] = ("speech", "refinement")
"""Kinds of turns with another prompt for a debater that nobody opposes."""

UNINFORMED: tuple[Role, ...] = ("judge", "overseer")
"""Roles that are played without the passage."""


@dataclass(frozen=True)
class View:
    """All that a debater knows when its turn comes.

    Attributes:
        question: with its passage; a judge who asks has it without.
        others: names that don't speak in this turn.
        turns: as this speaker may see them.
        sample: which of several answers to the same view is asked for.
        given: further slots of the prompt.
    """

    question: Question
    seating: Seating
    speaker: str
    role: Role
    kind: Kind
    position: int | None
    round: int
    rounds: int
    turns: tuple[Turn, ...] = ()
    others: tuple[str, ...] = ()
    sample: int = 0
    given: Mapping[str, str] = field(default_factory=dict)


class Debater(Protocol):
    """
    Attributes:
        name: of the model, as win rates are reported for it.
        fingerprint: of all that its turns depend on.
    """

    @property
    def name(self) -> str: ...

    @property
    def fingerprint(self) -> str: ...

    async def __call__(self, view: View) -> Turn: ...


@dataclass(frozen=True)
class ChatDebater:
    """A chat model.

    Attributes:
        words: that it's told to keep to.
        temperature: above 0, several answers to the same view differ.
    """

    chat: Chat
    words: int = 100
    max_tokens: int = 200
    temperature: float = 0.7
    seed: int = 0

    @property
    def name(self) -> str:
        return self.chat.name

    @property
    def fingerprint(self) -> str:
        settings = self.words, self.max_tokens, self.temperature, self.seed
        return key_of("chat debater", self.chat.fingerprint, *settings)

    async def __call__(self, view: View) -> Turn:
        asked = prompt(view, words=self.words)
        reply = await self.chat.ask(
            [{"role": "user", "content": asked}],
            max_tokens=self.max_tokens,
            temperature=self.temperature,
            # One seed for all would draw the same numbers for both sides, in every game.
            seed=named_seed(self.seed, str(view.sample), asked),
        )
        return turn_of(view, reply, by=self.name)


@dataclass(frozen=True)
class Scripted:
    """A debater whose words are a function of its view; they're read as a model's would be."""

    says: Callable[[View], str]
    name: str = "scripted"

    @property
    def fingerprint(self) -> str:
        return key_of("scripted", self.name)

    async def __call__(self, view: View) -> Turn:
        said = self.says(view)
        return turn_of(view, Reply(said, "answered" if said.strip() else "empty"), by=self.name)


def prompt(view: View, *, words: int = 100) -> str:
    """What a model is asked: `prompts/ROLE_KIND.md`, filled from the view alone; of a debater that
    nobody opposes, `ROLE_KIND_alone.md`."""
    is_alone = view.role == "debater" and view.kind in ALSO_ALONE and len(view.seating.speaks) == 1
    name = f"{view.role}_{view.kind}{'_alone' if is_alone else ''}"
    text = prompt_text("toprope.techniques.debate", f"prompts/{name}")
    position = view.position
    return filled(
        text,
        question=view.question.text,
        options=rendered_options(view.question, view.seating),
        passage=view.question.passage or "(there is none)",
        transcript=rendered(view.turns) or "(nobody has spoken yet)",
        speaker=view.speaker,
        letter="" if position is None else view.seating.letter(position),
        answer="" if position is None else view.question.options[position],
        round=view.round,
        rounds=view.rounds,
        words=words,
        **view.given,
    )


def rendered_options(question: Question, seating: Seating) -> str:
    return "\n".join(f"{seating.letter(i)}. {question.options[i]}" for i in seating.shown)


def rendered(turns: Sequence[Turn]) -> str:
    """The turns that are words, as debaters and judge read them."""
    return "\n\n".join(
        f"{turn.speaker} (round {turn.round}): {turn.text or '(says nothing)'}"
        for turn in turns
        if turn.kind not in ("bet", "choice")
    )


def turn_of(view: View, reply: Reply, *, by: str) -> Turn:
    """The turn that an answer amounts to."""
    turn = Turn(
        view.speaker,
        view.role,
        "",
        view.position,
        view.round,
        view.kind,
        by,
        tokens=reply.tokens,
        outcome=_outcome(reply),
    )
    if turn.outcome == "lost":
        return turn
    text, thoughts = parsing.split_thoughts(reply.text)
    turn = replace(turn, private=Private(scratchpad=thoughts))
    if view.kind == "bet":
        bet = parsing.percent(text)
        return replace(turn, private=Private(bet, "\n".join(filter(None, [thoughts, text]))))
    if view.kind == "choice":
        return _chosen(view, turn, text)
    if view.kind == "question":
        text = parsing.put_question(text, view.others)
    text, was_cut = parsing.own_turn(text, view.speaker, view.others)
    turn = replace(turn, text=text)
    if view.role not in UNINFORMED:
        marked = mark(text, view.question.passage, known=view.question.text)
        turn = replace(
            turn, text=marked.text, verified=marked.verified, unverified=marked.unverified
        )
    if turn.outcome == "refused":
        return turn
    if was_cut:
        return replace(turn, outcome="cut")
    if not text:
        return replace(turn, outcome="empty")
    if view.kind in SPOKEN and parsing.refuses(text):
        return replace(turn, outcome="refused")
    return turn


def _outcome(reply: Reply) -> TurnOutcome:
    if reply.is_lost:
        return "lost"
    if reply.outcome == "filtered":
        return "refused"
    return "empty" if reply.outcome == "empty" else "spoken"


def _chosen(view: View, turn: Turn, text: str) -> Turn:
    letters = [view.seating.letter(i) for i in view.seating.shown]
    said = parsing.letter(text, letters)
    option = view.seating.option(said) if said else None
    if option is None:
        return replace(turn, text=text)
    return replace(turn, text=text, position=option, values=(float(option),))


def estimated(claims: Sequence[str], estimates: Sequence[float | None]) -> str:
    """Claims with their probabilities, as a numbered list; None: nobody gave one."""
    said = ("not estimated" if p is None else f"{100 * p:.0f}%" for p in estimates)
    pairs = enumerate(zip(claims, said, strict=True), 1)
    return "\n".join(f"{i}. {claim} ({likely})" for i, (claim, likely) in pairs)
