"""How well the judge judges: accuracy, log score, Brier score and calibration error.

Each question counts alike, by the mean of its games: one of many options has more of them, and a
lone speaker's more than a debate's. A verdict without an answer is wrong for accuracy, and
`accuracy_bounds` says what it could be at most; for the scores of probabilities it is a judge that
knows nothing, all options alike.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from toprope.errors import UserError
from toprope.resampling import draws, expanded_percentile, unit_codes
from toprope.statistics import LEVEL, RESAMPLES, Interval, bootstrap_clustered
from toprope.techniques.debate.transcript import Transcript, Verdict

Score = Callable[[Transcript], float]

FLOOR = 0.01
"""The least probability that a log score counts with: one sure mistake isn't infinitely bad."""


def probabilities(verdict: Verdict, options: int) -> tuple[float, ...]:
    """Of each option; all alike where the judge gave none."""
    return verdict.probabilities or (1 / options,) * options


def probability(transcript: Transcript, option: int, verdict: Verdict | None = None) -> float:
    """That the judge gives an option in the end, or in a given verdict of the transcript."""
    options = len(transcript.question.options)
    return probabilities(verdict or transcript.verdict, options)[option]


def correct(transcript: Transcript) -> float:
    return float(transcript.correct)


def right_or_silent(transcript: Transcript) -> float:
    return float(transcript.correct or transcript.verdict.answer is None)


def log_score(transcript: Transcript) -> float:
    """The natural logarithm of the right answer's probability: 0 at best."""
    return math.log(max(FLOOR, probability(transcript, transcript.question.answer)))


def brier_score(transcript: Transcript) -> float:
    """Brier 1950 (Monthly Weather Review 78:1): the squared error summed over options, 0 to 2."""
    n = len(transcript.question.options)
    shares = probabilities(transcript.verdict, n)
    return sum((p - (i == transcript.question.answer)) ** 2 for i, p in enumerate(shares))


def units(transcripts: Sequence[Transcript]) -> list[str]:
    """What each is resampled with."""
    return [one.question.unit for one in transcripts]


def by_question(score: Score, transcripts: Sequence[Transcript]) -> tuple[NDArray, list[str]]:
    """The mean score of each question's games, which are those of all seatings, [N], and its unit;
    questions by their ids."""
    found: dict[str, list[float]] = {}
    known: dict[str, str] = {}
    for one in transcripts:
        found.setdefault(one.question.id, []).append(float(score(one)))
        known[one.question.id] = one.question.unit
    names = sorted(found)
    return np.array([np.mean(found[name]) for name in names]), [known[name] for name in names]


def mean(
    score: Score,
    transcripts: Sequence[Transcript],
    *,
    rng: np.random.Generator,
    resamples: int = RESAMPLES,
) -> Interval:
    """The mean of a score over questions.

    Raises:
        UserError: fewer than two groups of questions.
    """
    return bootstrap_clustered(*by_question(score, transcripts), rng=rng, resamples=resamples)


def plain_mean(score: Score, transcripts: Sequence[Transcript]) -> float:
    """The same without its interval."""
    return float(by_question(score, transcripts)[0].mean())


def accuracy(
    transcripts: Sequence[Transcript], *, rng: np.random.Generator, resamples: int = RESAMPLES
) -> Interval:
    """How often the judge named the right answer."""
    return mean(correct, transcripts, rng=rng, resamples=resamples)


def share_right(transcripts: Sequence[Transcript]) -> float:
    """The accuracy, without its interval."""
    return plain_mean(correct, transcripts)


def chance(transcripts: Sequence[Transcript]) -> float:
    """The accuracy of a judge that names any option."""
    return plain_mean(lambda one: 1 / len(one.question.options), transcripts)


def accuracy_bounds(transcripts: Sequence[Transcript]) -> tuple[float, float]:
    """The accuracy if every verdict without an answer were wrong, and if each were right."""
    if not transcripts:
        raise UserError("no transcripts: there is nothing to estimate from")
    return share_right(transcripts), plain_mean(right_or_silent, transcripts)


@dataclass(frozen=True)
class Bin:
    """Answers whose probability lay in one range: how sure the judge was, how often right."""

    n: int
    confidence: float
    accuracy: float


def reliability(transcripts: Sequence[Transcript], *, bins: int = 10) -> list[Bin]:
    """Answers by how sure the judge was of them, in ranges of equal width; empty ones left out.

    Verdicts without an answer have no probability to be held to, and aren't in it.
    """
    named = [one for one in transcripts if one.verdict.answer is not None]
    sure = np.array([probability(one, one.verdict.answer or 0) for one in named])
    right = np.array([correct(one) for one in named])
    places = np.minimum((sure * bins).astype(int), bins - 1)
    return [
        Bin(int(inside.sum()), float(sure[inside].mean()), float(right[inside].mean()))
        for place in range(bins)
        if (inside := places == place).any()
    ]


def calibration_error(transcripts: Sequence[Transcript], *, bins: int = 10) -> float:
    """Expected calibration error: the mean gap between sureness and accuracy over `reliability`'s
    ranges, each weighing its answers.

    Naeini et al. 2015 (AAAI); Guo et al. 2017 (arXiv 1706.04599). It's never zero by chance alone:
    compare it at the same number of answers.

    Raises:
        UserError: no verdict has an answer.
    """
    table = reliability(transcripts, bins=bins)
    if not table:
        raise UserError("no verdict names an answer: there is no calibration to measure")
    total = sum(one.n for one in table)
    return sum(one.n * abs(one.confidence - one.accuracy) for one in table) / total


def calibration(
    transcripts: Sequence[Transcript],
    *,
    bins: int = 10,
    rng: np.random.Generator,
    resamples: int = RESAMPLES,
) -> Interval:
    """`calibration_error` with its interval over new questions, whole groups of them.

    What chance adds to the error is in each resample once more: the interval lies high.

    Raises:
        UserError: no verdict has an answer, or there are fewer than two groups of those that have.
    """
    value = calibration_error(transcripts, bins=bins)
    named = [one for one in transcripts if one.verdict.answer is not None]
    codes_N, n = unit_codes(units(named), len(named))
    sure_N = np.array([probability(one, one.verdict.answer or 0) for one in named])
    gaps_N = sure_N - np.array([correct(one) for one in named])
    places_N = np.minimum((sure_N * bins).astype(int), bins - 1)
    gaps_GB, answers_G = np.zeros((n, bins)), np.bincount(codes_N)
    np.add.at(gaps_GB, (codes_N, places_N), gaps_N)
    errors_R = np.concatenate(
        [np.abs(w_RG @ gaps_GB).sum(1) / (w_RG @ answers_G) for w_RG in draws(n, resamples, rng)]
    )
    low, high = expanded_percentile(errors_R, LEVEL, n - 1)
    return Interval(value, low, high, LEVEL, n, "clustered bootstrap")
