"""What a trained judge reads of a hearing: what any local judge reads that is to answer by a letter
(`judges.letter_prompt`), once, and behind it each option's letter, put in the model's mouth.

So all options of a hearing are read for hardly more than one reading costs, and what a trained
judge does better than an untrained one it has learned. Nobody averages over a hearing's letters:
those who spoke name them. A judge learns from every seating of its questions
(`transcript.rotations`), meets each letter right as often as wrong, and so has no use for one; and
measures average over seatings anyway. A letter that no question in training had means nothing to
it: judge questions with as many options.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from toprope.models.local import LocalModel, Prompt
from toprope.techniques.debate.judges import Hearing, letter_prompt

Places = NDArray[np.int64]
"""[O]: where a hearing's options are among the letters, or the letters of all prompts."""


@dataclass(frozen=True)
class Readings:
    """The readings of hearings, each once: seatings may share one.

    Attributes:
        prompts: [N].
        letters: that are read behind each: as many as any hearing has options.
        places: of each hearing, among the letters of all prompts, [N * letters].
    """

    prompts: Sequence[Prompt]
    letters: int
    places: Sequence[Places]

    @classmethod
    def of(cls, model: LocalModel, hearings: Iterable[Hearing], *, judge: str) -> Readings:
        """
        Args:
            judge: its name, for the error.

        Raises:
            UserError: a reading is longer than the model's context.
        """
        hearings = list(hearings)
        n = max(len(one.question.options) for one in hearings)
        known: dict[str, int] = {}
        prompts: list[Prompt] = []
        places: list[Places] = []
        for hearing in hearings:
            prompt, _ = letter_prompt(model, hearing, judge=judge)
            if str(prompt) not in known:
                known[str(prompt)] = len(prompts)
                prompts.append(prompt)
            places.append(known[str(prompt)] * n + among_letters(hearing))
        return cls(prompts, n, places)


def among_letters(hearing: Hearing) -> Places:
    """Where each option is among the letters under which they're shown."""
    shown = hearing.seating.shown
    return np.array([shown.index(option) for option in range(len(shown))])


def has_words(hearing: Hearing) -> bool:
    """Whether there's more to it than the question and its options."""
    return bool(hearing.question.passage) or any(turn.text.strip() for turn in hearing.turns)


def silenced(hearing: Hearing) -> Hearing:
    """The question and its options alone."""
    return replace(hearing, question=hearing.question.hidden(), turns=(), round=0)
