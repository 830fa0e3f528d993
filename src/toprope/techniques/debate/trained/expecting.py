"""How well a trained judge can be expected to judge: each question by one that never saw it.

Whole groups of questions are left out at a time, each with all its seatings, and everything that is
chosen (layer, strength, when to stop) is chosen anew without them. The controls are trained and
judged the same way.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from toprope.data.seeding import named_rng
from toprope.progress import Progress, Task
from toprope.techniques.debate.measures import judging
from toprope.techniques.debate.measures.gaps import gain, paired
from toprope.techniques.debate.trained.about import Expected, Figures
from toprope.techniques.debate.trained.judge import verdict_of
from toprope.techniques.debate.trained.learning import Learner
from toprope.techniques.debate.transcript import Transcript

FOLDS = 5


def expected(
    words: Learner,
    blind: Learner,
    transcripts: Sequence[Transcript],
    *,
    seed: int,
    progress: Progress | None = None,
) -> Expected:
    """
    Args:
        words, blind: learners of these transcripts, as they were heard and without what was said.
    """
    rng = named_rng(seed, "debate", "trained judge", "expected")
    fold_H = _folds(judging.units(transcripts), rng)
    lots = [_by_lot(transcripts, rng) for _ in range(words.shuffles)]
    if len(lots) > 1:
        # What a lot says of like questions goes the same way: lots are what is independent.
        lots = [_grouped(some, f"lot {number}") for number, some in enumerate(lots)]
    shown = progress or Progress(quiet=True)
    with shown.task("judging what is left out", FOLDS * (2 + len(lots))) as task:
        spoken = held_out(words, transcripts, fold_H, task)
        alone = held_out(blind, transcripts, fold_H, task)
        wrong = [one for some in lots for one in held_out(words, some, fold_H, task)]
    pairs = paired({"words": spoken, "blind": alone})
    return Expected(
        words=_figures(spoken, seed),
        blind=_figures(alone, seed),
        shuffled=_figures(wrong, seed),
        gain=gain(pairs, "words", "blind", rng=rng),
        chance=judging.chance(transcripts),
    )


def held_out(
    learner: Learner, transcripts: Sequence[Transcript], fold_H: NDArray, task: Task
) -> list[Transcript]:
    """The transcripts, each with the verdict of a judge that learned from the other folds."""
    found = list(transcripts)
    for fold in range(FOLDS):
        inside, outside = (np.flatnonzero(one).tolist() for one in (fold_H != fold, fold_H == fold))
        scorer = learner.fit(inside, [transcripts[h].question.answer for h in inside])
        for h, scores_O in zip(outside, learner.scores(scorer, outside), strict=True):
            verdict = verdict_of(scores_O, round=transcripts[h].verdict.round)
            found[h] = replace(transcripts[h], verdicts=(verdict,))
        task.advance()
    return found


def _folds(units: Sequence[str], rng: np.random.Generator) -> NDArray[np.int64]:
    """[H]: in which each is left out; groups whole, as many in each fold."""
    names, codes_H = np.unique(units, return_inverse=True)
    return (rng.permutation(len(names)) % FOLDS)[codes_H]


def _by_lot(transcripts: Sequence[Transcript], rng: np.random.Generator) -> list[Transcript]:
    """The same with another truth: of each question some option, in all of its seatings."""
    options = {one.question.id: len(one.question.options) for one in transcripts}
    drawn = {name: int(rng.integers(n)) for name, n in options.items()}
    return [
        replace(one, question=replace(one.question, answer=drawn[one.question.id]))
        for one in transcripts
    ]


def _grouped(transcripts: Sequence[Transcript], group: str) -> list[Transcript]:
    """The same questions once more, as others of that group."""
    return [
        replace(one, question=replace(one.question, id=f"{one.question.id} ({group})", group=group))
        for one in transcripts
    ]


def _figures(transcripts: Sequence[Transcript], seed: int) -> Figures:
    rng = named_rng(seed, "debate", "trained judge", "figures")
    return Figures(
        accuracy=judging.accuracy(transcripts, rng=rng),
        log_score=judging.mean(judging.log_score, transcripts, rng=rng),
    )
