"""Quoting: a debater lets the passage speak, by the sentences that most support its answer.

Perez et al. 2019 (arXiv 1909.05863): evidence agents that select sentences of a text, so that who
reads them alone believes their answer. A debater that writes may quote beside the point, make
quotes up, or give in; this one does none of it, and what is left of a protocol is what the judge
makes of true words that were chosen to persuade.
"""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from toprope.data.sentences import sentences
from toprope.journal import key_of
from toprope.models.chat import Reply
from toprope.techniques.debate.debaters import Debater, View, turn_of
from toprope.techniques.debate.judges import Hearing, Judge
from toprope.techniques.debate.questions import Question
from toprope.techniques.debate.transcript import Turn, Verdict, rotations


@dataclass(frozen=True)
class Quoting:
    """A debater whose speeches are n sentences of the passage, in its order, that it hasn't said.

    Attributes:
        debater: who takes the turns that are no speeches.
        reader: who reads each sentence as if it were the passage. Those are said after which it
            gives most to the answer argued for; the debater's own model, as a rule.
    """

    debater: Debater
    reader: Judge
    n: int = 1
    _read: dict[str, asyncio.Future[list[Verdict]]] = field(
        default_factory=dict, init=False, repr=False, compare=False
    )

    @property
    def name(self) -> str:
        return f"{self.debater.name} (quotes {self.n})"

    @property
    def fingerprint(self) -> str:
        return key_of("quoting", self.debater.fingerprint, self.reader.fingerprint, self.n)

    async def __call__(self, view: View) -> Turn:
        position = view.position
        if view.kind != "speech" or position is None:
            return replace(await self.debater(view), by=self.name)
        every = quotable(view.question)
        read = await self._readings(view.question, every)
        said = [turn.text for turn in view.turns if turn.speaker == view.speaker]
        left = [i for i, one in enumerate(every) if not any(one in text for text in said)]
        support = [one.probabilities[position] if one.probabilities else 0.0 for one in read]
        best = sorted(left, key=lambda i: (-support[i], i))[: self.n]
        quotes = (f"<quote>{every[i]}</quote>" for i in sorted(best))
        words = " ".join((f"The answer is {view.question.options[position]}.", *quotes))
        turn = turn_of(view, Reply(words, "answered"), by=self.name)
        return replace(turn, tokens=sum(one.tokens for one in read), calls=len(read))

    async def _readings(self, question: Question, every: Sequence[str]) -> list[Verdict]:
        """What the reader makes of each sentence; read once, for every side and seating."""
        key = key_of(question.as_json())
        if key not in self._read:
            seating = rotations(question)[0]
            alone = (Hearing(replace(question, passage=one), seating) for one in every)
            self._read[key] = asyncio.ensure_future(_all(self.reader, list(alone)))
        return await asyncio.shield(self._read[key])


def quotable(question: Question) -> list[str]:
    """The sentences of a question's passage, each once."""
    return list(dict.fromkeys(sentences(question.passage)))


async def _all(reader: Judge, hearings: Sequence[Hearing]) -> list[Verdict]:
    return await asyncio.gather(*map(reader, hearings))
