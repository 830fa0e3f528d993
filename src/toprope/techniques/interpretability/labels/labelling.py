"""Labelling many latents: every one gets a label, each scorer's score of it, and its control, in
one resumable job.

What was labelled and judged is in a journal, by what decided it, so that a job that was killed goes
on and a second one with another scorer labels nothing anew. All latents are under way at once: the
models behind the labeller and the scorers put together what waits for them.
"""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from toprope.data.seeding import named_rng
from toprope.errors import UserError
from toprope.journal import Journal, key_of
from toprope.progress import Progress, Task
from toprope.statistics import LEVEL
from toprope.techniques.interpretability.examples import LatentExamples
from toprope.techniques.interpretability.labels.controls import shuffled, swappable
from toprope.techniques.interpretability.labels.definition import (
    Definition,
    InterpretableRate,
    interpretable_rate,
)
from toprope.techniques.interpretability.labels.labeller import Label, Labeller
from toprope.techniques.interpretability.labels.measures import (
    LatentScore,
    cuts,
    latent_score,
    truths,
)
from toprope.techniques.interpretability.labels.scorers.intruder import OddOneOut
from toprope.techniques.interpretability.labels.scorers.scorer import Scorer, Verdict

AT_ONCE = 64
"""Latents under way: enough to fill a local model's batches."""

NOT_SCORED = "label without a score"
"""Of labels that had too few others beside them to be scored by, or held against."""

FEWEST = 5
"""Windows that fire, and negatives, without which a latent isn't scored."""


@dataclass(frozen=True)
class Labelled:
    """What came of a job.

    Attributes:
        labels: of all latents that were asked about.
        unscored: latent -> why it has no score: "dead", "too few examples", "too few negatives", or
            how its label failed.
        scores, controls: scorer -> latent -> score; a scorer that reads no label has no controls.
        controlled_by: whose label each latent's control is.
        outcomes: of the labels.
        seconds: that this start took, and `done` the latents that it labelled or judged something
            of, which a journal didn't have.
    """

    labeller: str
    labels: Mapping[int, Label]
    unscored: Mapping[int, str]
    scores: Mapping[str, Mapping[int, LatentScore]]
    controls: Mapping[str, Mapping[int, LatentScore]]
    controlled_by: Mapping[int, str]
    outcomes: Mapping[str, int]
    seconds: float
    done: int

    @property
    def per_minute(self) -> float | None:
        """Latents a minute; None where everything was in the journal."""
        return 60 * self.done / self.seconds if self.done and self.seconds else None

    def interpretable(self, definition: Definition) -> InterpretableRate | None:
        """None where no latent had examples enough, or there are labels and none has both a score
        and a control.

        Raises:
            UserError: the definition's scorer wasn't used.
        """
        if definition.scorer not in self.controls:
            known = ", ".join(self.controls) or "none"
            raise UserError(
                f"'interpretable' is defined by the scorer '{definition.scorer}', which wasn't "
                f"used with a control; those that were: {known}"
            )
        scores, controls = self.scores[definition.scorer], self.controls[definition.scorer]
        both = {latent: one for latent, one in scores.items() if latent in controls}
        labelled = [latent for latent, one in self.labels.items() if one.text]
        if labelled and not both:
            return None
        alone = [NOT_SCORED for latent in labelled if latent not in both]
        return interpretable_rate(definition, both, controls, [*self.unscored.values(), *alone])


async def label_and_score(
    latents: Sequence[int],
    examples: Callable[[int], LatentExamples],
    labeller: Labeller,
    scorers: Sequence[Scorer[Any]],
    *,
    seed: int,
    journal: Journal | None = None,
    level: float = LEVEL,
    fewest: int = FEWEST,
    progress: Progress | None = None,
) -> Labelled:
    """Labels latents, scores the labels, and scores each latent by another one's label.

    Args:
        examples: of a latent, such as `Examples.latent`; asked for as they're needed.
        seed: of the items' order, the folds and the shuffle.
        fewest: windows without which a latent isn't scored.

    Raises:
        UserError: two scorers of one name.
    """
    names = [scorer.name for scorer in scorers]
    if len(set(names)) < len(names):
        raise UserError(f"scorers {', '.join(names)}: name each once")
    began = time.monotonic()
    shown = progress or Progress(quiet=True)
    job = _Job(labeller, scorers, examples, journal, seed)
    latents = list(dict.fromkeys(latents))
    seen = {latent: examples(latent) for latent in latents}
    unscored: dict[int, str] = {
        latent: why for latent, one in seen.items() if (why := one.shortfall(fewest))
    }
    rates = {latent: one.rate for latent, one in seen.items()}
    del seen
    open_ = [latent for latent in latents if latent not in unscored]
    with shown.task(f"labelling ({labeller.name})", len(open_)) as task:
        labels = dict(zip(open_, await _each(open_, job.label, task), strict=True))
    unscored |= {
        latent: f"label {label.outcome}" for latent, label in labels.items() if not label.text
    }
    texts = {latent: label.text for latent, label in labels.items() if label.text}
    others: dict[int, str] = {}
    if swappable(texts):
        others = shuffled(texts, rates, named_rng(seed, "shuffled labels"))
    scores: dict[str, dict[int, LatentScore]] = {}
    controls: dict[str, dict[int, LatentScore]] = {}
    for scorer in scorers:
        with shown.task(f"scoring ({scorer.name})", len(texts) * (1 + scorer.needs_label)) as task:
            own = await job.judged(scorer, texts, task)
            control = await job.judged(scorer, others, task) if scorer.needs_label else {}
        scores[scorer.name], found = job.scored(scorer, own, control, level)
        if scorer.needs_label:
            controls[scorer.name] = found
    return Labelled(
        labeller=labeller.name,
        labels=labels,
        unscored=unscored,
        scores=scores,
        controls=controls,
        controlled_by=others,
        outcomes=dict(Counter(label.outcome for label in labels.values())),
        seconds=time.monotonic() - began,
        done=len(job.worked_on),
    )


