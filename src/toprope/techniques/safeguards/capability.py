"""Capability: what a change of the target costs in what it knows and how it reads.

On multiple choice the measure is which of a question's proposed answers the model finds likeliest
to be right. Asked "is this right?" of each alone, a small model says no whatever is proposed (then
half of the answers are correct, before and after anything), and what leans the same way for all of
a question's answers drops out of the comparison.

Surprise on plain text is minus the mean log-probability of a token, in nats: finer, and it needs no
ability that a small model may not have.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from toprope.data.examples import Dataset
from toprope.errors import UserError
from toprope.models.local import LocalModel
from toprope.models.options import option_scores
from toprope.progress import Progress
from toprope.statistics import RESAMPLES, Interval, bootstrap_paired


@dataclass(frozen=True)
class Change:
    """A measure of two models on the same items.

    Attributes:
        difference: after - before.
    """

    before: float
    after: float
    difference: Interval


@dataclass(frozen=True)
class Capability:
    """
    Attributes:
        accuracy: on multiple choice, 0 to 1.
        surprise: on plain text, nats a token.
    """

    accuracy: Change
    surprise: Change


def capability(
    before: LocalModel,
    after: LocalModel,
    data: Dataset,
    texts: Sequence[str],
    *,
    rng: np.random.Generator,
    resamples: int = RESAMPLES,
    progress: Progress | None = None,
) -> Capability:
    """
    Args:
        data: proposed answers, right and wrong, in a group for each question (`choices` in a
            description, such as examples/data/arc_easy.yaml).
        texts: plain text; each counts as much, however long it is.

    Raises:
        UserError: fewer than two questions or texts.
    """

    def change(measure: Callable[[LocalModel], NDArray]) -> Change:
        before_N, after_N = measure(before), measure(after)
        interval = bootstrap_paired(after_N, before_N, rng=rng, resamples=resamples)
        return Change(float(before_N.mean()), float(after_N.mean()), interval)

    return Capability(
        accuracy=change(lambda model: answers(model, data, progress=progress)),
        surprise=change(lambda model: surprise(model, texts, progress=progress)),
    )


def answers(
    model: LocalModel, data: Dataset, *, progress: Progress | None = None
) -> NDArray[np.float64]:
    """Whether the model finds a right answer likelier than every wrong one, [questions]; questions
    with answers of one kind alone are left out.

    Raises:
        UserError: no question has both, or there are more classes than right and wrong.
    """
    whole = questions(data)
    probs_NC = model.option_probs(data.texts, data.answers, progress=progress)
    prob_N = probs_NC[:, 1]
    return np.array([float(prob_N[right].max() > prob_N[wrong].max()) for wrong, right in whole])


def questions(data: Dataset) -> list[tuple[list[int], list[int]]]:
    """Each question's wrong and right answers, as places among the examples; those with answers of
    one kind alone are left out.

    Raises:
        UserError: no question has both, or there are more classes than right and wrong.
    """
    if len(data.answers) != 2:
        raise UserError(
            f"'{data.name}' has {len(data.answers)} classes: capability is measured on proposed "
            "answers that are right or wrong"
        )
    found: dict[str, tuple[list[int], list[int]]] = {}
    for place, example in enumerate(data.examples):
        found.setdefault(example.group, ([], []))[example.label].append(place)
    whole = [(wrong, right) for wrong, right in found.values() if wrong and right]
    if not whole:
        raise UserError(
            f"no question of '{data.name}' has a right and a wrong answer: take a description with "
            "`choices`, such as that of ARC"
        )
    return whole


def surprise(
    model: LocalModel, texts: Sequence[str], *, progress: Progress | None = None
) -> NDArray[np.float64]:
    """Minus the mean log-probability of each text's tokens after its first, [texts], in nats."""
    rows = [row for row in map(model.tokens, texts) if len(row) > 1]
    pad = model.tokenizer.pad_token_id
    found = []
    shown = progress or Progress(quiet=True)
    with model.turn, shown.task(f"reading with {model.name}", len(rows)) as task:
        for row in rows:
            scores = option_scores(
                model.module, pad, [row[:1]], [[row[1:]]], length="mean", advance=task.advance
            )
            found.append(-float(scores[0, 0]))
    model.tokens_read += sum(map(len, rows))
    return np.array(found)
