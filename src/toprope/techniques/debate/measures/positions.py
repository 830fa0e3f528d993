"""What a judge thinks apart from where answers are shown: its verdicts on the same game, averaged.

A small judge that reads letters may name "A" whatever it hears. In every seating it's then right as
often as chance has it, though its probabilities move with what is said. The mean of an answer's
log-probability over all seatings of a game takes out a preference for places that adds to them
(averages over permutations: Zheng et al. 2023, arXiv 2309.03882). What speakers say differs from
seating to seating, so it's also a panel's verdict on as many games.
"""

import math
from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from toprope.techniques.debate.measures.judging import probabilities
from toprope.techniques.debate.transcript import Transcript

LEAST = 1e-6
"""Probability that a logarithm is taken of: a judge that is sure of another answer has none."""
SAME = 1e-9
"""Log-probabilities no further apart are the same."""


def debiased(transcripts: Sequence[Transcript]) -> list[Transcript]:
    """The transcripts, each with the verdict that all seatings of its game amount to: those of a
    question, and of a lone speaker's answer. Where no answer is likeliest, verdicts stay."""
    cases: dict[tuple[str, int | None], list[Transcript]] = {}
    for one in transcripts:
        cases.setdefault(_case(one), []).append(one)
    shares = {case: _shares(some) for case, some in cases.items()}
    return [_with(one, shares[_case(one)]) for one in transcripts]


def _case(one: Transcript) -> tuple[str, int | None]:
    return one.question.id, one.seating.assigned


def _shares(some: Sequence[Transcript]) -> tuple[float, ...] | None:
    """Of each option; None: none is likeliest."""
    options = len(some[0].question.options)
    logs_O = np.zeros(options)
    for one in some:
        logs_O += [math.log(max(LEAST, p)) for p in probabilities(one.verdict, options)]
    logs_O /= len(some)
    second, first = np.sort(logs_O)[-2:]
    if first - second < SAME:
        return None
    weights_O = np.exp(logs_O - first)
    return tuple(map(float, weights_O / weights_O.sum()))


def _with(one: Transcript, shares: tuple[float, ...] | None) -> Transcript:
    if shares is None:
        return one
    answer = shares.index(max(shares))
    verdict = replace(one.verdict, answer=answer, probabilities=shares, outcome="answered")
    return replace(one, verdicts=(*one.verdicts[:-1], verdict))
