"""Prompts that begin alike are read once: what they share first, then what each has of its own.

Speeches on one passage, questions behind the same examples, requests in the same frame: most of
what such prompts hold is the same. The keys and values of what a group shares are computed in one
row and copied to its members (Juravsky et al. 2024, arXiv 2402.05099, section 3). What earlier
prompts began with isn't read at all where it was kept (`prefix_cache.py`).
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor

from toprope.models.batching import batches, left_padded
from toprope.models.keys_values import (
    as_argument,
    keeps_every_position,
    pad_left,
    read_ahead,
)
from toprope.models.prefix_cache import BLOCK, PrefixCache

NEAR = 64
"""Prompts a group has at most: what is tried grows with it."""

WORTH = 0.8
"""Tokens to read, as a share of those without sharing, at which it begins to be done: a second pass
has a cost of its own."""


@dataclass(frozen=True)
class Group:
    """
    Attributes:
        members: indices of prompts.
        shared: tokens that they begin with alike.
    """

    members: list[int]
    shared: int

    def known_of_shared(self, known: Sequence[int]) -> int:
        """How many of the shared tokens needn't be read, by how many of each prompt needn't."""
        return min(known[self.members[0]], self.shared // BLOCK * BLOCK)


def groups(
    prompts: Sequence[list[int]],
    own: Sequence[int] | None = None,
    lengths: Sequence[int] | None = None,
) -> list[Group]:
    """Every prompt in one group, so that the fewest tokens are left to read, the padding of a group
    to its longest member included.

    Args:
        prompts: token ids.
        own: of each prompt, how many of its last tokens aren't to be shared, 1 or more; none: 1.
        lengths: that are padded; none: the prompts' own.
    """
    order = sorted(range(len(prompts)), key=lambda i: prompts[i])
    most = [len(prompts[i]) - (own[i] if own else 1) for i in order]
    alike = [_alike(prompts[a], prompts[b]) for a, b in pairwise(order)]
    long = [lengths[i] if lengths else len(prompts[i]) for i in order]
    saved, began, shares = [0], [0], [0]
    for end in range(1, len(order) + 1):
        # The last group has the prompts from `at` to `end`.
        best = saved[-1], end - 1, 0
        shared, longest, total = most[end - 1], long[end - 1], long[end - 1]
        for at in range(end - 2, max(-1, end - 1 - NEAR), -1):
            shared = min(shared, most[at], alike[at])
            if shared <= 0:
                break
            longest, total, n = max(longest, long[at]), total + long[at], end - at
            saves = (n - 1) * shared - (n * longest - total)
            best = max(best, (saved[at] + saves, at, shared))
        saved.append(best[0])
        began.append(best[1])
        shares.append(best[2])
    found, end = [], len(order)
    while end > 0:
        found.append(Group(order[began[end] : end], shares[end]))
        end = began[end]
    return found[::-1]


def near_batches(
    prompts: Sequence[list[int]], lengths: Sequence[int], *, budget: int
) -> Iterator[list[int]]:
    """As `batches`, with prompts that begin alike beside each other.

    Args:
        lengths: of prompts and answers.
    """
    found = groups(prompts, lengths=lengths)
    found.sort(key=lambda group: -max(lengths[i] for i in group.members))
    in_order: list[int] = []
    longest: list[int] = []
    for group in found:
        members = sorted(group.members, key=lambda i: (-lengths[i], i))
        in_order += members
        longest += [lengths[members[0]]] * len(members)
    for some in batches(longest, budget=budget):
        yield [in_order[i] for i in some]


def begin(
    module: Any,
    cache: Any,
    prompts: Sequence[list[int]],
    pad: int,
    own: Sequence[int],
    kept: PrefixCache | None = None,
) -> tuple[Tensor, Tensor, Tensor]:
    """What is left to read of the prompts, after what they share was put into the cache.

    Args:
        cache: an empty one.
        own: as for `groups`.
        kept: what was read for other prompts, and needn't be read again.

    Returns:
        Token ids [B, T], the mask [B, P + T] of those and of the P positions in the cache, and
        positions [B, T].
    """
    slots = [
        kept.find(prompt[: len(prompt) - n]) if kept else []
        for prompt, n in zip(prompts, own, strict=True)
    ]
    known = [BLOCK * len(some) for some in slots]
    found = _alone_where_known(groups(prompts, own), known)
    found, read = _cheapest(prompts, found, known, max(own))
    whole = len(prompts) * max(map(len, prompts))
    if read > WORTH * whole or not _can_be_split(cache, prompts, found):
        return left_padded(prompts, pad, module.device)

    def heads(some: Sequence[Group]) -> list[_Head]:
        firsts = ((one.members[0], one) for one in some)
        return [
            _Head(prompts[i][: one.shared], slots[i][: one.known_of_shared(known) // BLOCK])
            for i, one in firsts
        ]

    new, old = _parted(found, known)
    masks = [_read(module, cache, heads(new), pad, kept)] if new else []
    if old and kept:
        masks.append(kept.load(cache, [head.slots for head in heads(old)]))
    length = max(mask_GP.shape[1] for mask_GP in masks)
    mask_GP = torch.cat([pad_left(mask_GP, length, dim=1) for mask_GP in masks])
    found = [*new, *old]
    group_of = torch.empty(len(prompts), dtype=torch.long)
    for g, group in enumerate(found):
        group_of[group.members] = g
    group_of = group_of.to(module.device)
    cache.batch_select_indices(group_of)
    before_B = torch.tensor([group.shared for group in found], device=module.device)[group_of]
    tails = [prompt[n:] for prompt, n in zip(prompts, before_B.tolist(), strict=True)]
    ids_BT, mask_BT, positions_BT = left_padded(tails, pad, module.device)
    mask_BPT = torch.cat([mask_GP[group_of], mask_BT], dim=1)
    return ids_BT, mask_BPT, positions_BT + before_B[:, None]


@dataclass(frozen=True)
class _Head:
    """What a group's prompts begin with.

    Attributes:
        slots: where its first blocks are kept.
    """

    tokens: list[int]
    slots: list[int]

    @property
    def known(self) -> int:
        return BLOCK * len(self.slots)


def _read(
    module: Any, cache: Any, heads: Sequence[_Head], pad: int, kept: PrefixCache | None
) -> Tensor:
    """Reads them into the empty cache, from where they aren't kept: a row for each, and their mask
    [G, P]."""
    rests = [head.tokens[head.known :] for head in heads]
    ids_GT, mask_GP, positions_GT = left_padded(rests, pad, module.device)
    if kept and any(head.slots for head in heads):
        before_GP = kept.load(cache, [head.slots for head in heads])
        mask_GP = torch.cat([before_GP, mask_GP], dim=1)
        begun_G = torch.tensor([head.known for head in heads], device=module.device)
        positions_GT = positions_GT + begun_G[:, None]
    ids_GT, positions_GT = read_ahead(module, cache, ids_GT, mask_GP, positions_GT, last=1)
    module(
        input_ids=ids_GT,
        attention_mask=mask_GP,
        position_ids=positions_GT,
        use_cache=True,
        logits_to_keep=1,
        **as_argument(module, cache),
    )
    return mask_GP


def _parted(
    found: Sequence[Group], known: Sequence[int]
) -> tuple[Sequence[Group], Sequence[Group]]:
    """Those of whose shared tokens some have to be read, and those of which all are kept.

    Where nothing is known, who shares nothing is padding of the first's pass.
    """
    if not any(known):
        return found, ()
    new, old = [], []
    for group in found:
        (new if group.shared > group.known_of_shared(known) else old).append(group)
    return new, old


def _alone_where_known(found: Sequence[Group], known: Sequence[int]) -> list[Group]:
    """A group in whose place each of its members is begun with what is known of it, where that is
    as good as what they share."""
    if not any(known):
        return list(found)
    some: list[Group] = []
    for group in found:
        if min(known[i] for i in group.members) > group.shared - BLOCK:
            some += [Group([i], known[i]) for i in group.members]
        else:
            some.append(group)
    return some


def _cheapest(
    prompts: Sequence[list[int]], found: Sequence[Group], known: Sequence[int], least: int
) -> tuple[list[Group], int | float]:
    """The groups that take the fewest tokens to read in two padded passes, and how many.

    All but the last few tokens of a prompt that shares too little are read by itself in the first
    pass, so that it doesn't lengthen the second for all others.

    Args:
        known: tokens that each prompt begins with and that needn't be read.
        least: tokens of each prompt that the second pass has to read.
    """
    best: tuple[list[Group], int | float] = [], math.inf
    for rest in sorted({max(least, _rest(prompts, group)) for group in found if group.shared}):
        some: list[Group] = []
        for group in found:
            if group.shared and _rest(prompts, group) <= rest:
                some.append(group)
            else:
                some += [Group([i], max(0, len(prompts[i]) - rest)) for i in group.members]
        new, _ = _parted(some, known)
        longest = max((one.shared - one.known_of_shared(known) for one in new), default=0)
        read = len(new) * longest + len(prompts) * rest
        if read < best[1]:
            best = some, read
    return best


def _rest(prompts: Sequence[list[int]], group: Group) -> int:
    """Tokens of a group's longest prompt that aren't shared."""
    return max(len(prompts[i]) for i in group.members) - group.shared


def _alike(a: Sequence[int], b: Sequence[int]) -> int:
    """How many tokens two prompts begin with alike."""
    for n, (one, other) in enumerate(zip(a, b, strict=False)):
        if one != other:
            return n
    return min(len(a), len(b))


def _can_be_split(cache: Any, prompts: Sequence[list[int]], found: Sequence[Group]) -> bool:
    """Whether the cache keeps every position as it is: padding between two parts of a prompt would
    fill a sliding window, and a state that is carried on can't leave it out."""
    length = max(g.shared for g in found) + max(_rest(prompts, g) for g in found)
    return keeps_every_position(cache, length)
