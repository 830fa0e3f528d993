"""Keys and values of what a model has read, kept for prompts that begin alike: a debate's next turn
finds its passage here, a chat's next request all that was said before it.

They're kept in blocks of tokens (Kwon et al. 2023, arXiv 2309.06180, section 4.4) in a tree whose
leaves go first, the longest unused before others (Zheng et al. 2024, arXiv 2312.07104, section 3).
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from weakref import ref

import torch
from torch import Tensor

from toprope.models.keys_values import add_rows

BLOCK = 16
"""Tokens of a block: of a prompt's last ones, fewer than this are always read again."""

ROOM = 1 << 30
"""Bytes that a model's cache takes at most, where the model is."""

FIRST_SLOTS = 256
"""Blocks that room is made for at first; then for twice as many, and so on."""

FREE = 0.25
"""Of a GPU's free memory, the share that more room may take."""

_Key = tuple[int, tuple[int, ...]]
"""Of a block: the serial number of the one before it, 0 for a prompt's first, and its tokens."""


@dataclass(eq=False)
class _Block:
    """
    Attributes:
        serial: above 0; no two blocks ever have the same.
        slot: where in the pools it is.
        used: the round of `keep` that last had it.
    """

    serial: int
    slot: int
    used: int


class PrefixCache:
    """One model's; for whoever holds the model's turn.

    All is forgotten once the model's weights aren't what they were: others, others in an adapter's
    layers, trained on. It can't see that where they're changed in place through `Tensor.data` or by
    a fused optimizer: call `LocalModel.forget` then. While something is hooked to one of the
    model's parts, the head over the vocabulary excepted, it neither serves nor keeps. What is
    hooked to the model as a whole is taken to watch its passes, and to change none.

    Attributes:
        room: bytes that it takes at most; 0: it keeps nothing.
        reused: tokens that didn't have to be read again so far.
    """

    def __init__(self, room: int = ROOM) -> None:
        self.room = room
        self.reused = 0
        self._blocks: OrderedDict[_Key, _Block] = OrderedDict()  # the newest used last
        self._pools: list[tuple[Tensor, Tensor]] = []  # [S slots, H, BLOCK, D]; slot 0 is padding
        self._free: list[int] = []
        self._most = self._rounds = self._serial = 0
        self._state = _State()

    def clear(self) -> None:
        """Forgets all, and gives the memory back."""
        self._blocks.clear()
        self._pools, self._free = [], []

    def can_serve(self, module: Any, cache: Any) -> bool:
        """Whether it can be used for a pass with this empty cache; to be asked before each."""
        from toprope.models.growing_cache import GrowingLayer

        # Others don't keep every position as it is, or more than keys and values of it.
        keeps = all(type(layer) is GrowingLayer for layer in cache.layers)
        if not self.room or not keeps or _turns_by_length(module.config) or _is_hooked(module):
            return False
        state = _State.of(module)
        if state is None:
            return False
        if not state.is_as(self._state):
            self.clear()
            self._state = state
        return True

    def find(self, tokens: Sequence[int]) -> list[int]:
        """The slots of the blocks that these tokens begin with."""
        return [block.slot for _, block in self._chain(tokens) if block]

    def load(self, cache: Any, slots: Sequence[Sequence[int]]) -> Tensor:
        """Puts what is in them behind the cache's rows, a row for each of the lists, padded on the
        left; returns the mask [B, T] of these rows."""
        most = max(map(len, slots))
        padded = [[0] * (most - len(some)) + list(some) for some in slots]
        at_BN = torch.tensor(padded, dtype=torch.long, device=self._pools[0][0].device)
        at_BN = at_BN.reshape(len(slots), most)
        mask_BT = (at_BN > 0).long().repeat_interleave(BLOCK, dim=1)
        self.reused += int(mask_BT.sum())

        def rows(pool: Tensor) -> Tensor:
            return pool[at_BN].transpose(1, 2).flatten(2, 3)  # [B, N, H, BLOCK, D]

        add_rows(cache, ((rows(keys), rows(values)) for keys, values in self._pools))
        return mask_BT

    def keep(
        self, module: Any, cache: Any, mask_BT: Tensor, prompts: Sequence[Sequence[int]]
    ) -> None:
        """Keeps what it has room for, the first prompts' first blocks before others.

        Args:
            cache: has read the prompts.
            mask_BT: which of its positions are a prompt's, from its first token to its last.
        """
        state = _State.of(module)
        if state is None or not state.is_as(self._state) or _is_hooked(module):
            return  # it was changed during the pass, in another thread
        self._rounds += 1
        try:
            self._write(cache, mask_BT, prompts)
        except torch.OutOfMemoryError:
            self.clear()
            self.room = 0
        except BaseException:  # some blocks are in the tree, and nothing is in their slots
            self.clear()
            raise

    def _write(self, cache: Any, mask_BT: Tensor, prompts: Sequence[Sequence[int]]) -> None:
        slots: list[int] = []
        rows: list[int] = []
        starts: list[int] = []
        for row, prompt in enumerate(prompts):
            for n, slot in self._add(prompt, cache):
                slots.append(slot)
                rows.append(row)
                starts.append(n * BLOCK)
        if not slots:
            return
        device = mask_BT.device
        rows_M = torch.tensor(rows, device=device)
        # Where in the cache the n-th token of a row is: padding sorts behind the tokens.
        order_BT = mask_BT.argsort(dim=1, descending=True, stable=True)
        within = torch.arange(BLOCK, device=device)
        nth_MC = torch.tensor(starts, device=device)[:, None] + within
        at_MC = order_BT[rows_M[:, None], nth_MC]
        slots_M = torch.tensor(slots, device=device)
        for layer, (keys, values) in zip(cache.layers, self._pools, strict=True):
            # Two indices around the heads' own: what they choose is [M, BLOCK, H, D].
            keys[slots_M] = layer.keys[rows_M[:, None], :, at_MC].transpose(1, 2)
            values[slots_M] = layer.values[rows_M[:, None], :, at_MC].transpose(1, 2)

    def _chain(self, tokens: Sequence[int]) -> Iterator[tuple[_Key, _Block | None]]:
        """The blocks of these tokens, to the first that isn't here, or was only now put here."""
        serial = 0
        for start in range(0, len(tokens) - BLOCK + 1, BLOCK):
            key = serial, tuple(tokens[start : start + BLOCK])
            yield key, self._blocks.get(key)
            if key not in self._blocks:
                return
            serial = self._blocks[key].serial

    def _add(self, prompt: Sequence[int], cache: Any) -> list[tuple[int, int]]:
        """Which of the prompt's blocks are new, and their slots."""
        new: list[tuple[int, int]] = []
        passed: list[_Key] = []
        for n, (key, block) in enumerate(self._chain(prompt)):
            if block is None:
                slot = self._slot(cache)
                if slot is None:
                    break
                self._serial += 1
                block = self._blocks[key] = _Block(self._serial, slot, self._rounds)
                new.append((n, slot))
            block.used = self._rounds
            self._blocks.move_to_end(key)  # out of the way of those that have to go
            passed.append(key)
        for key in reversed(passed):  # so that a block goes before the one that it follows
            self._blocks.move_to_end(key)
        return new

    def _slot(self, cache: Any) -> int | None:
        """A free one; None: all are in use this round."""
        if not self._free:
            self._make_room(cache)
        if self._free:
            return self._free.pop()
        oldest = next(iter(self._blocks), None)
        if oldest is None or self._blocks[oldest].used == self._rounds:
            return None
        return self._blocks.pop(oldest).slot

    def _make_room(self, cache: Any) -> None:
        """For as many blocks again, where that is allowed."""
        here = len(self._pools[0][0]) - 1 if self._pools else 0
        if here and here >= self._most:
            return
        layers = [(layer.keys, layer.values) for layer in cache.layers]
        one = BLOCK * sum(x[0, :, :1].numel() * x.element_size() for pair in layers for x in pair)
        self._most = self.room // one
        slots, device = min(max(FIRST_SLOTS, 2 * here), self._most), layers[0][0].device
        if device.type == "cuda" and slots * one > FREE * torch.cuda.mem_get_info(device)[0]:
            self._most = here
        if slots > self._most or not slots:
            return

        def pool(x: Tensor) -> Tensor:
            _, heads, _, width = x.shape
            made = torch.empty((slots + 1, heads, BLOCK, width), dtype=x.dtype, device=x.device)
            made[0] = 0
            return made

        for n, (keys, values) in enumerate(layers):
            made = pool(keys), pool(values)
            if not here:
                self._pools.append(made)
                continue
            for new, old in zip(made, self._pools[n], strict=True):
                new[: here + 1] = old
            self._pools[n] = made
        self._free = list(range(slots, here, -1))


