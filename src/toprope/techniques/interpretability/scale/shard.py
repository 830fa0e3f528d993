"""One process's part of a TopK dictionary that is cut by latents.

Each shard encodes the batch with its own latents; the K largest of all shards' pre-activations are
kept, and the shards' parts of the reconstruction are summed. Loss and gradients are those of the
whole dictionary in one process, but for the order of the sums, AuxK and several groups included.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from toprope.techniques.interpretability.dictionaries import selection, sparse
from toprope.techniques.interpretability.dictionaries.dictionary import Codes, Loss
from toprope.techniques.interpretability.dictionaries.sparse import Pattern
from toprope.techniques.interpretability.dictionaries.topk import TopK, TopKSettings
from toprope.techniques.interpretability.scale.places import Place

ROWS = 1 << 12
"""Latents whose first weights are made at a time. As torch fills a tensor 16 numbers at a time, any
multiple of 16 rows leaves the same numbers as all at once."""


class Shard(TopK):
    """A TopK dictionary of the shard's latents alone, whose loss is that of all shards together.

    Attributes:
        whole: the settings of the whole dictionary.
        max_grad_norm: what all shards' gradients together are scaled down to.
        rows: that are encoded at a time; None: all of a batch, or as many as `selection` takes.
    """

    def __init__(
        self, whole: TopKSettings, place: Place, max_grad_norm: float, rows: int | None = None
    ) -> None:
        kept = place.latents(whole.width)
        own = whole.model_copy(update={"width": kept.stop - kept.start})
        super().__init__(own)
        self.whole, self.place = whole, place
        self.max_grad_norm, self.rows = max_grad_norm, rows
        directions_FD = first_directions(whole, kept)
        with torch.no_grad():
            self.encoder_FD.copy_(directions_FD)
            self.decoder_FD.copy_(directions_FD)

    def start(self, x_BD: Tensor, target_BD: Tensor | None = None) -> None:
        super().start(self.place.of_groups(x_BD))

    def centred(self, x_BD: Tensor) -> Tensor:
        return x_BD - self.place.shared(self.decoder_bias_D)

    def entries(self, x_BD: Tensor) -> tuple[Pattern, Tensor]:
        K = self.whole.active
        values_BK, latents_BK = self.top(x_BD, self.encoder_FD, self.encoder_bias_F, K)
        return self.place.largest(values_BK, latents_BK, K, K, self.width)

    def top(
        self, x_BD: Tensor, encoder_FD: Tensor, bias_F: Tensor, k: int
    ) -> tuple[Tensor, Tensor]:
        """`selection.top`, `rows` at a time."""
        parts = x_BD.split(self.rows or len(x_BD))
        found = [selection.top(x_RD, encoder_FD, bias_F, k) for x_RD in parts]
        values, latents = zip(*found, strict=True)
        return torch.cat(values), torch.cat(latents)

    def errors(self, values_N: Tensor, pattern: Pattern, target_BD: Tensor) -> list[Tensor]:
        part_BD = sparse.decode(values_N, self.decoder_FD, pattern, tangent=True)
        return [self.place.sum_of_shards(part_BD) + self.decoder_bias_D - target_BD]

    def loss(self, x_BD: Tensor, target_BD: Tensor | None = None) -> Loss:
        """Its numbers are those of all groups' rows, its gradients and codes of the own ones'."""
        own = super().loss(x_BD, target_BD)
        of_all = self.place.mean_of_groups(
            torch.stack([own.total.detach(), own.reconstruction, own.auxiliary])
        )
        total = own.total + (of_all[0] - own.total).detach()
        return Loss(total, of_all[1], of_all[2], own.codes)

    def auxiliary(self, x_BD: Tensor, error_BD: Tensor) -> Tensor:
        place, settings = self.place, self.settings
        dead_M = self.dead_F.nonzero()[:, 0]
        dead_W = place.numbers_of_shards(len(dead_M), x_BD.device)
        missing_BD = -error_BD
        mean_D = place.mean_of_groups(missing_BD.mean(0))
        spread = place.mean_of_groups((missing_BD - mean_D).square().mean())
        if not sum(dead_W) or not settings.auxiliary_weight or not spread > 0:
            return error_BD.new_zeros(())
        wanted = settings.auxiliary_active or max(1, self.d_model // 2)
        k = min(wanted, sum(dead_W))
        encoder_MD, bias_M = self.encoder_FD[dead_M], self.encoder_bias_F[dead_M]
        own = min(k, len(dead_M))
        found_BC, latents_BC = self.top(x_BD.detach(), encoder_MD, bias_M, own)
        most = min(k, max(dead_W))
        pattern, found_N = place.largest(found_BC, latents_BC, k, most, len(dead_M))
        values_N = sparse.encode(x_BD, encoder_MD, bias_M, pattern, found_N).relu()
        part_BD = sparse.decode(values_N, self.decoder_FD[dead_M], pattern, tangent=True)
        decoded_BD = place.sum_of_shards(part_BD)
        return (decoded_BD - missing_BD).square().mean() / spread * (k / wanted)

    def before_step(self) -> None:
        """Averages the gradients over the groups, and scales them down by the norm of all shards'
        together."""
        super().before_step()
        for parameter in self.parameters():
            if parameter.grad is not None:
                self.place.mean_of_groups(parameter.grad)
        bias = self.decoder_bias_D
        cut = [p.grad for p in self.parameters() if p is not bias and p.grad is not None]
        squares = torch.stack([gradient.square().sum() for gradient in cut]).sum()
        squares = self.place.sum_of_shards(squares)
        if bias.grad is not None:
            squares = squares + bias.grad.square().sum()  # all shards have the same
        torch.nn.utils.clip_grads_with_norm_(self.parameters(), self.max_grad_norm, squares.sqrt())

    def count(self, codes: Codes) -> None:
        active_F = self.place.any_of_groups(codes.active_F())
        self.silent_F += len(codes.values_BK) * self.place.groups
        self.silent_F[active_F] = 0


def first_directions(whole: TopKSettings, kept: slice) -> Tensor:
    """Rows of the first weights that the whole dictionary would have, in memory for `ROWS` and the
    kept ones."""
    rng = torch.Generator().manual_seed(whole.seed)
    parts = []
    start, F, D = 0, whole.width, whole.d_model
    while start < F:
        stop = F if F - start < 2 * ROWS else start + ROWS
        rows_RD = torch.randn(stop - start, D, generator=rng)
        parts.append(rows_RD[max(0, kept.start - start) : max(0, kept.stop - start)].clone())
        start = stop
    return nn.functional.normalize(torch.cat(parts), dim=-1)
