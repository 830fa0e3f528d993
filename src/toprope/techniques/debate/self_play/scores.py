"""What is measured of one game, and of a question, whose games are those of all seatings."""

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from toprope.techniques.debate.measures import outcomes
from toprope.techniques.debate.measures.agents import agent_score
from toprope.techniques.debate.measures.judging import probability
from toprope.techniques.debate.self_play.loop import TRAINED
from toprope.techniques.debate.transcript import Transcript, Turn

Score = Callable[[Transcript], float]


def by_question(some: Sequence[Transcript], score: Score) -> tuple[NDArray, list[str]]:
    """The mean score of each question's games, [N], and its unit; questions by their ids."""
    found: dict[str, list[float]] = {}
    units: dict[str, str] = {}
    for one in some:
        found.setdefault(one.question.id, []).append(float(score(one)))
        units[one.question.id] = one.question.unit
    names = sorted(found)
    return np.array([np.mean(found[name]) for name in names]), [units[name] for name in names]


def right_over_seatings(some: Sequence[Transcript]) -> tuple[NDArray, list[str]]:
    """For each question 1 where its right answer has the highest probability, on average over its
    games, and 0 elsewhere; of equals each has its share. Units as in `by_question`.

    A judge that always prefers the first place gives an answer so that stands in either.
    """
    found: dict[str, list[NDArray]] = {}
    known = {one.question.id: one.question for one in some}
    for one in some:
        options = len(one.question.options)
        found.setdefault(one.question.id, []).append(
            np.array([probability(one, option) for option in range(options)])
        )
    right = []
    for name in sorted(found):
        mean_O = np.mean(found[name], axis=0)
        best_O = np.isclose(mean_O, mean_O.max())
        right.append(best_O[known[name].answer] / best_O.sum())
    return np.array(right), [known[name].unit for name in sorted(found)]


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
