"""Asking a judge whether windows fit a label: a chat model for several windows in one answer, or a
local model for one at a time, by the probability of "yes" against "no", where nothing can be
unparsable.

What is asked is a `Task`: detection or fuzzing (Paulo et al. 2024, arXiv 2410.13928, section 3).
"""

from __future__ import annotations

import asyncio
import hashlib
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from toprope.models.together import Together
from toprope.techniques.interpretability.examples import LatentExamples
from toprope.techniques.interpretability.labels.prompting import (
    one_line,
    prompt,
    prompt_text,
    refuses,
    user,
)
from toprope.techniques.interpretability.labels.scorers.scorer import (
    Item,
    Negatives,
    Verdict,
    named,
)

if TYPE_CHECKING:
    from toprope.models.chat import Chat
    from toprope.models.local import LocalModel

TOGETHER = 256
"""Prompts that a local model is given at once, to be batched by length."""


@dataclass(frozen=True)
class Task:
    """What a judge decides of a window.

    Attributes:
        name: its prompts are NAME_list.md and NAME_one.md.
        items: see `Scorer.items`.
        shown: a window as the judge sees it.
    """

    name: str
    items: Callable[[LatentExamples, np.random.Generator, Negatives], list[Item]]
    shown: Callable[[Item], str]


@dataclass(frozen=True)
class ChatScorer:
    """A chat model's marks.

    Attributes:
        per_call: windows in one question; five as in Delphi.
    """

    chat: Chat
    task: Task
    per_call: int = 5
    negatives: Negatives = "hard"
    needs_label: bool = field(default=True, init=False)

    @property
    def name(self) -> str:
        return named(self.task.name, self.negatives)

    @property
    def fingerprint(self) -> str:
        return digest(self.chat.fingerprint, self.per_call, self._prompt, self.negatives)

    def items(self, examples: LatentExamples, rng: np.random.Generator) -> list[Item]:
        return self.task.items(examples, rng, self.negatives)

    async def score(self, label: str, items: Sequence[Item]) -> list[Verdict]:
        groups = [items[i : i + self.per_call] for i in range(0, len(items), self.per_call)]
        found = await asyncio.gather(*(self._ask(label, group) for group in groups))
        return [verdict for group in found for verdict in group]

    async def _ask(self, label: str, items: Sequence[Item]) -> list[Verdict]:
        windows = "\n".join(
            f"Piece {i}: {one_line(self.task.shown(item))}" for i, item in enumerate(items, 1)
        )
        asked = prompt(f"{self.task.name}_list", label=label, n=len(items), windows=windows)
        reply = await self.chat.ask(user(asked), max_tokens=8 + 4 * len(items))
        if reply.is_lost:
            return [Verdict(None, None, "lost")] * len(items)
        if reply.outcome == "filtered":
            return [Verdict(None, None, "refused")] * len(items)
        return marks(reply.text, len(items))

    @property
    def _prompt(self) -> str:
        return prompt_text(f"{self.task.name}_list")


@dataclass(frozen=True)
class LocalScorer:
    """A local model's probability of "yes". It decides nothing: where to cut is learned from other
    latents (`measures.cuts`), since small models lean to one answer."""

    model: LocalModel
    task: Task
    negatives: Negatives = "hard"
    needs_label: bool = field(default=True, init=False)
    _together: Together[str, float] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_together", Together(self._probabilities, TOGETHER))

    @property
    def name(self) -> str:
        return named(self.task.name, self.negatives)

    @property
    def fingerprint(self) -> str:
        open_prompt = prompt_text(f"{self.task.name}_one")
        return digest(self.model.fingerprint, open_prompt, self.negatives)

    def items(self, examples: LatentExamples, rng: np.random.Generator) -> list[Item]:
        return self.task.items(examples, rng, self.negatives)

    async def score(self, label: str, items: Sequence[Item]) -> list[Verdict]:
        asked = [
            prompt(f"{self.task.name}_one", label=label, window=one_line(self.task.shown(item)))
            for item in items
        ]
        found = await asyncio.gather(*(self._together(text) for text in asked))
        return [Verdict(probability, None) for probability in found]

    def _probabilities(self, asked: Sequence[str]) -> list[float]:
        return among(self.model, asked, ["yes", "no"])[:, 0].tolist()


def among(model: LocalModel, asked: Sequence[str], options: Sequence[str]) -> np.ndarray:
    """The probability of each option as the answer, [N, O]: of a model that is tuned for chat in
    its turn, of a base model behind the word that asks for it."""
    if model.tokenizer.chat_template:
        return model.option_probs([user(text) for text in asked], options)
    return model.option_probs([f"{text}\nAnswer:" for text in asked], [f" {o}" for o in options])


def marks(text: str, n: int) -> list[Verdict]:
    """The marks that an answer holds: n of 1, 0 and ?, in brackets or alone on a line."""
    listed = re.findall(r"\[([^\[\]]*)\]", text) or text.strip().split("\n")
    for one in reversed(listed):
        found = re.findall(r"[01?]", one)
        if len(found) == n and not re.search(r"[^01?,;\s'\"]", one):
            return [_verdict(mark) for mark in found]
    return [Verdict(None, None, "refused" if refuses(text) else "unparsable")] * n


def _verdict(mark: str) -> Verdict:
    if mark == "?":
        return Verdict(None, None, "abstained")
    return Verdict(float(mark), mark == "1")


def digest(*parts: object) -> str:
    """A fingerprint of what decides verdicts."""
    return hashlib.sha256(repr(parts).encode()).hexdigest()[:16]
