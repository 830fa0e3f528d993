"""What one document is about: its entities, people, sources and numbers, each used for one thing.

No number is in a document twice with two meanings and no person holds two posts, so that a question
has one right answer however many others are asked of the same document.
"""

from collections.abc import Sequence
from typing import Any, TypeVar

import numpy as np

from toprope.techniques.debate.passages.language import Attribute, Common, Domain

T = TypeVar("T")

FIRST_YEAR, LAST_YEAR = 1840, 1925


class Scene:
    """A document in the making. All draws come from `rng`, in order."""

    def __init__(
        self, domain: Domain, common: Common, *, entities: int, rng: np.random.Generator
    ) -> None:
        self.domain, self.common, self.rng = domain, common, rng
        stems = self._stems(entities)
        pair = self.shuffled(pattern.format(stem=stems[0]) for pattern in domain.twins)
        rest = [self.pick(domain.names).format(stem=stem) for stem in stems[1:-1]]
        self.twins: tuple[str, ...] = tuple(pair)
        self.entities = [*pair, *rest][:entities]
        self.title = domain.title.format(stem=stems[-1])
        self.attributes = self.shuffled(domain.attributes)
        self.roles = self.shuffled(domain.roles)
        self.plans = self.shuffled(domain.plans)
        self.events = self.shuffled(domain.events)
        self._people = self.shuffled(common.last_names)
        self._numbers: set[int] = set()
        self._said: set[str] = set()

    def shuffled(self, items: Any) -> list[Any]:
        listed = list(items)
        return [listed[i] for i in self.rng.permutation(len(listed))]

    def pick(self, items: Sequence[T]) -> T:
        return items[int(self.rng.integers(len(items)))]

    def coin(self) -> bool:
        return bool(self.rng.integers(2))

    def person(self) -> str:
        """Somebody whose surname nobody else in the document has."""
        return f"{self.pick(self.common.first_names)} {self._people.pop()}"

    def extras(self) -> list[str]:
        """People for the sentences that matter to no question."""
        return [f"{self.pick(self.common.first_names)} {last}" for last in self._people]

    def pair(self) -> tuple[str, str]:
        """The two whose names are alike, in either order."""
        first, second = self.shuffled(self.twins)
        return first, second

    def few(self, n: int) -> list[str]:
        """So many entities, the two that are alike among them, in any order."""
        others = self.shuffled(e for e in self.entities if e not in self.twins)
        return self.shuffled([*self.twins, *others][:n])

    def sources(self, n: int) -> list[str]:
        return self.shuffled(self.domain.sources)[:n]

    def numbers(self, n: int, attribute: Attribute, *, plus: int = 0) -> list[int]:
        """Distinct values near each other, ascending, such that they, and they with `plus` added,
        are new to the document."""
        while True:
            centre = self.rng.integers(attribute.low, attribute.high + 1)
            around = centre * self.rng.uniform(0.7, 1.4, size=n)
            values = sorted({max(2, round(float(value))) for value in around})
            new = {*values, *(value + plus for value in values)}
            if len(values) == n and not new & self._numbers:
                self._numbers |= new
                return values

    def notices(self, n: int) -> list[int]:
        """Numbers of the editors' notices, each new to the document."""
        free = [number for number in range(100, 1000) if number not in self._numbers]
        chosen = [int(number) for number in self.rng.choice(free, size=n, replace=False)]
        self._numbers |= set(chosen)
        return chosen

    def years(self, n: int, *, apart: int) -> list[int]:
        """Ascending, each at least `apart` years after the one before."""
        spare = LAST_YEAR - FIRST_YEAR - (n - 1) * apart
        # Room for a last term of office inside the period.
        starts = np.sort(self.rng.choice(spare - apart, size=n, replace=False))
        return [FIRST_YEAR + int(start) + i * apart for i, start in enumerate(starts)]

    def say(self, templates: Sequence[str], **slots: Any) -> str:
        """A sentence, or clause, that this document doesn't have yet."""
        for _ in range(200):
            text = self.pick(templates).format(**slots)
            if text not in self._said:
                self._said.add(text)
                return text
        raise RuntimeError(f"no new sentence is left in {templates[0]!r} and its like")

    def sentence(self, templates: Sequence[str], **slots: Any) -> str:
        text = self.say(templates, **slots)
        return text[0].upper() + text[1:]

    def fact(self, clauses: Sequence[str], source: str = "", **slots: Any) -> str:
        """A clause as a sentence of its own, told by a source or plainly."""
        clause = self.say(clauses, **slots)
        leads = self.common.told if source else self.common.plain
        return self.sentence(leads, clause=clause, source=source)

    def _stems(self, entities: int) -> list[str]:
        """Distinct names: one for each entity and one for the title."""
        parts = self.common.stems
        found: dict[str, None] = {}
        while len(found) < entities + 1:
            found.setdefault(self.pick(parts["first"]) + self.pick(parts["second"]))
        return list(found)


def shown(number: int) -> str:
    """A number that isn't a year, as the documents write it."""
    return f"{number:,}"


def listed(names: Sequence[str]) -> str:
    """a, b and c."""
    return f"{', '.join(names[:-1])} and {names[-1]}"
