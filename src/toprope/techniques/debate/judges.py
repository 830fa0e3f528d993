"""Judges: whoever decides which answer is right, from what a protocol lets it see.

A judge is an async function from a `Hearing` to a `Verdict`. A chat model is asked for an answer
and a probability of each; a local model's probabilities are those of the letters as its next words
(as in Kenton et al. 2024, arXiv 2407.04622). A blind judge hears nobody; an expert has the passage.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Protocol

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
    """A model in this process, by the probabilities of the letters as its next words.

    What many hearings ask at once is read in batches.
    """

    model: LocalModel
    _asking: dict[int, Together[Prompt, tuple[float, ...]]] = field(
        default_factory=dict, init=False, repr=False, compare=False
    )

    @property
    def name(self) -> str:
        return self.model.name

    @property
    def fingerprint(self) -> str:
        return key_of("local judge", self.model.fingerprint)

    async def __call__(self, hearing: Hearing) -> Verdict:
        """
        Raises:
            UserError: what is to be read is longer than the model's context.
        """
        seating, n = hearing.seating, len(hearing.seating.shown)
        asked, tokens = letter_prompt(self.model, hearing, judge=self.name)
        asking = self._asking.setdefault(n, Together(lambda some: self._read(some, n)))
        shown = await asking(asked)
        by_option = dict(zip(seating.shown, shown, strict=True))
        ordered = tuple(by_option[i] for i in range(n))
        answer = max(range(n), key=ordered.__getitem__)
        return Verdict(answer, ordered, round=hearing.round, tokens=tokens)

    def _read(self, prompts: Sequence[Prompt], n: int) -> list[tuple[float, ...]]:
        probs_NO = self.model.option_probs(prompts, letters(self.model, n))
        return [tuple(map(float, probs_O)) for probs_O in probs_NO]


def letter_prompt(model: LocalModel, hearing: Hearing, *, judge: str) -> tuple[Prompt, int]:
    """What a model in this process reads before it names a letter, and how many tokens that is.

    Args:
        judge: its name, for the error.

    Raises:
        UserError: they're more than the model's context has room for, with a letter to follow.
    """
    text = prompt(hearing, LETTER)
    in_chat = bool(model.tokenizer.chat_template)
    asked: Prompt = [{"role": "user", "content": text}] if in_chat else f"{text}\nAnswer:"
    tokens = len(model.tokens(asked))
    if tokens >= model.context:
        raise UserError(
            f"what judge '{judge}' is to read of question '{hearing.question.id}' has "
            f"{tokens:,} tokens, {tokens - model.context + 1:,} too many for its context: "
            "split the passage, take fewer or shorter turns, or another judge"
        )
    return asked, tokens


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