class _Job:
    """What is asked, and where the answers are kept."""

    def __init__(
        self,
        labeller: Labeller,
        scorers: Sequence[Scorer[Any]],
        examples: Callable[[int], LatentExamples],
        journal: Journal | None,
        seed: int,
    ) -> None:
        self.labeller, self.scorers, self.examples = labeller, scorers, examples
        self.journal, self.seed = journal, seed
        self.worked_on: set[int] = set()

    async def label(self, latent: int) -> Label:
        seen = self.examples(latent)
        key = key_of("label", latent, self.labeller.fingerprint(seen))
        if kept := self._kept(key):
            return Label(**kept)
        self.worked_on.add(latent)
        label = await self.labeller.label(seen)
        # What never came may come on another day.
        if label.outcome != "lost":
            self._keep(key, {"text": label.text, "outcome": label.outcome})
        return label

    async def judged(
        self, scorer: Scorer[Any], labels: Mapping[int, str], task: Task
    ) -> dict[int, list[Verdict]]:
        """The verdicts on each latent's items, given a label for it."""

        async def one(latent: int) -> list[Verdict]:
            items = self.items(scorer, latent)
            read = labels[latent] if scorer.needs_label else ""
            shown = [_rows(item) for item in items]
            key = key_of("score", scorer.name, scorer.fingerprint, latent, read, shown)
            if kept := self._kept(key):
                return [Verdict.from_json(each) for each in kept]
            self.worked_on.add(latent)
            verdicts = await scorer.score(read, items)
            if not any(verdict.outcome == "lost" for verdict in verdicts):
                self._keep(key, [verdict.as_json() for verdict in verdicts])
            return verdicts

        latents = list(labels)
        return dict(zip(latents, await _each(latents, one, task), strict=True))

    def items(self, scorer: Scorer[Any], latent: int) -> list[Any]:
        """The same every time they're asked for."""
        rng = named_rng(self.seed, "items", scorer.name, str(latent))
        return scorer.items(self.examples(latent), rng)

    def scored(
        self,
        scorer: Scorer[Any],
        own: Mapping[int, Sequence[Verdict]],
        control: Mapping[int, Sequence[Verdict]],
        level: float,
    ) -> tuple[dict[int, LatentScore], dict[int, LatentScore]]:
        """Scores and controls, of the latents that can be scored. Where the scorer decides nothing,
        a latent is cut where other latents say: by their own labels, and for its control by their
        controls. Cut like the scores it would be at chance for the mere reason that labels which
        don't fit score lower, whatever a window gives away by itself."""
        items = {latent: self.items(scorer, latent) for latent in own}

        def scores(verdicts: Mapping[int, Sequence[Verdict]]) -> dict[int, LatentScore]:
            at: dict[int, float] = {}
            undecided = any(_undecided(verdict) for some in verdicts.values() for verdict in some)
            if undecided:
                all_truths = {latent: truths(items[latent]) for latent in verdicts}
                at = cuts(all_truths, verdicts, named_rng(self.seed, "cuts", scorer.name))
            return {
                latent: latent_score(latent, items[latent], some, at.get(latent), level=level)
                for latent, some in verdicts.items()
                if _has_both(items[latent]) and (latent in at or not undecided)
            }

        return scores(own), scores(control)

    def _kept(self, key: str) -> Any:
        return None if self.journal is None else self.journal.get(key)

    def _keep(self, key: str, answer: Any) -> None:
        if self.journal is not None:
            self.journal.put(key, answer)


async def _each(latents: Sequence[int], work: Callable[[int], Any], task: Task) -> list[Any]:
    """Results in order, with at most `AT_ONCE` under way."""
    slots = asyncio.Semaphore(AT_ONCE)

    async def one(latent: int) -> Any:
        async with slots:
            found = await work(latent)
        task.advance(1)
        return found

    return list(await asyncio.gather(*map(one, latents)))


def _undecided(verdict: Verdict) -> bool:
    return verdict.outcome == "judged" and verdict.says is None


def _has_both(items: Sequence[Any]) -> bool:
    """Whether a measure can be made of the items."""
    if not items or isinstance(items[0], OddOneOut):
        return bool(items)
    return 0 < sum(truths(items)) < len(items)


def _rows(item: Any) -> list[Any]:
    """What an item is, for the journal."""
    if isinstance(item, OddOneOut):
        return [[window.row for window in item.windows], item.odd]
    return [item.window.row, item.truth, list(item.marked)]