@dataclass(frozen=True)
class _State:
    """Which weights a module has, and how often each was changed.

    Attributes:
        places: where its numbers are, and what they are: `Module.to` leaves the weight itself.
    """

    weights: tuple[ref[Tensor], ...] = ()
    versions: tuple[int, ...] = ()
    places: tuple[tuple[object, ...], ...] = ()

    @classmethod
    def of(cls, module: Any) -> _State | None:
        """None: it can't be told, as weights made in inference mode don't count their changes."""
        weights = list(module.parameters())
        if any(weight.is_inference() for weight in weights):
            return None
        versions = (weight._version for weight in weights)
        places = ((weight.data_ptr(), weight.dtype, weight.device) for weight in weights)
        return cls(tuple(map(ref, weights)), tuple(versions), tuple(places))

    def is_as(self, other: _State) -> bool:
        """Of the same weights themselves: others may lie where those were that are gone."""
        return (
            (self.versions, self.places) == (other.versions, other.places)
            and len(self.weights) == len(other.weights)
            and all(a() is b() for a, b in zip(self.weights, other.weights, strict=True))
        )


def _is_hooked(module: Any) -> bool:
    apart = (module, module.get_output_embeddings())
    hooks = (
        hook
        for part in module.modules()
        if all(part is not one for one in apart)
        for some in (part._forward_hooks, part._forward_pre_hooks)
        for hook in some.values()
    )
    # transformers' own stay for good once it was asked for hidden states, and only copy them.
    return any(not getattr(hook, "__module__", "").startswith("transformers.") for hook in hooks)


def _turns_by_length(config: Any) -> bool:
    """Whether keys are rotated by angles that depend on how long the prompt is (LongRoPE, dynamic
    NTK): those of a short one are no beginning of a long one's."""
    config = config.get_text_config()
    found = getattr(config, "rope_parameters", None) or getattr(config, "rope_scaling", None) or {}
    of_layers = [found, *(one for one in found.values() if isinstance(one, Mapping))]
    kinds = [str(one.get("rope_type") or one.get("type") or "") for one in of_layers]
    return any(word in kind for kind in kinds for word in ("longrope", "dynamic"))
