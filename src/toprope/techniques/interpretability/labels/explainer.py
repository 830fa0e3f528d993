"""The explainer: a chat model reads where a latent fires, and what it does to the model's next
words, and writes a label (Bills et al. 2023; Paulo et al. 2024, arXiv 2410.13928, section 3).

It's shown the strongest windows and some of every stratum, with the tokens that fire marked and
their activations from 1 to 10; where the caller has them, the tokens that the latent's direction
raises and lowers (`use/unembedding.py`), and what steering by it does, in words.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from toprope.data.seeding import named_rng
from toprope.techniques.interpretability.examples import LatentExamples
from toprope.techniques.interpretability.labels.labeller import Label
from toprope.techniques.interpretability.labels.prompting import (
    one_line,
    prompt,
    refuses,
    user,
)
from toprope.techniques.interpretability.labels.scorers.asking import digest
from toprope.techniques.interpretability.windows import Window

if TYPE_CHECKING:
    from toprope.models.chat import Chat, Reply
    from toprope.techniques.interpretability.use.unembedding import OutputSide

PREFILL = "label:"
"""Put in the model's mouth: small ones talk about the task otherwise."""

MOST_LISTED = 6
"""Tokens of a window whose activations are listed, the strongest."""


class ExplainerSettings(BaseModel):
    """
    Attributes:
        top: of the strongest windows, how many are shown.
        strata: of the stratified sample, likewise, drawn evenly over the quantiles.
        longest: words of a label; what is longer isn't one.
        seed: of what is drawn, and of the answer where `temperature` isn't 0. Other seeds show
            other windows: see `stability.py`.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    top: int = Field(default=6, ge=1)
    strata: int = Field(default=6, ge=0)
    longest: int = Field(default=40, ge=1)
    max_tokens: int = Field(default=60, ge=1)
    temperature: float = Field(default=0.0, ge=0)
    seed: int = 0


class Explainer:
    """A chat model that writes labels.

    Args:
        outputs: the output side of each latent, where it's known.
        effects: what steering by a latent does, in words, where that was tried.
    """

    def __init__(
        self,
        chat: Chat,
        settings: ExplainerSettings | None = None,
        *,
        outputs: Mapping[int, OutputSide] | None = None,
        effects: Mapping[int, str] | None = None,
    ) -> None:
        self.chat, self.settings = chat, settings or ExplainerSettings()
        self.outputs, self.effects = outputs or {}, effects or {}

    def reseeded(self, seed: int) -> Explainer:
        """The same with another seed."""
        settings = self.settings.model_copy(update={"seed": seed})
        return Explainer(self.chat, settings, outputs=self.outputs, effects=self.effects)

    @property
    def name(self) -> str:
        return f"explainer {self.chat.name}"

    def fingerprint(self, examples: LatentExamples) -> str:
        return digest(self.chat.fingerprint, self.settings.model_dump(), user(self.asked(examples)))

    async def label(self, examples: LatentExamples) -> Label:
        reply = await self.chat.ask(
            user(self.asked(examples)),
            prefill=PREFILL,
            max_tokens=self.settings.max_tokens,
            temperature=self.settings.temperature,
            seed=self.settings.seed,
        )
        return read_label(reply, self.settings.longest)

    def asked(self, examples: LatentExamples) -> str:
        """The question about a latent."""
        windows = self._chosen(examples)
        highest = max(window.peak for window in windows)
        shown = "\n".join(_example(i, window, highest) for i, window in enumerate(windows, 1))
        return prompt("explain", examples=shown, outputs=self._output_side(examples.latent))

    def _chosen(self, examples: LatentExamples) -> list[Window]:
        """The strongest first, then of each quantile in turn."""
        rng = named_rng(self.settings.seed, "explainer", str(examples.latent))
        top = _drawn(examples.top, self.settings.top, rng)
        order = [examples.strata[i] for i in rng.permutation(len(examples.strata))]
        of_quantile: dict[int, int] = {}
        ranked = []
        for window in order:
            quantile = window.quantile or 0
            of_quantile[quantile] = of_quantile.get(quantile, 0) + 1
            ranked.append((of_quantile[quantile], -quantile))
        evenly = [order[i] for i in sorted(range(len(order)), key=lambda i: ranked[i])]
        strata = sorted(evenly[: self.settings.strata], key=lambda one: -one.peak)
        return [*top, *strata]

    def _output_side(self, latent: int) -> str:
        found = ""
        if outputs := self.outputs.get(latent):
            found += prompt(
                "outputs",
                promoted=_quoted([one.text for one in outputs.promoted]),
                suppressed=_quoted([one.text for one in outputs.suppressed]),
            )
        if effect := self.effects.get(latent):
            found += "\n" * bool(found) + prompt("effect", effect=effect)
        return f"\n{found}\n" if found else ""


async def paraphrase(chat: Chat, label: str, *, longest: int = 40) -> Label:
    """The label in a chat model's other words."""
    reply = await chat.ask(user(prompt("paraphrase", label=label)), prefill=PREFILL, max_tokens=60)
    return read_label(reply, longest)


def read_label(reply: Reply, longest: int) -> Label:
    """The label in an answer: what is behind the last "label:", or the line that goes on from there
    or is the only one. A served model may not go on from what it's given, but begin anew."""
    if reply.is_lost:
        return Label("", "lost")
    if reply.outcome == "filtered":
        return Label("", "refused")
    if reply.outcome == "empty":
        return Label("", "empty")
    lines = [line for line in reply.text.split("\n") if line.strip()]
    named = re.findall(r"^[\W_]*label[\W_]*:[ \t]*(.*)$", reply.text, re.I | re.M)
    if named:
        text = _cleaned(named[-1])
    elif refuses(reply.text):
        return Label("", "refused")
    elif len(lines) == 1 or reply.text.startswith(" "):
        text = _cleaned(lines[0])
    else:
        return Label("", "unparsable")
    if not text:
        return Label("", "empty")
    if refuses(text):
        return Label("", "refused")
    if len(text.split()) > longest:
        return Label("", "unparsable")
    return Label(text)


def _example(number: int, window: Window, highest: float) -> str:
    strongest = sorted(window.active, key=lambda i: -window.activations[i])[:MOST_LISTED]
    listed = ", ".join(
        f'"{one_line(window.tokens[i])}" {_scaled(window.activations[i], highest)}'
        for i in sorted(strongest)
    )
    return f"Piece {number}: {one_line(window.marked(window.active))} [{listed}]"


def _scaled(value: float, highest: float) -> int:
    """1 to 10."""
    return max(1, round(10 * value / highest))


def _drawn(windows: Sequence[Window], most: int, rng: np.random.Generator) -> list[Window]:
    """Some of them, in their order."""
    chosen = sorted(rng.permutation(len(windows))[:most].tolist())
    return [windows[i] for i in chosen]


def _quoted(tokens: Sequence[str]) -> str:
    return ", ".join(f'"{one_line(token)}"' for token in tokens)


def _cleaned(text: str) -> str:
    """Without markdown, and without quotes around the whole."""
    text = " ".join(re.sub(r"\*\*|__|`", "", text).split())
    quoted = re.fullmatch(r"[\"“]([^\"“”]*)[\"”]\.?", text)
    return (quoted[1] if quoted else text).strip()
