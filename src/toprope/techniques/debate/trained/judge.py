"""The trained judge: a score for each option from its reading, and softmax over the options.

There are two scorers, each trained on the same questions: one for hearings with words, one for the
question and its options alone. So what such a judge thinks before anyone spoke, or in the blind
protocol, is what can be learned about these questions without a debate, and the gain over it is the
words' own.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from toprope.journal import key_of
from toprope.models.adapters import Adapter
from toprope.models.heads import Head, softmax
from toprope.models.local import LocalModel, Prompt
from toprope.models.together import Together
from toprope.progress import Progress
from toprope.techniques.debate.judges import Hearing, form, letter_prompt, letters
from toprope.techniques.debate.trained.about import About
from toprope.techniques.debate.trained.reading import among_letters, has_words, silenced
from toprope.techniques.debate.transcript import Verdict


class Scorer(Protocol):
    @property
    def fingerprint(self) -> str: ...

    def scores(
        self, prompts: Sequence[Prompt], n: int, *, progress: Progress | None = None
    ) -> NDArray:
        """[N, n]: of the first n letters behind each prompt, such that softmax over those that a
        hearing has gives their probabilities."""
        ...


@dataclass(frozen=True)
class HeadScorer:
    """A linear head on the state at a letter.

    Attributes:
        layer: of the model.
        head: gives one number, [N, 1].
    """

    model: LocalModel
    layer: int
    head: Head

    @property
    def fingerprint(self) -> str:
        arrays = self.head.mean_D, self.head.scale_D, self.head.weight_DC, self.head.bias_C
        numbers = [np.asarray(one, np.float64).tobytes().hex() for one in arrays]
        return key_of("head", self.model.fingerprint, self.layer, numbers)

    def scores(
        self, prompts: Sequence[Prompt], n: int, *, progress: Progress | None = None
    ) -> NDArray:
        x_ND = states(self.model, prompts, n, [self.layer], progress=progress)[self.layer]
        return self.head.logits(x_ND).reshape(len(prompts), n)


@dataclass(frozen=True)
class LoraScorer:
    """The letters' probabilities as a fine-tuned model's next words."""

    adapter: Adapter
    model: LocalModel

    @classmethod
    def of(cls, adapter: Adapter) -> LoraScorer:
        return cls(adapter, adapter.applied())

    @property
    def fingerprint(self) -> str:
        return key_of("lora", self.adapter.fingerprint)

    def scores(
        self, prompts: Sequence[Prompt], n: int, *, progress: Progress | None = None
    ) -> NDArray:
        shares_NL = self.model.option_probs(prompts, letters(self.model, n), progress=progress)
        return np.log(shares_NL.clip(min=np.finfo(float).tiny))


def states(
    model: LocalModel,
    prompts: Sequence[Prompt],
    n: int,
    layers: Sequence[int],
    *,
    progress: Progress | None = None,
) -> dict[int, NDArray]:
    """Layer -> the states at each of the first n letters behind each
    prompt, [N * n, D]."""
    found = model.activations(prompts, layers, continuations=letters(model, n), progress=progress)
    # The first of each prompt's rows is its own.
    is_letter = np.arange(len(prompts) * (n + 1)) % (n + 1) > 0
    return {layer: x_ND[is_letter] for layer, x_ND in found.layers.items()}


@dataclass(frozen=True)
class _Case:
    hearing: Hearing
    prompt: Prompt
    tokens: int


@dataclass(frozen=True)
class TrainedJudge:
    """A judge as protocols take it; make one with `fit_judge` or `load_judge`.

    What many hearings ask at once is read in batches.

    Attributes:
        words: reads hearings in which something was said, or the passage is there.
        blind: reads the others.
        about: what it was trained on, and how well it can be expected to judge.
    """

    model: LocalModel
    words: Scorer
    blind: Scorer
    about: About
    _asking: Together[_Case, Verdict] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_asking", Together(self._judge))

    @property
    def name(self) -> str:
        return name_of(self.model)

    @property
    def fingerprint(self) -> str:
        return key_of(
            "trained judge", self.words.fingerprint, self.blind.fingerprint, form("letter")
        )

    async def __call__(self, hearing: Hearing) -> Verdict:
        """
        Raises:
            UserError: what is to be read is longer than the model's context.
        """
        read = hearing if has_words(hearing) else silenced(hearing)
        prompt, tokens = letter_prompt(self.model, read, judge=self.name)
        return await self._asking(_Case(hearing, prompt, tokens))

    def _judge(self, cases: Sequence[_Case]) -> list[Verdict]:
        found: dict[int, Verdict] = {}
        heard = [has_words(case.hearing) for case in cases]
        for scorer, spoken in ((self.words, True), (self.blind, False)):
            some = [i for i, one in enumerate(heard) if one is spoken]
            if not some:
                continue
            n = max(len(cases[i].hearing.question.options) for i in some)
            scores_NL = scorer.scores([cases[i].prompt for i in some], n)
            for i, scores_L in zip(some, scores_NL, strict=True):
                hearing, tokens = cases[i].hearing, cases[i].tokens
                scores_O = scores_L[among_letters(hearing)]
                found[i] = verdict_of(scores_O, round=hearing.round, tokens=tokens)
        return [found[i] for i in range(len(cases))]


def name_of(model: LocalModel) -> str:
    """Of the judge that is trained of a model."""
    return f"{model.name}, trained"


def verdict_of(scores_O: NDArray, *, round: int, tokens: int = 0) -> Verdict:
    """The verdict that the options' scores amount to."""
    shares = tuple(map(float, softmax(scores_O[None])[0]))
    return Verdict(int(scores_O.argmax()), shares, round=round, tokens=tokens)
