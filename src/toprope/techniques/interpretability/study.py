"""The interpretability study: its settings, and how it is run: capture, dictionaries, what they
have in common, labels and their scores."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import ClassVar

from toprope.evidence import Evidence
from toprope.lab import Lab
from toprope.models.embedding import EMBEDDER
from toprope.study import NOBODY, Study
from toprope.techniques.interpretability.activations.capture import check_insides
from toprope.techniques.interpretability.activations.corpus import load_corpus
from toprope.techniques.interpretability.labels.job import label
from toprope.techniques.interpretability.labels.settings import LabelSettings
from toprope.techniques.interpretability.measures import FeatureMeasures
from toprope.techniques.interpretability.recipe import Recipe
from toprope.techniques.interpretability.workbench import CONSENSUS, RANDOM, Workbench


class Interpretability(LabelSettings, Recipe, Study):
    """What does a model think in? Trains dictionaries of its states on texts, finds the features
    that recur over seeds, labels them, and scores the labels, each beside its control."""

    name: ClassVar[str] = "interpretability"

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
        check_insides(self.target)
        self.check()
        bench = Workbench.begin(self.folder(lab), self.recipe, lab)
        bench.train()
        agreed = bench.agree()
        measures = FeatureMeasures(bench, self._about(lab, bench), lab.rng(self.name, "bootstrap"))
        yield from measures.dictionaries()
        if agreed:
            yield from measures.agreement(agreed)
        labelled = [CONSENSUS if CONSENSUS in bench.names else bench.seeds[0]]
        yield from measures.splicing(list(dict.fromkeys([bench.seeds[0], *labelled])))
        if self.controls:
            labelled.append(RANDOM)
        for one in labelled:
            yield from measures.labels(one, label(bench, one, self))
        bench.tidy()

    def folder(self, lab: Lab) -> Path:
        """The folder of features among the run's artifacts: another recipe, another folder."""
        of = hashlib.sha256(self.recipe.model_dump_json().encode()).hexdigest()[:8]
        return lab.artifact(self.name, of, "features.json").parent

    def _about(self, lab: Lab, bench: Workbench) -> dict[str, object]:
        return {
            "study": self.name,
            "overseer": "" if self.overseer == NOBODY else self.overseer,
            "target": self.target,
            "dataset": self.texts,
            "split": bench.about.corpus_fingerprint[:16],
            "seed": lab.seed,
            "truth": "ground_truth",
            "config_hash": self.config_hash,
        }
