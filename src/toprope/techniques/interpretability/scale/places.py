"""Which part of the work a process has, and what the processes tell each other.

The processes are a grid of groups x shards: those of one group cut the latents among them and read
the same rows; the groups cut the batch, and each has the whole dictionary. Process number g *
shards + s is shard s of group g.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor

from toprope.techniques.interpretability.dictionaries.sparse import Pattern


@dataclass(frozen=True, eq=False)
class Place:
    """One process's place in the grid.

    Attributes:
        shard, group: its own, from 0.
        across_shards: with the processes of the same group.
        across_groups: with the processes that hold the same latents.
    """

    shard: int
    shards: int
    group: int
    groups: int
    across_shards: dist.ProcessGroup
    across_groups: dist.ProcessGroup

    @classmethod
    def of_this_process(cls, shards: int, groups: int) -> Place:
        """Of a process of an initialised default group of shards * groups; all have to ask."""
        rank = dist.get_rank()
        rows = [list(range(g * shards, (g + 1) * shards)) for g in range(groups)]
        columns = [list(range(s, shards * groups, shards)) for s in range(shards)]
        across_shards: list[Any] = [dist.new_group(row) for row in rows]
        across_groups: list[Any] = [dist.new_group(column) for column in columns]
        group, shard = divmod(rank, shards)
        return cls(shard, shards, group, groups, across_shards[group], across_groups[shard])

    def latents(self, width: int, shard: int | None = None) -> slice:
        """A shard's part of the latents, by default the own one's."""
        shard = self.shard if shard is None else shard
        return slice(width * shard // self.shards, width * (shard + 1) // self.shards)

    def rows(self, batch: int) -> slice:
        """The group's part of a batch, which the groups have to divide."""
        size = batch // self.groups
        return slice(size * self.group, size * (self.group + 1))

    def sum_of_shards(self, part: Tensor) -> Tensor:
        """The sum, to which each shard's part has the gradient of the whole."""
        return _Sum.apply(part, self.across_shards)  # type: ignore[return-value]

    def shared(self, whole: Tensor) -> Tensor:
        """A tensor that all shards have alike; each uses it in its own way, and its gradient is the
        sum over them."""
        return _Shared.apply(whole, self.across_shards)  # type: ignore[return-value]

    def numbers_of_shards(self, number: int, device: torch.device) -> list[int]:
        """Each shard's number."""
        numbers_W = torch.zeros(self.shards, dtype=torch.int64, device=device)
        numbers_W[self.shard] = number
        dist.all_reduce(numbers_W, group=self.across_shards)
        return numbers_W.tolist()

    def mean_of_groups(self, tensor: Tensor) -> Tensor:
        """Changes the tensor, and returns it."""
        if self.groups > 1:
            dist.all_reduce(tensor, group=self.across_groups)
            tensor /= self.groups
        return tensor

    def of_groups(self, own_BD: Tensor) -> Tensor:
        """The whole batch, of the groups' equal parts."""
        if self.groups == 1:
            return own_BD
        parts = [torch.empty_like(own_BD) for _ in range(self.groups)]
        dist.all_gather(parts, own_BD.contiguous(), group=self.across_groups)
        return torch.cat(parts)

    def any_of_groups(self, mask: Tensor) -> Tensor:
        """Of bools: true where any group's is."""
        if self.groups == 1:
            return mask
        counts = mask.to(torch.uint8)
        dist.all_reduce(counts, op=dist.ReduceOp.MAX, group=self.across_groups)
        return counts.bool()

    def largest(
        self, values_BC: Tensor, latents_BC: Tensor, k: int, most: int, width: int
    ) -> tuple[Pattern, Tensor]:
        """Those of a shard's candidates that are among the k largest of all shards' on their row.

        Args:
            values_BC: the shard's candidates on each row, with the latents they belong to.
            most: the largest C of any shard; together the shards have k candidates or more.
            width: of the shard.

        Returns:
            The pattern of the entries that stay, and their values [N].
        """
        B, C = values_BC.shape
        own_BM = torch.nn.functional.pad(values_BC, (0, most - C), value=-torch.inf)
        all_WBM = own_BM.new_empty(self.shards, B, most)
        dist.all_gather(list(all_WBM), own_BM.contiguous(), group=self.across_shards)
        all_BN = all_WBM.transpose(0, 1).reshape(B, -1)
        # Every shard searches the same numbers, so that ties go the same way everywhere.
        kept_BK = all_BN.topk(k, sorted=False).indices
        stays_BN = torch.zeros_like(all_BN, dtype=torch.bool).scatter_(1, kept_BK, True)
        first = self.shard * most
        stays_BC = stays_BN[:, first : first + C]
        offsets_R = torch.nn.functional.pad(stays_BC.sum(1).cumsum(0), (1, 0))
        return Pattern(latents_BC[stays_BC], offsets_R, width), values_BC[stays_BC]


class _Sum(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, part: Tensor, across: dist.ProcessGroup) -> Tensor:
        total = part.clone()
        dist.all_reduce(total, group=across)
        return total

    @staticmethod
    def backward(ctx: Any, *grads: Any) -> Any:
        return grads[0], None


class _Shared(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, whole: Tensor, across: dist.ProcessGroup) -> Tensor:
        ctx.across = across
        return whole.clone()

    @staticmethod
    def backward(ctx: Any, *grads: Any) -> Any:
        total = grads[0].clone()
        dist.all_reduce(total, group=ctx.across)
        return total, None
