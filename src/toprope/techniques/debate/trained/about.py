"""What is known of a trained judge: what it learned from, and how well it judges what it didn't."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict

from toprope.journal import key_of
from toprope.statistics import Interval
from toprope.techniques.debate.questions import Question

Kind = Literal["head", "lora"]


def known_by(question: Question) -> set[str]:
    """Keys of what a judge that learned from a question knows of others: its passage, or its text
    where it has none, and its group."""
    return {key_of(question.passage or question.text), key_of("unit", question.unit)}


class Figures(BaseModel):
    """Of questions left out of the training, over all of their games."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    accuracy: Interval
    log_score: Interval
    """The natural logarithm of the right answer's probability."""


class Expected(BaseModel):
    """How well it can be expected to judge other questions of the kind, and its controls.

    By cross-validation on the training transcripts, whole groups of questions left out: a judge of
    all of them may be a little better than these, which lack a part of them each.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    words: Figures
    blind: Figures
    """The same training on the questions and options alone."""
    shuffled: Figures
    """The same training on the words, with options drawn by lot as the right ones; of several lots
    the interval is over these."""
    gain: Interval
    """In accuracy, of the words over the questions alone; paired by question."""
    chance: float
    """The accuracy of guessing."""


class About(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    kind: Kind
    model: str
    model_fingerprint: str
    form: str
    """A key of how it reads (`reading.form`)."""
    seed: int
    protocols: tuple[str, ...]
    """That its transcripts are of."""
    transcripts: int
    questions: int
    learned: tuple[str, ...] = ()
    """What it learned from: keys of its questions (`known_by`)."""
    left_out: int
    """Transcripts in which an answer of a model never came, or there were no words."""
    trained_on: str
    """SHA-256 (hex) of the transcripts."""
    expected: Expected
