"""What studies of debate on text share: their questions, where they keep things, and what rows and
summaries say of them."""

from __future__ import annotations

import hashlib
import json
from typing import Any, ClassVar

from toprope.errors import UserError
from toprope.lab import Lab
from toprope.study import Study
from toprope.techniques.debate.reading import load_questions
from toprope.techniques.debate.running import check_ids
from toprope.techniques.debate.sets import QuestionSet


class TextStudy(Study):
    """A study with questions; its subclasses describe the fields and give defaults.

    Attributes:
        groups: of questions, that there have to be.
    """

    questions: str
    limit: int | None
    groups: ClassVar[int]

    def datasets(self, lab: Lab) -> list[str]:
        return [self.asked(lab).fingerprint]

    def asked(self, lab: Lab) -> QuestionSet:
        """The questions.

        Raises:
            UserError: as `load_questions`; or too few groups of them.
        """
        found = load_questions(
            self.questions,
            data_dir=lab.data_dir,
            limit=self.limit,
            seed=lab.seed,
            progress=lab.show,
        )
        check_ids(found.questions)
        there = len({question.unit for question in found.questions})
        if there < self.groups:
            raise UserError(
                f"questions '{found.name}': {len(found)} in {there} group{'s' * (there != 1)}, and "
                f"'{self.name}' needs {self.groups} groups or more: take more questions, or name a "
                "finer group"
            )
        return found

    @property
    def kept_in(self) -> tuple[str, str]:
        """Among the run's artifacts: of this judge and these debaters on these questions."""
        who = json.dumps([self.overseer, self.target, self.questions])
        return self.name, hashlib.sha256(who.encode()).hexdigest()[:8]

    def row_fields(self, lab: Lab, measured: QuestionSet) -> dict[str, Any]:
        """What all rows of evidence say, on the questions that were measured."""
        ids = json.dumps([question.id for question in measured.questions])
        return {
            "study": self.name,
            "overseer": self.overseer,
            "target": self.target,
            "dataset": measured.name,
            "split": hashlib.sha256(ids.encode()).hexdigest(),
            "seed": lab.seed,
            "truth": "ground_truth",
            "config_hash": self.config_hash,
        }

    def summary(self, lab: Lab, questions: QuestionSet) -> dict[str, Any]:
        """What a summary among the artifacts says of the study itself."""
        return {
            "overseer": self.overseer,
            "target": self.target,
            "questions": self.questions,
            "dataset": questions.name,
            "notes": list(questions.provenance.notes),
            "settings": self.model_dump(mode="json"),
            "config_hash": self.config_hash,
            "seed": lab.seed,
            "about": {key: dict(value) for key, value in questions.about.items()},
        }
