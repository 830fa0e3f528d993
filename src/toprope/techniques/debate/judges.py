"""Judges: whoever decides which answer is right, from what a protocol lets it see.

A judge is an async function from a `Hearing` to a `Verdict`. A chat model is asked for an answer
and a probability of each; a local model's probabilities are those of the letters as its next words
(as in Kenton et al. 2024, arXiv 2407.04622), or those of the answers' own words, since a small
model may know an answer whose letter it doesn't. A blind judge hears nobody; an expert has the
passage; each is told of nothing else.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import cache
from itertools import product
from typing import Literal, Protocol

from toprope.data.prompts import filled, prompt_text
from toprope.errors import UserError
from toprope.journal import key_of
from toprope.models.chat import Chat, Reply
from toprope.models.local import LocalModel, Prompt
from toprope.models.together import Together
from toprope.study import code_version
from toprope.techniques.debate import parsing
from toprope.techniques.debate.debaters import rendered, rendered_options
from toprope.techniques.debate.questions import LETTERS, Question
from toprope.techniques.debate.transcript import Seating, Turn, Verdict

Asked = Literal["letter", "answer", "verdict"]
"""What a judge is to reply with: a letter, the answer's own words, or an answer with probabilities
(`prompts/judging/`)."""

Here = Literal["letters", "answers"]
"""How a model in this process judges."""

JUDGED_BY = ("judges.py", "parsing.py")
"""What verdicts depend on, beside a judge's own and the words that it's asked in."""

ASKED: dict[Here, Asked] = {"letters": "letter", "answers": "answer"}


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
        return key_of("chat judge", self.chat.fingerprint, *settings, form("verdict"), _code())

    async def __call__(self, hearing: Hearing) -> Verdict:
        reply = await self.chat.ask(
            [{"role": "user", "content": prompt(hearing, "verdict")}],
            max_tokens=self.max_tokens,
            temperature=self.temperature,
            seed=self.seed,
        )
        return verdict_of(hearing, reply)


@dataclass(frozen=True)
class LocalJudge:
    """A model in this process, by the probabilities of what it may say next.

    What many hearings ask at once is read in batches, and what several of a batch ask alike once:
    by answers, a question's seatings often differ in nothing that is read.

    Attributes:
        by: letters: each answer's letter; answers: its own words, after a question that doesn't
            list them, since a small model otherwise repeats the one in a favourite place; by the
            mean over their tokens' log-probabilities, so that a long answer isn't the less likely
            for it.
    """

    model: LocalModel
    by: Here = "letters"
    _asking: dict[int, Together[tuple[Prompt, list[str]], tuple[float, ...]]] = field(
        default_factory=dict, init=False, repr=False, compare=False
    )

    @property
    def name(self) -> str:
        return self.model.name

    @property
    def fingerprint(self) -> str:
        return key_of("local judge", self.model.fingerprint, self.by, form(ASKED[self.by]), _code())

    async def __call__(self, hearing: Hearing) -> Verdict:
        """
        Raises:
            UserError: what is to be read is longer than the model's context.
        """
        n = len(hearing.seating.shown)
        if self.by == "letters":
            options, said = hearing.seating.shown, letters(self.model, n)
        else:
            options, said = range(n), answers(self.model, hearing.question)
        asked, tokens = _read_by(self.model, hearing, ASKED[self.by], said, judge=self.name)
        asking = self._asking.setdefault(n, Together(self._probabilities))
        by_option = dict(zip(options, await asking((asked, said)), strict=True))
        ordered = tuple(by_option[i] for i in range(n))
        answer = max(range(n), key=ordered.__getitem__)
        return Verdict(answer, ordered, round=hearing.round, tokens=tokens)

    def _probabilities(self, cases: Sequence[tuple[Prompt, list[str]]]) -> list[tuple[float, ...]]:
        """Of what may be said behind each prompt."""
        keys = [key_of(*case) for case in cases]
        unlike = dict(zip(keys, cases, strict=True))
        prompts, said = zip(*unlike.values(), strict=True)
        length = "sum" if self.by == "letters" else "mean"
        found = self.model.option_probs(prompts, said, length=length)
        by_key = dict(zip(unlike, found, strict=True))
        return [tuple(map(float, by_key[key])) for key in keys]


def letter_prompt(model: LocalModel, hearing: Hearing, *, judge: str) -> tuple[Prompt, int]:
    """What a model in this process reads before it names a letter, and how many tokens that is.

    Args:
        judge: its name, for the error.

    Raises:
        UserError: they're more than the model's context has room for, with a letter to follow.
    """
    said = letters(model, len(hearing.seating.shown))
    return _read_by(model, hearing, "letter", said, judge=judge)


def _read_by(
    model: LocalModel, hearing: Hearing, asked_for: Asked, said: Sequence[str], *, judge: str
) -> tuple[Prompt, int]:
    """What is read before one of the answers `said`, and how many tokens that is."""
    text = prompt(hearing, asked_for)
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


def answers(model: LocalModel, question: Question) -> list[str]:
    """The answers, as they follow the prompt."""
    before = "" if model.tokenizer.chat_template else " "
    return [f"{before}{option}" for option in question.options]


def letters(model: LocalModel, n: int) -> list[str]:
    """The first n letters, as they follow what `letter_prompt` gives."""
    before = "" if model.tokenizer.chat_template else " "
    return [f"{before}{one}" for one in LETTERS[:n]]


def prompt(hearing: Hearing, asked: Asked) -> str:
    """What a judge is asked: those parts of `prompts/judging/` that there is something for."""
    seating = hearing.seating
    question, said = hearing.question, rendered(hearing.turns)
    return filled(
        _open_prompt(asked, passage=bool(question.passage), heard=said),
        passage=question.passage,
        question=question.text,
        options=rendered_options(question, seating),
        transcript=said,
        form="\n".join(f"{seating.letter(i)}: (percent)" for i in seating.shown),
    )


def form(asked: Asked) -> str:
    """A key of all forms that a judge may be asked in."""
    shapes = product((False, True), ("", "words", "<v_quote>"))
    return key_of(*(_open_prompt(asked, passage=there, heard=said) for there, said in shapes))


def longest_prompt(asked: Asked) -> str:
    """The form with the most parts, its slots open."""
    return _open_prompt(asked, passage=True, heard="<v_quote>")


def _open_prompt(asked: Asked, *, passage: bool, heard: str) -> str:
    """The parts in their order: a small model answers what it read last."""
    parts = {
        "passage": passage,
        "heard": bool(heard),
        "quotes": "_quote>" in heard,
        "case": True,
        "answers": asked != "answer",
        asked: True,
    }
    folder = "prompts/judging"
    texts = (
        prompt_text("toprope.techniques.debate", f"{folder}/{name}")
        for name, there in parts.items()
        if there
    )
    return "\n\n".join(texts)


@cache
def _code() -> str:
    """A key of how verdicts are read."""
    return code_version("toprope.techniques.debate", JUDGED_BY)


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
