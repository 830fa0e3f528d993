"""Collecting exchanges of a target: requests, harmful and harmless, put to it plainly and under
attacks.

The same framings go on both sides: a classifier that sees every framing on harmful requests alone
learns the framing. So that it costs no more than is needed, each request is put plainly and under a
few families that are drawn for it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np

from toprope.data.behaviours import Behaviour, Behaviours
from toprope.models.embedding import embedded, of_length_one
from toprope.models.local import LocalModel
from toprope.techniques.redteam.attacks.attack import Attack
from toprope.techniques.redteam.attacks.direct import Direct
from toprope.techniques.redteam.attempts import Attempt, Verdict
from toprope.techniques.redteam.campaign import Front
from toprope.techniques.safeguards.exchanges import Exchange, from_attempt

ALIKE = 0.8
"""The cosine of two requests' embeddings from which they ask for about the same."""


class Harmless:
    """The judge of answers to harmless requests: there is nothing to judge."""

    name = "harmless"
    version = "1"

    async def judge(self, request: str, response: str) -> Verdict:
        return Verdict(0.0)


async def collected(
    front: Front,
    data: Behaviours,
    attacks: Sequence[Attack],
    *,
    families: int,
    rng: np.random.Generator,
    advance: Callable[[float], None],
) -> list[Exchange]:
    """The target's exchanges on a set.

    Args:
        families: under how many of the attacks' families a request is put, besides plainly.
    """
    if not any(one.harmful for one in data.behaviours):
        front = replace(front, target=replace(front.target, judge=Harmless()))
    attempts = await front.each(drawn(data.behaviours, attacks, families, rng), advance)
    return of_attempts(attempts, data, system=front.target.system)


def of_attempts(
    attempts: Sequence[Attempt], data: Behaviours, *, system: str = ""
) -> list[Exchange]:
    """The exchanges of attempts on a set's requests; those without a whole answer or a verdict
    have none.

    Args:
        system: the target's system prompt.
    """
    of = {one.id: one for one in data.behaviours}
    made = [
        from_attempt(
            attempt,
            origin=data.name,
            group=group_of(of[attempt.behaviour], data.name),
            harmless=not of[attempt.behaviour].harmful,
            system=system,
        )
        for attempt in attempts
    ]
    return [exchange for exchange in made if exchange is not None]


def group_of(one: Behaviour, of: str) -> str:
    """What a request of a set is about: its pair, or itself, whose id is its own in its set."""
    return f"{of}/{one.id}" if one.pair in ("", one.id) else one.pair


def drawn(
    behaviours: Sequence[Behaviour],
    attacks: Sequence[Attack],
    families: int,
    rng: np.random.Generator,
) -> list[tuple[Behaviour, Attack]]:
    """Each request plainly, and under one attack of each of some families."""
    by_family: dict[str, list[Attack]] = {}
    for attack in attacks:
        by_family.setdefault(attack.family, []).append(attack)
    names = list(by_family)
    pairs: list[tuple[Behaviour, Attack]] = []
    for one in behaviours:
        pairs.append((one, Direct()))
        for place in rng.permutation(len(names))[:families]:
            some = by_family[names[place]]
            pairs.append((one, some[int(rng.integers(len(some)))]))
    return pairs


def unlike(data: Behaviours, kept_apart: Behaviours, embedder: LocalModel) -> Behaviours:
    """The set without those that ask for about what one of another set does: what is trained on
    must not be what is tested on in other words."""
    own_ND, other_MD = (
        of_length_one(embedded(embedder, [one.text for one in part.behaviours]))
        for part in (data, kept_apart)
    )
    nearest_N = (own_ND @ other_MD.T).max(1)
    far = [one for one, near in zip(data.behaviours, nearest_N, strict=True) if near < ALIKE]
    return replace(data, behaviours=tuple(far))


def unlike_groups(
    exchanges: Sequence[Exchange], kept_apart: Behaviours, embedder: LocalModel
) -> list[Exchange]:
    """The same of exchanges: without the groups whose plain request is like one of the set's. A
    group that was never asked plainly is left out too: what it asks for can't be told."""
    plain = {one.group: one.messages[-1]["content"] for one in exchanges if one.family == "direct"}
    requests = tuple(Behaviour(group, text) for group, text in plain.items())
    far = unlike(Behaviours("requests", requests), kept_apart, embedder) if requests else None
    groups = {one.id for one in far.behaviours} if far else set()
    return [one for one in exchanges if one.group in groups]
