"""Debate for the supervisor: what was said about an example is read before it.

Lang, Huang and Li 2025, Debate helps weak-to-strong generalization (arXiv 2501.13124). An ensemble
of supervisors, one for each game about an example (here its seatings, and those of further files),
learns the truth of half 1 and labels half 2 with its members' mean; the student reads the examples
alone. The paper's members are of debates that were sampled anew.

Two controls are in the same run, on the same halves: a supervisor that reads the examples alone,
and an ensemble as large that reads before each example what was said about another one.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

import numpy as np

from toprope.data.debated import Debated
from toprope.data.prompts import filled, prompt_text
from toprope.techniques.weak_to_strong.learners import Learner, Mix, Predict, mean_of
from toprope.techniques.weak_to_strong.trial import Trial

WITHOUT, SHUFFLED = "without_debates", "shuffled_debates"
CONTROLS = (WITHOUT, SHUFFLED)
"""What other supervisors of the same size read: the example alone, another example's debates."""


@dataclass(frozen=True)
class Panel:
    """Several learners as one, whose answers are the mean of theirs: a `Learner`."""

    members: tuple[Learner, ...]

    @property
    def tokens_read(self) -> int:
        return sum(member.tokens_read for member in self.members)

    def fit(self, items: np.ndarray, labels_NC: np.ndarray, mix: Mix | None = None) -> Predict:
        return mean_of([member.fit(items, labels_NC, mix) for member in self.members])

    def several(
        self, items: np.ndarray, labels_NC: np.ndarray, mix: Mix | None = None
    ) -> list[Predict]:
        """Those of all members."""
        return [one for member in self.members for one in member.several(items, labels_NC, mix)]

    def relabel(self, items: np.ndarray, labels_NC: np.ndarray, folds: np.ndarray) -> np.ndarray:
        return np.mean([member.relabel(items, labels_NC, folds) for member in self.members], axis=0)

    def forget(self) -> None:
        for member in self.members:
            member.forget()


def inputs(debated: Debated) -> list[list[str]]:
    """What each member of an ensemble reads: the examples [N], each behind its debate."""
    template = prompt_text("toprope.techniques.weak_to_strong", "prompts/with_debate")
    return [
        [
            filled(template, options=game.options, words=game.words, example=text)
            for game, text in zip(games, debated.data.texts, strict=True)
        ]
        for games in debated.said
    ]


def control_arms(
    trial: Trial,
    supervisors: Mapping[str, Learner],
    method: str,
    rng: Callable[[], np.random.Generator],
) -> dict[str, Callable[[], Predict]]:
    """For each of `CONTROLS`, its supervisor, and the student that learns from it by `method`.

    Args:
        rng: makes the trial's own generator anew, so that its folds are the same ones.
    """
    arms: dict[str, Callable[[], Predict]] = {}
    for name, learner in supervisors.items():
        other = replace(trial, weak=learner, rng=rng())
        own = other.arms((method,))
        arms[f"supervisor_{name}"] = own["supervisor"]
        arms[f"headline_{name}"] = own[method]
    return arms
