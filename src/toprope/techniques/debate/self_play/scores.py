"""What is measured of one game, and of a question apart from places."""

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from toprope.techniques.debate.measures import outcomes
from toprope.techniques.debate.measures.agents import agent_score
from toprope.techniques.debate.measures.judging import by_question, correct, probability
from toprope.techniques.debate.measures.positions import debiased
from toprope.techniques.debate.self_play.loop import TRAINED
from toprope.techniques.debate.transcript import Transcript, Turn


def debiased_right(some: Sequence[Transcript]) -> tuple[NDArray, list[str]]:
    """How often the judge is right apart from where answers are shown, of each question."""
    return by_question(correct, debiased(some))


def right_probability(transcript: Transcript) -> float:
    return probability(transcript, transcript.question.answer)


def agent_gap(transcript: Transcript) -> float:
    """Of two options: the agent score of who argued for the right one less that of the other.

    Of a lone speaker there is one of them in a game, and the other in another: each counts twice.
    """
    right, assigned = transcript.question.answer, transcript.seating.assigned
    if assigned is None:
        return agent_score(transcript, right) - agent_score(transcript, 1 - right)
    return (2 if assigned == right else -2) * agent_score(transcript, assigned)


def side_probability(transcript: Transcript) -> float:
    """The judge's probability of the answer that a lone speaker was assigned."""
    assert transcript.seating.assigned is not None
    return probability(transcript, transcript.seating.assigned)


def trained_sides(transcript: Transcript) -> set[int]:
    """The options that the trained one argued for."""
    return {
        turn.position
        for turn in transcript.turns
        if turn.by == TRAINED and turn.position is not None
    }


def trained_probability(transcript: Transcript) -> float:
    """The judge's probability of an answer that the trained one argued for, on average."""
    return float(np.mean([probability(transcript, one) for one in trained_sides(transcript)]))


def speech_words(transcript: Transcript) -> float:
    return _a_speech(transcript, lambda turn: len(turn.text.split()))


def verified_quotes(transcript: Transcript) -> float:
    return _a_speech(transcript, lambda turn: turn.verified)


def unverified_quotes(transcript: Transcript) -> float:
    return _a_speech(transcript, lambda turn: turn.unverified)


def quotes_answer(transcript: Transcript) -> float:
    """The share of speeches that quote words of the passage in which their answer stands."""
    return _a_speech(transcript, lambda turn: outcomes.quotes_answer(transcript.question, turn))


def declined(transcript: Transcript) -> float:
    """The share of speeches that were refused, or empty."""
    return _a_speech(transcript, lambda turn: turn.outcome in ("refused", "empty"))


def _a_speech(transcript: Transcript, of: Callable[[Turn], float]) -> float:
    return float(np.mean([of(turn) for turn in transcript.turns if turn.kind == "speech"]))
