"""Transcripts to learn from, in which the honest side's words give it away, and states made up."""

from collections.abc import Sequence

import numpy as np

from toprope.techniques.debate.questions import Question
from toprope.techniques.debate.transcript import Transcript, Turn, Verdict, rotations

WEATHER = ("rain", "snow", "fog", "hail", "sun", "wind")


def lessons(
    n: int,
    *,
    options: int = 2,
    honest: str = "<v_quote>It was so.</v_quote>",
    liar: str = "<u_quote>It was so.</u_quote>",
    protocol: str = "debate",
    seed: int = 0,
) -> list[Transcript]:
    """n questions in every seating; whoever is right says `honest`, the others `liar`."""
    rng = np.random.default_rng(seed)
    found = []
    for i in range(n):
        names = tuple(map(str, rng.permutation(WEATHER)[:options]))
        right = int(rng.integers(options))
        question = Question(f"q{i}", f"What was on day {i}?", names, right)
        for seating in rotations(question):
            turns = tuple(
                Turn(
                    f"Debater {seating.letter(option)}",
                    "debater",
                    honest if option == right else liar,
                    option,
                )
                for option in seating.speaks
            )
            verdict = Verdict(0, (1 / options,) * options, round=1)
            found.append(Transcript(protocol, question, seating, turns, (verdict,)))
    return found


def states(
    right: Sequence[int], options: int, *, width: int, signal: float, seed: int = 0
) -> tuple[np.ndarray, list[np.ndarray]]:
    """A state for each option of each hearing, [H * O, D], and where each hearing's are: noise that
    its options share, noise of their own, and in the right one's a signal along one direction."""
    rng = np.random.default_rng(seed)
    n = len(right)
    x_HOD = rng.normal(size=(n, 1, width)) * 5 + rng.normal(size=(n, options, width))
    x_HOD[np.arange(n), right, 0] += signal
    return x_HOD.reshape(-1, width), list(np.arange(n * options).reshape(n, options))
