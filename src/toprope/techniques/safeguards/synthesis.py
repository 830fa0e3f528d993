"""Synthesis: from a constitution to requests of each of its categories, written by an overseer
(Sharma et al. 2025, arXiv 2501.18837, section 3: constitution to synthetic prompts).

Three kinds of request are asked for: those of a harmful category; those of a harmless one, which
where it is near a harmful one touch on its subjects; and for each harmful request a counterpart, as
like it in words and form as can be, that is harmless. A classifier that saw nothing of the last two
would learn topics and style. For the same reason a harmful category and the harmless one near it
are begun with the same words.

Small overseers stray, so the overseer is also asked, of each harmful request and each counterpart
by itself, whether it means harm. That counts where it tells the constitution's own examples right.

Requests alone, each an intent in a sentence: no answers, and no attacks.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from toprope.data.behaviours import Behaviour
from toprope.errors import UserError
from toprope.models.chat import Chat
from toprope.models.local import LocalModel
from toprope.techniques.safeguards.constitution import Constitution
from toprope.techniques.safeguards.sieve import Sieve
from toprope.techniques.safeguards.writing import PER_CALL, Kind, Request, Writer, kinds, shown

SPARE = 5
"""Calls that a category may take, as a multiple of those that would do if all were kept."""

TRIES = 3
"""Calls for one counterpart, at most."""


@dataclass(frozen=True)
class Synthesised:
    """What an overseer wrote.

    Attributes:
        harmful: ids `constitution/CATEGORY/NUMBER/harmful`; the pair is what is before the last
            part.
        harmless: those of the harmless categories, ids `constitution/CATEGORY/NUMBER`; then the
            counterparts, of the category and the pair of their harmful request.
        counts: what became of calls ("calls", and of these "refused", "unparsable", "error") and of
            what was written ("kept", and why the rest wasn't).
    """

    harmful: tuple[Behaviour, ...]
    harmless: tuple[Behaviour, ...]
    counts: Mapping[str, int]


async def synthesise(
    constitution: Constitution,
    overseer: Chat,
    *,
    each: int,
    seed: int,
    embedder: LocalModel | None = None,
    advance: Callable[[float], object] = lambda amount: None,
) -> Synthesised:
    """Requests of every category of a constitution; the same ones for the same seed and answers.

    Args:
        each: how many requests of a category are wanted; it may end with fewer.
        embedder: whose mean states say which requests are alike; without one, equal words do.
        advance: is told of requests as they are there or given up: `each` for a category, and
            `each` again for a harmful one's counterparts.

    Raises:
        UserError: nothing that the overseer wrote for one of the sides can be used.
    """
    categories = kinds(constitution)
    counts: Counter[str] = Counter()
    writer = Writer(overseer, seed, counts)
    sieve = Sieve(shown(constitution), embedder, each, counts)
    await writer.learn_trust(categories)
    spent = dict.fromkeys(categories, 0)
    told = 0
    while calls := _due(spent, sieve):
        lists = await asyncio.gather(*(writer.list_of(one, number) for one, number in calls))
        new = [
            Request(text, one)
            for (one, _), texts in zip(calls, lists, strict=True)
            for text in texts
        ]
        sieve.admit(await writer.right(sieve.sound(new)))
        now = sum(len(sieve.kept(one)) for one in categories)
        advance(max(0, now - told))
        told = max(now, told)
    advance(len(categories) * each - told)

    found = {one: sieve.kept(one) for one in categories}
    for side, harmful in (("harmful", True), ("harmless", False)):
        if not any(some for one, some in found.items() if one.harmful == harmful):
            raise UserError(
                f"model '{overseer.name}' wrote no {side} request that can be used "
                f"({_told(counts)}): take a larger overseer, or one that refuses less"
            )
    asked_for = [request for one, some in found.items() if one.harmful for request in some]
    counterparts = await _counterparts(asked_for, writer, sieve, advance)
    advance(len(constitution.harmful) * each - len(asked_for))
    return _synthesised(found, counterparts, counts)


def _due(spent: dict[Kind, int], sieve: Sieve) -> list[tuple[Kind, int]]:
    """The calls of the next round, each with its number within its category, and spends them: as
    many as would do if all that they bring were kept."""
    calls = []
    for one, number in spent.items():
        missing = sieve.each - len(sieve.kept(one))
        most = SPARE * -(-sieve.each // PER_CALL)
        spent[one] = min(most, number + -(-missing // PER_CALL))
        calls += [(one, i) for i in range(number, spent[one])]
    return calls


async def _counterparts(
    harmful: Sequence[Request],
    writer: Writer,
    sieve: Sieve,
    advance: Callable[[float], object],
) -> dict[Request, str]:
    """Of those harmful requests for which one could be had."""
    found: dict[Request, str] = {}
    for number in range(TRIES):
        missing = [one for one in harmful if one not in found]
        lists = await asyncio.gather(*(writer.counterpart_of(one, number) for one in missing))
        new = [one for some in lists for one in some]
        kept = sieve.admit(await writer.right(sieve.sound(new)))
        found |= {one.counters: one.text for one in kept if one.counters}
        advance(len(kept))
    advance(len(harmful) - len(found))
    return found


def _synthesised(
    found: Mapping[Kind, Sequence[Request]],
    counterparts: Mapping[Request, str],
    counts: Mapping[str, int],
) -> Synthesised:
    sides: dict[bool, list[Behaviour]] = {True: [], False: []}
    paired: list[Behaviour] = []
    for one, requests in found.items():
        for number, request in enumerate(requests, 1):
            key = f"constitution/{one.name}/{number}"
            id_ = f"{key}/harmful" if one.harmful else key
            sides[one.harmful].append(Behaviour(id_, request.text, one.name, one.harmful, key))
            if request in counterparts:
                other = counterparts[request]
                paired.append(Behaviour(f"{key}/harmless", other, one.name, False, key))
    kept = sum(map(len, sides.values())) + len(paired)
    return Synthesised(
        harmful=tuple(sides[True]),
        harmless=(*sides[False], *paired),
        counts={"kept": kept, **{what: n for what, n in counts.items() if n}},
    )


def _told(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{n} {what}" for what, n in counts.items() if n)
