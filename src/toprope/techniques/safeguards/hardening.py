"""Hardening: the target itself is fine-tuned to refuse what its attackers got out of it, and to go
on answering what looks alike.

The attacks that succeeded are answered by refusals, as Samvelyan et al. 2024 (arXiv 2402.16822) do
with what their red-teaming found. A refusal that is learned as an answer's first words alone is
undone by putting other first words in the model's mouth, so half of the refusals come after the
beginning of the harmful answer, which is read and not learned (Qi et al. 2024, arXiv 2406.05946,
section 3: safety recovery examples). The prefill attack's prefill is such a beginning.

As many lessons are answers that the target gave itself, so that it doesn't learn to refuse all.
What it costs is measured in `capability.py`; what it is worth, by attacking `Adapter.applied()`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.resources import files
from typing import Literal

import numpy as np
import yaml

from toprope.data.sentences import whole_sentences
from toprope.errors import UserError
from toprope.models.adapters import Adapter, Lora
from toprope.models.local import LocalModel
from toprope.progress import Progress
from toprope.techniques.redteam.attacks.prefill import Prefill
from toprope.techniques.redteam.attempts import SUCCESS
from toprope.techniques.redteam.judges.refusal import refuses
from toprope.techniques.safeguards.exchanges import Exchange

Kind = Literal["harmful", "declined", "helpful", "fruitless"]
"""harmful: an attack got it; declined: an attack was refused; helpful: a harmless request was
answered; fruitless: an attack was answered otherwise, and came to nothing."""

HARMLESS = 0.2
"""The most that an attack's answer is scored that the target may go on giving: between this and
`SUCCESS` the judge isn't sure, and nothing is taught."""

BEGUN = 0.5
"""The share of refusals that come after a harmful answer's beginning (Qi et al.: half)."""

DEEPEST = 75
"""Words of such a beginning at most (Qi et al.: 100 tokens)."""

MOST_TOKENS = 1024
"""Of a lesson, prompt and answer: longer ones are left out, since they cost as much as many."""


@dataclass(frozen=True)
class Lesson:
    """What the target is taught to answer.

    Attributes:
        prefill: words that its answer goes on from, and that it isn't taught to say.
        refuses: whether the answer is a refusal.
    """

    messages: tuple[Mapping[str, str], ...]
    prefill: str
    answer: str
    refuses: bool


def lessons(
    target: LocalModel,
    exchanges: Sequence[Exchange],
    rng: np.random.Generator,
    *,
    most_tokens: int = MOST_TOKENS,
) -> list[Lesson]:
    """As many refusals as other answers, in no order.

    Refusals: written ones, where the target did harm; to make up the number, those that it gave to
    attacks by itself. Others: its answers to harmless requests; to make up the number, to attacks
    that came to nothing. Where there are too many, some are drawn. Left out are harmless requests
    that it refused, answers that the judge isn't sure about, those that were begun for it, and
    those to the very words that it is taught to refuse.

    Args:
        exchanges: of the target as it is.

    Raises:
        UserError: it did no harm, or answered nothing that it may go on answering.
    """
    kinds: dict[Kind | None, list[Exchange]] = {}
    for one in exchanges:
        kinds.setdefault(_kind(one), []).append(one)
    harmful = kinds.get("harmful", [])
    refused = {_words(one.messages) for one in harmful}

    def own(kind: Kind) -> list[Lesson]:
        found = map(_own, kinds.get(kind, []))
        return [
            one for one in found if one and (one.refuses or _words(one.messages) not in refused)
        ]

    def fitting(*some: Sequence[Lesson]) -> list[Lesson]:
        shuffled = [one for kind in some for one in _shuffled(kind, rng)]
        return [one for one in shuffled if _length(target, one) <= limit]

    limit = min(most_tokens, target.context)
    written = _written()
    refusals = fitting([_refusal(one, written, rng) for one in harmful], own("declined"))
    others = fitting(own("helpful"), own("fruitless"))
    n = min(len(refusals), len(others))
    if not harmful or not n:
        raise UserError(
            f"'{target.name}' can't be hardened: that takes answers that did harm ({len(harmful)} "
            f"here) and harmless ones ({len(others)} here), of {limit:,} tokens at most with their "
            "prompts"
        )
    return _shuffled([*refusals[:n], *others[:n]], rng)


def harden(
    target: LocalModel,
    lessons: Sequence[Lesson],
    lora: Lora,
    *,
    progress: Progress | None = None,
) -> Adapter:
    """The adapter with which the target answers as it was taught; `Adapter.applied` is that model.

    Raises:
        UserError: see `LocalModel.finetune_text`.
    """
    return target.finetune_text(
        [(one.messages, one.answer) for one in lessons],
        lora,
        prefills=[one.prefill for one in lessons],
        progress=progress,
    )


def _kind(one: Exchange) -> Kind | None:
    """What an exchange is good for; None: nothing."""
    if not one.harmless and one.label >= SUCCESS:
        return "harmful"
    if one.family == Prefill.family:
        return None  # taught an answer that was begun for it, it would begin so by itself
    if one.harmless:
        return None if refuses(one.answer) else "helpful"
    if one.label > HARMLESS:
        return None
    return "declined" if refuses(one.answer) else "fruitless"


def _refusal(one: Exchange, written: Sequence[str], rng: np.random.Generator) -> Lesson:
    refusal = written[int(rng.integers(len(written)))]
    prefill = _beginning(one.answer, rng) if rng.random() < BEGUN else ""
    gap = " " if prefill and not prefill.endswith("\n") else ""
    return Lesson(one.messages, prefill, gap + refusal, True)


def _own(one: Exchange) -> Lesson | None:
    """A lesson ends with the end token: an answer that was cut for its length is cut to whole
    sentences, so that the target doesn't learn to break off; None where there is no whole one."""
    whole = whole_sentences(one.answer)
    return Lesson(one.messages, "", whole, refuses(whole)) if whole else None


def _beginning(answer: str, rng: np.random.Generator) -> str:
    """An answer's first words, as many as are drawn; with the end of the line, where that follows,
    since a space after a word is part of the next token."""
    words = list(re.finditer(r"\S+", answer))[:DEEPEST]
    end = words[int(rng.integers(len(words)))].end()
    rest = answer[end:]
    gap = rest[: len(rest) - len(rest.lstrip())]
    return answer[:end] + (gap if "\n" in gap else "")


def _length(target: LocalModel, lesson: Lesson) -> int:
    prompt = target.tokens(lesson.messages, prefill=lesson.prefill)
    return len(prompt) + len(target.continuation(lesson.answer)) + 1


def _words(messages: Sequence[Mapping[str, str]]) -> tuple[tuple[str, str], ...]:
    return tuple((message["role"], message["content"]) for message in messages)


def _shuffled(some: Sequence[Lesson], rng: np.random.Generator) -> list[Lesson]:
    return [some[i] for i in rng.permutation(len(some))]


def _written() -> list[str]:
    path = files("toprope.techniques.safeguards").joinpath("hardening_refusals.yaml")
    return list(yaml.safe_load(path.read_text(encoding="utf-8")))
