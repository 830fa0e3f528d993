"""The interpretability study: its settings, and how it is run: capture, dictionaries, what they
have in common, labels and their scores."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import ClassVar

from pydantic import Field

from toprope.errors import UserError
from toprope.evidence import Evidence
from toprope.lab import Lab
from toprope.models.embedding import EMBEDDER
from toprope.study import NOBODY, Study
from toprope.techniques.interpretability.activations.corpus import load_corpus
from toprope.techniques.interpretability.label_measures import LabelMeasures
from toprope.techniques.interpretability.labels.job import EXPLAINER, Job, label, restate
from toprope.techniques.interpretability.labels.settings import LabelSettings
from toprope.techniques.interpretability.making import RANDOM_CONSENSUS, make_features, tidy
from toprope.techniques.interpretability.measures import FeatureMeasures
from toprope.techniques.interpretability.quality.spelling import check_spelling
from toprope.techniques.interpretability.recipe import Recipe
from toprope.techniques.interpretability.rows import Rows
from toprope.techniques.interpretability.workbench import (
    CAPTURES,
    CONSENSUS,
    FROZEN,
    Workbench,
    about_of,
)


class Interpretability(LabelSettings, Recipe, Study):
    """What does a model think in? Trains dictionaries of its states on texts, finds the features
    that recur over seeds, labels them, and scores the labels, each beside its control."""

    name: ClassVar[str] = "interpretability"

    absorption: bool = Field(
        default=False,
        description="measure feature absorption on words' first letters too: some minutes",
    )

    @property
    def title(self) -> str:
        return f"interpretability of {self.target}"

    @property
    def recipe(self) -> Recipe:
        return Recipe(**self.model_dump(include=set(Recipe.model_fields)))

    def models(self) -> list[str]:
        names = [self.target, self.overseer, EMBEDDER]
        return [name for name in dict.fromkeys(names) if name != NOBODY]

    def datasets(self, lab: Lab) -> list[str]:
        return [load_corpus(self.texts, data_dir=lab.data_dir).fingerprint]

    def run(self, lab: Lab) -> Iterator[Evidence]:
        self.check()
        bench = self.bench(lab)
        if self.absorption:
            check_spelling(bench.model)
        agreed = make_features(bench)
        rows = Rows(self._about(bench))
        measures = FeatureMeasures(bench, rows, lab.rng(self.name, "bootstrap"))
        yield from measures.dictionaries()
        for random, found in agreed.items():
            if found:
                yield from _measured(rows, "recurrence", measures.agreement, found, random)
        own = [bench.seeds()[0], *(one for one in (CONSENSUS,) if one in bench.names)]
        frozen = [one for one in (FROZEN,) if one in bench.names]
        yield from _measured(rows, "ce_recovered", measures.splicing, [*own, *frozen])
        if self.absorption:
            yield from _measured(rows, "absorption", measures.absorbed, own)
        yield from self._labels(bench, rows, [*own, *frozen])
        tidy(bench)

    def _labels(self, bench: Workbench, rows: Rows, names: list[str]) -> Iterator[Evidence]:
        """Of the target's dictionaries, and of the random model's: each is labelled alike."""
        measures = LabelMeasures(rows, bench.lab.rng(self.name, "labels"))
        of_random = [bench.seeds(random=True)[0], RANDOM_CONSENSUS]
        jobs: dict[str, list[Job]] = {}
        for name in [*names, *(one for one in of_random if one in bench.names)]:
            try:
                jobs[name] = label(bench, name, self)
            except UserError as error:
                yield rows.unmeasured(name, "interpretable", str(error))
        yield from measures.labels(jobs)
        for name in names:
            for job in jobs.get(name, []):
                if job.name == EXPLAINER and name != FROZEN:
                    found = restate(bench, name, job, self)
                    yield from measures.restated(name, found)

    def bench(self, lab: Lab) -> Workbench:
        """The folder of features among the run's artifacts: another recipe or seed, another folder;
        the activations serve all of them.

        Raises:
            UserError: see `about_of`.
        """
        about = about_of(self.recipe, lab, captures=f"../{CAPTURES}")
        return Workbench.begin(self._folder(lab, about.key), about, lab)

    def _folder(self, lab: Lab, key: str) -> Path:
        return lab.artifact(self.name, key[:8], "features.json").parent

    def _about(self, bench: Workbench) -> dict[str, object]:
        return {
            "study": self.name,
            "overseer": "" if self.overseer == NOBODY else self.overseer,
            "target": self.target,
            "dataset": self.texts,
            "split": bench.about.corpus_fingerprint[:16],
            "seed": bench.about.seed,
            "truth": "ground_truth",
            "config_hash": self.config_hash,
        }


def _measured(
    rows: Rows, metric: str, measure: Callable[..., Iterable[Evidence]], *of: object
) -> Iterator[Evidence]:
    """A measure that can't be taken is told as such: what was made and measured before stays."""
    try:
        yield from measure(*of)
    except UserError as error:
        yield rows.unmeasured("all", metric, str(error))
