"""The sets of a study: those to learn from, and those of the trial, kept apart."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from toprope.data.behaviours import FEWEST, Behaviours
from toprope.errors import UserError
from toprope.lab import Lab
from toprope.models.local import LocalModel
from toprope.techniques.safeguards.collect import unlike


@dataclass(frozen=True)
class Sets:
    """
    Attributes:
        harmful, harmless: to learn from.
        test: the trial's harmful requests.
        unseen: the trial's harmless requests.
    """

    harmful: Sequence[Behaviours]
    harmless: Sequence[Behaviours]
    test: Behaviours
    unseen: Sequence[Behaviours]


@dataclass(frozen=True)
class Named:
    """The sets as a user names them.

    Attributes:
        test: none: `share` of each harmful set is held out.
        unseen: none: `share` of each harmless set is held out. A set that is learned from too is
            divided: what is held out are other requests of the same set.
        limit: requests of a set to learn from, at most.
        test_limit, unseen_limit: of the trial's sets.
    """

    harmful: Sequence[str]
    harmless: Sequence[str]
    test: str | None
    unseen: Sequence[str]
    share: float
    limit: int | None
    test_limit: int | None
    unseen_limit: int | None

    def load(self, lab: Lab) -> Sets:
        """
        Raises:
            UserError: no such set, one that is on the wrong side, or too few requests on one side
                of a split.
        """
        harmful = [_of_side(lab, name, True, self.limit) for name in self.harmful]
        if self.test in self.harmful:
            raise UserError(
                f"'{self.test}' is learned from, and is the trial's too: name another, or leave "
                "the trial's out, and a share of it is held out"
            )
        if self.test:
            test = _of_side(lab, self.test, True, self.test_limit)
        else:
            halves = [one.split(1 - self.share, seed=lab.seed) for one in harmful]
            harmful, test = [a for a, _ in halves], _joined([b for _, b in halves])
            test = test.limited(self.test_limit, seed=lab.seed)
        harmless, unseen = self._harmless(lab, harmful, test)
        for data in (*harmful, *harmless, test, *unseen):
            if len(data) < FEWEST:
                raise UserError(
                    f"'{data.name}' has too few requests on one side of the split: name sets for "
                    "the trial (test, unseen), or another share"
                )
        return Sets(harmful, harmless, test, unseen)

    def _harmless(
        self, lab: Lab, harmful: Sequence[Behaviours], test: Behaviours
    ) -> tuple[list[Behaviours], list[Behaviours]]:
        learned = {one.pair for data in harmful for one in data.behaviours}
        tested = {one.pair for one in test.behaviours}
        to_learn, held_out = [], {}
        for name in self.harmless:
            divided = not self.unseen or name in self.unseen
            data = _of_side(lab, name, False, None if divided else self.limit)
            if divided:
                data, held_out[name] = _divided(data, learned, tested, self.share, lab.seed)
                data = data.limited(self.limit, seed=lab.seed)
            to_learn.append(data)
        for name in self.unseen:
            if name not in held_out:
                held_out[name] = _of_side(lab, name, False, None)
        unseen = [one.limited(self.unseen_limit, seed=lab.seed) for one in held_out.values()]
        return to_learn, unseen


def apart(sets: Sets, embedder: LocalModel) -> Sets:
    """What is learned from, without what asks for about the same as the trial does on its side.

    Raises:
        UserError: nothing is left of a side.
    """
    harmful = [unlike(one, sets.test, embedder) for one in sets.harmful]
    trial = Behaviours("unseen", tuple(b for data in sets.unseen for b in data.behaviours))
    harmless = [unlike(one, trial, embedder) for one in sets.harmless]
    for side, some in (("harmful", harmful), ("harmless", harmless)):
        if not any(len(one) for one in some):
            raise UserError(
                f"all {side} requests to learn from ask for about the same as the trial's: name "
                "other sets"
            )
    return replace(
        sets,
        harmful=[one for one in harmful if len(one)],
        harmless=[one for one in harmless if len(one)],
    )


def _of_side(lab: Lab, name: str, harmful: bool, limit: int | None) -> Behaviours:
    found = lab.behaviours(name, limit=limit)
    if any(one.harmful is not harmful for one in found.behaviours):
        is_it, wanted = ("harmless", "harmful") if harmful else ("harmful", "harmless")
        raise UserError(f"'{name}' is {is_it}, and is named among the {wanted} sets")
    return found


def _joined(sets: Sequence[Behaviours]) -> Behaviours:
    """One set of several, ids told apart by their set's name where there are several."""
    if len(sets) == 1:
        return sets[0]
    name = "+".join(data.name for data in sets)
    some = tuple(
        replace(one, id=f"{data.name}/{one.id}") for data in sets for one in data.behaviours
    )
    return Behaviours(name, some)


def _divided(
    data: Behaviours, learned: set[str], tested: set[str], share: float, seed: int
) -> tuple[Behaviours, Behaviours]:
    """A harmless set to learn from and for the trial: what is paired with a harmful request goes
    with it, and of the rest a share is held out."""
    free = [one.id for one in data.behaviours if one.pair not in learned | tested]
    rest = replace(data, behaviours=tuple(b for b in data.behaviours if b.id in set(free)))
    held = {one.id for one in data.behaviours if one.pair in tested - learned}
    if len(rest) * min(share, 1 - share) >= FEWEST:
        held |= {one.id for one in rest.split(1 - share, seed=seed)[1].behaviours}
    parts = [tuple(b for b in data.behaviours if (b.id in held) is h) for h in (False, True)]
    return replace(data, behaviours=parts[0]), replace(data, behaviours=parts[1])
