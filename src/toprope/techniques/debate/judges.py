"""Judges: whoever decides which answer is right, from what a protocol lets it see.

A judge is an async function from a `Hearing` to a `Verdict`. A chat model is asked for an answer
and a probability of each; a local model's probabilities are those of the letters as its next words
(as in Kenton et al. 2024, arXiv 2407.04622), or those of the answers' own words, since a small
model may know an answer whose letter it doesn't. A blind judge hears nobody; an expert has the
passage.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from toprope.data.prompts import filled, prompt_text
from toprope.errors import UserError
from toprope.journal import key_of
from toprope.models.chat import Chat, Reply
from toprope.models.local import LocalModel, Prompt
from toprope.models.together import Together
from toprope.techniques.debate import parsing
from toprope.techniques.debate.debaters import rendered, rendered_options
from toprope.techniques.debate.questions import Question
from toprope.techniques.debate.transcript import Seating, Turn, Verdict

NO_PASSAGE = "(it does not)"

LETTER = "judge_letter"
"""The prompt that is answered by a letter."""

ANSWER = "judge_answer"
"""The prompt that is answered by an answer's own words."""

Here = Literal["letters", "answers"]
"""How a model in this process judges."""


@dataclass(frozen=True)
class Hearing:
    """All that a judge knows.

    Attributes:
        question: without its passage, except for an expert.
        turns: public ones, without what is their speakers' own.
        round: after which it's asked.
    """

    question: Question
    seating: Seating
    turns: tuple[Turn, ...] = ()
    round: int = 0


class Judge(Protocol):
    """
    Attributes:
        fingerprint: of all that its verdicts depend on.
    """

    @property
    def name(self) -> str: ...

    @property
    def fingerprint(self) -> str: ...

    async def __call__(self, hearing: Hearing) -> Verdict: ...


@dataclass(frozen=True)
class ChatJudge:
    """A chat model that says its answer and its probabilities."""

    chat: Chat
    max_tokens: int = 200
    temperature: float = 0.0
    seed: int = 0

    @property
    def name(self) -> str:
        return self.chat.name

    @property
    def fingerprint(self) -> str:
        settings = self.max_tokens, self.temperature, self.seed
        return key_of("chat judge", self.chat.fingerprint, *settings)

    async def __call__(self, hearing: Hearing) -> Verdict:
        reply = await self.chat.ask(
            [{"role": "user", "content": prompt(hearing, "judge_verdict")}],
            max_tokens=self.max_tokens,
            temperature=self.temperature,
            seed=self.seed,
        )
        return verdict_of(hearing, reply)


@dataclass(frozen=True)
class LocalJudge:
    """A model in this process, by the probabilities of what it may say next.

    What many hearings ask at once is read in batches, by answers those of the same question.

    Attributes:
        by: letters: each answer's letter; answers: its own words, by the mean over their tokens'
            log-probabilities, so that a long answer isn't the less likely for it.
    """

    model: LocalModel
    by: Here = "letters"
    _asking: dict[tuple[str, ...], Together[Prompt, tuple[float, ...]]] = field(
        default_factory=dict, init=False, repr=False, compare=False
    )

    @property
    def name(self) -> str:
        return self.model.name

    @property
    def fingerprint(self) -> str:
        # Verdicts that were kept before there was another way are those by letters.
        about = () if self.by == "letters" else (self.by,)
        return key_of("local judge", self.model.fingerprint, *about)

    async def __call__(self, hearing: Hearing) -> Verdict:
        """
        Raises:
            UserError: what is to be read is longer than the model's context.
        """
        seating, n = hearing.seating, len(hearing.seating.shown)
        if self.by == "letters":
            name, read, said = LETTER, self._by_letters, letters(self.model, n)
        else:
            name, read, said = ANSWER, self._by_answers, answers(self.model, hearing)
        asked, tokens = _read_by(self.model, hearing, name, said, judge=self.name)
        asking = self._asking.setdefault(tuple(said), Together(lambda some: read(some, said)))
        shown = await asking(asked)
        by_option = dict(zip(seating.shown, shown, strict=True))
        ordered = tuple(by_option[i] for i in range(n))
        answer = max(range(n), key=ordered.__getitem__)
        return Verdict(answer, ordered, round=hearing.round, tokens=tokens)

    def _by_letters(self, prompts: Sequence[Prompt], said: Sequence[str]) -> list[tuple]:
        return _rows(self.model.option_probs(prompts, said))

    def _by_answers(self, prompts: Sequence[Prompt], said: Sequence[str]) -> list[tuple]:
        """The prompt is read once, however many answers there are."""
        read = self.model.activations(prompts, [0], continuations=said, score=True)
        lengths_O = [len(self.model.continuation(one)) for one in said]
        weights_NO = np.exp(read.scores / lengths_O)
        return _rows(weights_NO / weights_NO.sum(1, keepdims=True))


