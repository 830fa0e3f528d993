"""A set of questions: where they came from, and what is known of each beside its answer."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from hashlib import sha256
from typing import Any

from toprope.data.examples import Dataset, Example, Provenance
from toprope.data.sampling import evened, limited
from toprope.data.seeding import named_rng
from toprope.data.splits import split
from toprope.errors import UserError
from toprope.techniques.debate.questions import LETTERS, Question


@dataclass(frozen=True)
class QuestionSet:
    """Questions in order.

    Attributes:
        provenance: where they came from, with what was left out; not part of the fingerprint.
        about: question id -> what reports may say of it (its difficulty, the sentences that prove
            it, ...). Nobody who takes part in a debate sees this.
    """

    name: str
    questions: tuple[Question, ...]
    provenance: Provenance = field(default_factory=Provenance)
    about: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.questions)

    @cached_property
    def fingerprint(self) -> str:
        """SHA-256 (hex) of the name and every field of the questions, in order."""
        rows = [self.name, *(one.as_json() for one in self.questions)]
        return sha256(json.dumps(rows, sort_keys=True).encode()).hexdigest()

    def limited(self, limit: int | None, *, seed: int) -> "QuestionSet":
        """At most so many: whole groups, drawn by the seed, the answers' places in proportion.

        Raises:
            UserError: the limit is below 1, or too small for any group.
        """
        if limit is None or limit >= len(self):
            return self
        if limit < 1:
            raise UserError(f"limit {limit}: give 1 or more")
        kept = limited(self._examples, limit, rng=named_rng(seed, self.name, "limit"))
        if not kept:
            raise UserError(f"limit {limit}: too small for any whole group of '{self.name}'")
        return self._only({one.id for one in kept}, f"limit of {limit}")

    def balanced(self, *, seed: int) -> "QuestionSet":
        """As many with the answer in each place as in the place that has the fewest."""
        kept = evened(self._examples, rng=named_rng(seed, self.name, "balance"))
        return self._only({one.id for one in kept}, "balance of the answers")

    def parted(self, share: float, *, seed: int) -> "tuple[QuestionSet, QuestionSet]":
        """Two sets, the first with a share of the questions: groups stay whole, the answers' places
        are in proportion in both.

        Raises:
            UserError: a part would be empty, or lack a place, or a group would have to be cut.
        """
        places = tuple(LETTERS[: 1 + max(q.answer for q in self.questions)])
        whole = Dataset(self.name, tuple(self._examples), places, places)
        halves = split(whole, {"first": share, "second": 1 - share}, seed=seed)
        first, second = (
            {self.questions[i].id for i in halves.parts[name]} for name in ("first", "second")
        )
        return self._only(first, "the other part"), self._only(second, "the other part")

    @property
    def _examples(self) -> list[Example]:
        return [Example(q.id, q.text, q.answer, q.unit) for q in self.questions]

    def _only(self, ids: set[str], reason: str) -> "QuestionSet":
        gone = len(self) - len(ids)
        dropped = dict(self.provenance.examples_dropped)
        if gone:
            dropped[reason] = gone
        return replace(
            self,
            questions=tuple(q for q in self.questions if q.id in ids),
            provenance=replace(self.provenance, examples_dropped=dropped),
            about={key: value for key, value in self.about.items() if key in ids},
        )
