"""Direct preference optimisation: an adapter with which preferred answers become likelier.

Rafailov et al. 2023 (arXiv 2305.18290), equation 7. The reference is the model with no adapter,
also where training goes on from an earlier one.

Both answers of a pair stand in one row behind their prompt, where the model can read it so (see
`answered.py`); what the reference thinks of them doesn't change, so it's asked once.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING

import torch
from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor, nn
from torch.nn.functional import logsigmoid
from torch.utils.checkpoint import checkpoint

from toprope.models.adapters import Adapter, Lora
from toprope.models.answered import Answered, answered, reads_together, summed
from toprope.models.batching import batches
from toprope.models.training import check_trainable, train
from toprope.progress import Progress

if TYPE_CHECKING:
    from toprope.models.local import LocalModel, Prompt


@dataclass(frozen=True)
class Preference:
    """A prompt with an answer that is preferred to another."""

    prompt: Prompt
    chosen: str
    rejected: str


class Dpo(BaseModel):
    """How an adapter is trained on preferences."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    beta: float = Field(default=0.1, gt=0, description="how strongly it's held to the model")
    imitation: float = Field(
        default=0.0,
        ge=0,
        description="weight of the chosen answers' surprise a token, beside the preference (Pang "
        "et al. 2024, arXiv 2404.19733)",
    )
    lora: Lora = Lora(rank=16, alpha=32, learning_rate=5e-5, batch_size=8, kept_tokens=1024)


@dataclass(frozen=True)
class DpoTraining:
    """How a training on preferences went, step by step.

    Attributes:
        losses: the preference's, with what imitation adds.
        agreed: the share of the step's pairs whose chosen answer has gained more, relative to the
            reference, than the rejected one.
        margins: beta times how much more, in nats, over the step's pairs.
        tokens: read by the model and the reference.
    """

    losses: tuple[float, ...] = ()
    agreed: tuple[float, ...] = ()
    margins: tuple[float, ...] = ()
    tokens: int = 0
    seconds: float = 0.0


def finetune_preferences(
    base: LocalModel,
    pairs: Sequence[Preference],
    dpo: Dpo | None = None,
    *,
    begin: Adapter | None = None,
    progress: Progress | None = None,
) -> tuple[Adapter, DpoTraining]:
    """An adapter with which the base prefers the chosen answers to the rejected ones.

    A run repeats exactly, and leaves torch's global randomness as it was.

    Args:
        begin: an adapter of this model, of the same shape, to go on from.

    Returns:
        The adapter, and how the training went.

    Raises:
        UserError: there are no pairs, one is longer than the context, the model is an encoder or
            has no chat template for a chat's messages or no such layers to adapt, `begin` doesn't
            fit, or training diverged.
    """
    dpo = dpo or Dpo()
    check_trainable(base, len(pairs))
    began, before = time.monotonic(), base.tokens_read
    rows = [answered(base, pair.prompt, [pair.chosen, pair.rejected]) for pair in pairs]
    shown = progress or Progress(quiet=True)
    with base.turn:
        adapter = Adapter.on(base, dpo.lora)
        if begin is not None:
            adapter.take_over(begin)
        reader = _Reader(base, dpo.lora, together=reads_together(base, rows))
        reference_N2 = reader.reference(rows, shown)
        lesson = _Lesson(reader, dpo, rows, reference_N2)
        parameters = list(adapter.weights().values())
        lengths = [reader.tokens(row) for row in rows]
        adapter.training = train(adapter, parameters, lengths, lesson.step, None, shown)
    return adapter, DpoTraining(
        adapter.training.losses,
        tuple(lesson.agreed),
        tuple(lesson.margins),
        base.tokens_read - before,
        time.monotonic() - began,
    )


@dataclass(frozen=True)
class _Reader:
    """
    Attributes:
        together: whether both answers stand in one row.
    """

    base: LocalModel
    lora: Lora
    together: bool

    def tokens(self, row: Answered) -> int:
        """That are read for it."""
        return sum(len(one.tokens) for one in ([row] if self.together else row.split()))

    def passes(self, rows: Sequence[Answered]) -> Iterator[tuple[list[int], Tensor]]:
        """Which rows a pass has, and the log-probabilities of their answers, [B, 2]."""
        for part in batches([self.tokens(row) for row in rows], budget=self.lora.token_budget):
            some = [rows[i] for i in part]
            if not self.together:
                some = [one for row in some for one in row.split()]
            padded = len(some) * max(len(row.tokens) for row in some)
            is_long = torch.is_grad_enabled() and padded > self.lora.kept_tokens
            with _run_again(self.base.blocks) if is_long else nullcontext():
                logs_A = summed(self.base, some)
            yield part, logs_A.view(len(part), 2)

    @torch.no_grad()
    def reference(self, rows: Sequence[Answered], progress: Progress) -> Tensor:
        """Log-probabilities [N, 2] by the model as it is."""
        logs_N2 = torch.empty(len(rows), 2)
        total = sum(map(self.tokens, rows))
        with progress.task(f"asking {self.base.name} about {len(rows)} pairs", total) as task:
            for part, logs_B2 in self.passes(rows):
                logs_N2[part] = logs_B2.cpu()
                task.advance(sum(self.tokens(rows[i]) for i in part))
        self.base.tokens_read += total
        return logs_N2


@dataclass(frozen=True)
class _Lesson:
    """What is learned, and how it went step by step."""

    reader: _Reader
    dpo: Dpo
    rows: Sequence[Answered]
    reference_N2: Tensor
    agreed: list[float] = field(default_factory=list)
    margins: list[float] = field(default_factory=list)

    def step(self, items: list[int], _share: float) -> float:
        """The mean over pairs is a sum over passes: each goes backward by itself."""
        total, found = 0.0, []
        for part, logs_B2 in self.reader.passes([self.rows[i] for i in items]):
            some = [items[k] for k in part]
            gained_B2 = logs_B2 - self.reference_N2[some].to(logs_B2.device)
            margin_B = self.dpo.beta * (gained_B2[:, 0] - gained_B2[:, 1])
            tokens_B = torch.tensor([len(self.rows[i].answers[0]) for i in some])
            surprise_B = -logs_B2[:, 0] / tokens_B.to(logs_B2.device)
            loss_B = -logsigmoid(margin_B) + self.dpo.imitation * surprise_B
            value = loss_B.sum() / len(items)
            value.backward()
            total += value.item()
            found += margin_B.tolist()
        self.margins.append(sum(found) / len(found))
        self.agreed.append(sum(margin > 0 for margin in found) / len(found))
        return total


@contextmanager
def _run_again(blocks: nn.ModuleList) -> Iterator[None]:
    """Each block keeps its input only, and is run a second time in the backward pass."""
    before = [vars(block).get("forward") for block in blocks]
    for block in blocks:
        block.forward = partial(checkpoint, block.forward, use_reentrant=False)
    try:
        yield
    finally:
        for block, forward in zip(blocks, before, strict=True):
            del block.forward
            if forward is not None:
                block.forward = forward