def _rows(probs_NO: NDArray) -> list[tuple[float, ...]]:
    return [tuple(map(float, probs_O)) for probs_O in probs_NO]


def letter_prompt(model: LocalModel, hearing: Hearing, *, judge: str) -> tuple[Prompt, int]:
    """What a model in this process reads before it names a letter, and how many tokens that is.

    Args:
        judge: its name, for the error.

    Raises:
        UserError: they're more than the model's context has room for, with a letter to follow.
    """
    said = letters(model, len(hearing.seating.shown))
    return _read_by(model, hearing, LETTER, said, judge=judge)


def _read_by(
    model: LocalModel, hearing: Hearing, name: str, said: Sequence[str], *, judge: str
) -> tuple[Prompt, int]:
    """What is read before one of the answers `said`, and how many tokens that is."""
    text = prompt(hearing, name)
    in_chat = bool(model.tokenizer.chat_template)
    asked: Prompt = [{"role": "user", "content": text}] if in_chat else f"{text}\nAnswer:"
    tokens = len(model.tokens(asked))
    room = model.context - max(len(model.continuation(one)) for one in said)
    if tokens > room:
        raise UserError(
            f"what judge '{judge}' is to read of question '{hearing.question.id}' has "
            f"{tokens:,} tokens, {tokens - room:,} too many for its context: "
            "split the passage, take fewer or shorter turns, or another judge"
        )
    return asked, tokens


def answers(model: LocalModel, hearing: Hearing) -> list[str]:
    """The answers in the order that they're shown in, as they follow the prompt."""
    before = "" if model.tokenizer.chat_template else " "
    return [f"{before}{hearing.question.options[i]}" for i in hearing.seating.shown]


def letters(model: LocalModel, n: int) -> list[str]:
    """The first n letters, as they follow what `letter_prompt` gives."""
    before = "" if model.tokenizer.chat_template else " "
    return [f"{before}{chr(ord('A') + i)}" for i in range(n)]


def prompt(hearing: Hearing, name: str) -> str:
    seating = hearing.seating
    return filled(
        prompt_text("toprope.techniques.debate", f"prompts/{name}"),
        question=hearing.question.text,
        options=rendered_options(hearing.question, seating),
        passage=hearing.question.passage or NO_PASSAGE,
        transcript=rendered(hearing.turns) or "(nobody spoke)",
        form="\n".join(f"{seating.letter(i)}: (percent)" for i in seating.shown),
    )


def verdict_of(hearing: Hearing, reply: Reply) -> Verdict:
    """The verdict that a model's answer amounts to."""
    verdict = Verdict(None, text=reply.text, round=hearing.round, tokens=reply.tokens)
    if reply.is_lost:
        return replace(verdict, outcome="lost")
    if reply.outcome == "filtered":
        return replace(verdict, outcome="refused")
    if not reply.text.strip():
        return replace(verdict, outcome="empty")
    seating = hearing.seating
    letters = [seating.letter(i) for i in seating.shown]
    text, _ = parsing.split_thoughts(reply.text)
    said, shown = parsing.letter(text, letters), parsing.probabilities(text, letters)
    if said is None and shown is not None and shown.count(max(shown)) == 1:
        said = letters[shown.index(max(shown))]
    if said is None:
        return replace(verdict, outcome="refused" if parsing.refuses(text) else "unnamed")
    answer = seating.option(said)
    if shown is None:
        sure = tuple(float(i == answer) for i in range(len(letters)))
        return replace(verdict, answer=answer, probabilities=sure, stated=False)
    by_option = dict(zip(seating.shown, shown, strict=True))
    ordered = tuple(by_option[i] for i in range(len(letters)))
    return replace(verdict, answer=answer, probabilities=ordered)
