"""Quoting: a debater lets the passage speak, by the sentences that most support its answer.

Perez et al. 2019 (arXiv 1909.05863): evidence agents that select sentences of a text, so that who
reads them alone believes their answer. A debater that writes may quote beside the point, make
quotes up, or give in; this one says its answer and true words that were chosen to persuade, and
what is measured is what a judge makes of them.
"""

import asyncio
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import cache, lru_cache

import numpy as np

from toprope.data.prompts import filled, prompt_text
from toprope.data.sentences import sentences
from toprope.journal import key_of
from toprope.once import Once
from toprope.study import code_version
from toprope.techniques.debate.debaters import Debater, View
from toprope.techniques.debate.judges import Hearing, Judge
from toprope.techniques.debate.questions import Question
from toprope.techniques.debate.quotes import mark, quoted
from toprope.techniques.debate.transcript import Turn, Verdict, rotations


@dataclass(frozen=True)
class Quoting:
    """A debater whose speeches are n sentences of the passage, in its order, that it hasn't said.

    It answers nobody: where it's asked something, its answer is the next sentences. What it argues
    for where it may choose is the answer to which its reader gives most after the whole passage: a
    small model that is asked for a letter says a favourite one. The tokens and calls of all
    readings of sentences are those of the turn that first needs them.

    Attributes:
        debater: who takes the other turns.
        reader: who reads each sentence as if it were the passage. Those are said after which it
            gives most to the answer argued for; the debater's own model, as a rule.
    """

    debater: Debater
    reader: Judge
    n: int = 1
    _read: Once[list[Verdict]] = field(default_factory=Once, init=False, repr=False, compare=False)

    @property
    def name(self) -> str:
        return f"{self.debater.name} (quotes {self.n})"

    @property
    def fingerprint(self) -> str:
        of = self.debater.fingerprint, self.reader.fingerprint, self.n
        return key_of("quoting", *of, _splitting())

    async def __call__(self, view: View) -> Turn:
        if view.kind == "choice":
            return await self._choice(view)
        position = view.position
        if view.kind != "speech" or position is None:
            return replace(await self.debater(view), by=self.name)
        every, key = quotable(view.question), key_of(view.question.as_json())
        is_first = key not in self._read
        read = await self._read(key, lambda: self._readings(view.question, every))
        turn = Turn(
            view.speaker,
            view.role,
            "",
            position,
            view.round,
            by=self.name,
            tokens=sum(one.tokens for one in read) if is_first else 0,
            calls=len(read) if is_first else 0,
        )
        if any(one.outcome == "lost" for one in read):
            return replace(turn, outcome="lost")
        support = {
            i: one.probabilities[position] for i, one in enumerate(read) if one.probabilities
        }
        if not support:
            return replace(turn, outcome="empty")
        said = _said(view)
        left = [i for i in support if quoted(every[i]) not in said]
        best = sorted(left, key=lambda i: (-support[i], i))[: self.n]
        words = speech(view.question, position, [every[i] for i in sorted(best)])
        return replace(turn, text=words, verified=len(best))

    def others(self, view: View, best: Turn, rng: np.random.Generator) -> Iterator[Turn]:
        """The same answer with as many other sentences, drawn, until too few are left.

        Args:
            best: its speech.
        """
        if not best.verified or best.position is None:
            return
        said = _said(view) + best.text
        every = [one for one in quotable(view.question) if quoted(one) not in said]
        drawn = rng.permutation(len(every))
        for at in range(0, len(every) - best.verified + 1, best.verified):
            some = [every[i] for i in sorted(drawn[at : at + best.verified])]
            words = speech(view.question, best.position, some)
            yield replace(best, text=words, tokens=0, calls=0)

    async def _choice(self, view: View) -> Turn:
        read = await self.reader(Hearing(view.question, view.seating))
        turn = Turn(
            view.speaker,
            view.role,
            "",
            round=view.round,
            kind=view.kind,
            by=self.name,
            outcome="lost" if read.outcome == "lost" else "spoken",
            tokens=read.tokens,
        )
        if read.answer is None:
            return turn
        named = f"Answer: {view.seating.letter(read.answer)}"
        return replace(turn, text=named, position=read.answer, values=(float(read.answer),))

    async def _readings(self, question: Question, every: Sequence[str]) -> list[Verdict]:
        """What the reader makes of each sentence; the same for every side and seating."""
        seating = rotations(question)[0]
        alone = (Hearing(replace(question, passage=one), seating) for one in every)
        return await asyncio.gather(*map(self.reader, alone))


def _said(view: View) -> str:
    """What the speaker has said before."""
    return " ".join(one.text for one in view.turns if one.speaker == view.speaker)


def speech(question: Question, position: int, quotes: Sequence[str]) -> str:
    """An answer and what the passage says for it."""
    form = prompt_text("toprope.techniques.debate", "prompts/quoting_speech")
    answer = question.options[position].strip().rstrip(".")
    return filled(form, answer=answer, quotes=" ".join(map(quoted, quotes))).strip()


def longest_speech(question: Question, n: int) -> str:
    """Of n sentences."""
    position = max(range(len(question.options)), key=lambda i: len(question.options[i]))
    return speech(question, position, sorted(quotable(question), key=len)[-n:])


@lru_cache(maxsize=1000)
def quotable(question: Question) -> tuple[str, ...]:
    """The sentences of a question's passage that would be verified as quotes, each once."""

    def stands(sentence: str) -> bool:
        marked = mark(f"<quote>{sentence}</quote>", question.passage)
        return (marked.verified, marked.unverified) == (1, 0)

    return tuple(filter(stands, dict.fromkeys(sentences(question.passage))))


@cache
def _splitting() -> str:
    """A key of what a sentence is."""
    return code_version("toprope.data", ("sentences.py",))
