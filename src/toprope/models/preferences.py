"""Direct preference optimisation: an adapter with which preferred answers become likelier.

Rafailov et al. 2023 (arXiv 2305.18290), equation 7. The reference is the model with no adapter,
also where training goes on from an earlier one. Answers are tokenised as they are generated, and
end with the end token.

Both answers of a pair stand in one row behind their prompt, the second out of sight of the first,
so that the prompt, most of the row, is read once; the head over the vocabulary is asked where there
are answers. What the reference thinks of them doesn't change: it's asked once. A model that can't
read two answers in one row (one that carries a state along it, say) reads a row for each; whether
it can is tried on a pair first.
"""

from __future__ import annotations

import inspect
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from itertools import chain
from typing import TYPE_CHECKING, Any

import torch
from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor, nn
from torch.nn.functional import logsigmoid
from torch.utils.checkpoint import checkpoint

from toprope.errors import UserError
from toprope.models.adapters import Adapter, Lora
from toprope.models.batching import batches, right_padded
from toprope.models.keys_values import keeps_every_position
from toprope.models.training import train
from toprope.progress import Progress

if TYPE_CHECKING:
    from toprope.models.local import LocalModel, Prompt

SAME = 0.1
"""Nats a token by which an answer's log-probability may differ, read in one row with another: what
rounding in half precision does. Words that it shouldn't see, or wrong positions, do far more."""


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
        description="weight of the chosen answers' surprise a token, beside the preference",
    )
    lora: Lora = Lora(rank=16, alpha=32, learning_rate=5e-5, batch_size=8)


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
    dpo: Dpo,
    *,
    begin: Adapter | None = None,
    progress: Progress | None = None,
) -> tuple[Adapter, DpoTraining]:
    """Trains an adapter on preferences (see `LocalModel.finetune_preferences`)."""
    if not pairs:
        raise UserError(f"training '{base.name}' on preferences needs at least one pair")
    began, before = time.monotonic(), base.tokens_read
    rows = _rows(base, pairs)
    adapter = Adapter.on(base, dpo.lora)
    if begin is not None:
        with torch.no_grad():
            for weight, earlier in zip(
                adapter.weights().values(), begin.weights().values(), strict=True
            ):
                weight.copy_(earlier)
    shown = progress or Progress(quiet=True)
    reader = _Reader(base, dpo.lora, together=_together(base, rows))
    reference_N2 = reader.reference(rows, shown)
    agreed: list[float] = []
    margins: list[float] = []

    def step(items: list[int], _share: float) -> float:
        """The mean over pairs is a sum over passes: each goes backward by itself."""
        total, found = 0.0, []
        for part, logs_B2 in reader.passes([rows[i] for i in items]):
            some = [items[k] for k in part]
            gained_B2 = logs_B2 - reference_N2[some].to(logs_B2.device)
            margin_B = dpo.beta * (gained_B2[:, 0] - gained_B2[:, 1])
            chosen_B = torch.tensor([len(rows[i].answers[0]) for i in some], device=base.device)
            loss_B = -logsigmoid(margin_B) - dpo.imitation * logs_B2[:, 0] / chosen_B
            value = loss_B.sum() / len(items)
            value.backward()
            total += value.item()
            found += margin_B.tolist()
        margins.append(sum(found) / len(found))
        agreed.append(sum(margin > 0 for margin in found) / len(found))
        return total

    parameters = list(adapter.weights().values())
    lengths = [reader.tokens(row) for row in rows]
    adapter.training = train(adapter, parameters, lengths, step, None, shown)
    return adapter, DpoTraining(
        adapter.training.losses,
        tuple(agreed),
        tuple(margins),
        base.tokens_read - before,
        time.monotonic() - began,
    )


@dataclass(frozen=True)
class _Row:
    """Token ids of a prompt, and of answers of which none sees another."""

    prompt: list[int]
    answers: list[list[int]]

    @property
    def tokens(self) -> list[int]:
        return [*self.prompt, *chain(*self.answers)]

    @property
    def apart(self) -> list[_Row]:
        """A row for each answer."""
        return [_Row(self.prompt, [answer]) for answer in self.answers]


def _rows(base: LocalModel, pairs: Sequence[Preference]) -> list[_Row]:
    end = [] if base.tokenizer.eos_token_id is None else [base.tokenizer.eos_token_id]
    rows = [
        _Row(
            base.tokens(pair.prompt),
            [base.continuation(answer) + end for answer in (pair.chosen, pair.rejected)],
        )
        for pair in pairs
    ]
    for row in rows:
        base.check_length(len(row.prompt) + max(map(len, row.answers)))
    return rows


@dataclass(frozen=True)
class _Reader:
    """
    Attributes:
        together: whether both answers stand in one row.
    """

    base: LocalModel
    lora: Lora
    together: bool

    def tokens(self, row: _Row) -> int:
        """That are read for it."""
        return len(row.tokens) if self.together else sum(len(one.tokens) for one in row.apart)

    def passes(self, rows: Sequence[_Row]) -> Iterator[tuple[list[int], Tensor]]:
        """Which rows a pass has, and the log-probabilities of their answers, [B, 2]."""
        for part in batches([self.tokens(row) for row in rows], budget=self.lora.token_budget):
            some = [rows[i] for i in part]
            if not self.together:
                some = [one for row in some for one in row.apart]
            padded = len(some) * max(len(row.tokens) for row in some)
            with ExitStack() as stack:
                if torch.is_grad_enabled() and padded > self.lora.kept_tokens:
                    stack.enter_context(_run_again(self.base.blocks))
                logs = _log_probs(self.base, some)
                yield part, logs.view(len(part), 2)

    @torch.no_grad()
    def reference(self, rows: Sequence[_Row], progress: Progress) -> Tensor:
        """Log-probabilities [N, 2] by the model as it is."""
        logs_N2 = torch.empty(len(rows), 2)
        total = sum(map(self.tokens, rows))
        with progress.task(f"asking {self.base.name} about {len(rows)} pairs", total) as task:
            for part, logs_B2 in self.passes(rows):
                logs_N2[part] = logs_B2.cpu()
                task.advance(sum(self.tokens(rows[i]) for i in part))
        self.base.tokens_read += total
        return logs_N2


def _log_probs(base: LocalModel, rows: Sequence[_Row]) -> Tensor:
    """Log-probabilities of all answers, row by row: sums over their tokens, float32."""
    ids_BT = right_padded([row.tokens for row in rows], base.tokenizer.pad_token_id, base.device)
    # For each token of an answer: its row, the position that foretells it, and the answer's number.
    b_K, t_K, answer_K, target_K = (
        torch.tensor(column, device=base.device) for column in zip(*_foretold(rows), strict=True)
    )
    # The output layer is wide: it is asked only where some row has its answer.
    asked_Q, at_K = t_K.unique(return_inverse=True)
    behind = {} if all(len(row.answers) == 1 for row in rows) else _apart(base, rows)
    logits_BQV = base.module(
        input_ids=ids_BT, use_cache=False, logits_to_keep=asked_Q, **behind
    ).logits.float()
    logs_K = logits_BQV[b_K, at_K, target_K] - logits_BQV.logsumexp(-1)[b_K, at_K]
    answers = sum(len(row.answers) for row in rows)
    return logs_K.new_zeros(answers).index_add(0, answer_K, logs_K)


def _foretold(rows: Sequence[_Row]) -> Iterator[tuple[int, int, int, int]]:
    number = 0
    for b, row in enumerate(rows):
        at = len(row.prompt)
        for answer in row.answers:
            for k, token in enumerate(answer):
                # The first one is foretold by the prompt's end.
                yield b, at + k - 1 if k else len(row.prompt) - 1, number, token
            at += len(answer)
            number += 1


def _apart(base: LocalModel, rows: Sequence[_Row]) -> dict[str, Tensor]:
    """The mask [B, 1, T, T], added to what attention finds, and the positions [B, T] with which
    each answer follows its prompt and sees no other."""
    length = max(len(row.tokens) for row in rows)
    positions_BT = torch.arange(length).repeat(len(rows), 1)
    part_BT = torch.zeros(len(rows), length, dtype=torch.long)
    for b, row in enumerate(rows):
        at = len(row.prompt)
        for number, answer in enumerate(row.answers, start=1):
            part_BT[b, at : at + len(answer)] = number
            positions_BT[b, at : at + len(answer)] = len(row.prompt) + torch.arange(len(answer))
            at += len(answer)
    part_BT = part_BT.to(base.device)
    asks_BT1, shows_B1T = part_BT[:, :, None], part_BT[:, None, :]
    seen_BTT = ((shows_B1T == 0) | (shows_B1T == asks_BT1)).tril()
    mask_BTT = torch.zeros(seen_BTT.shape, dtype=base.module.dtype, device=base.device)
    mask_BTT.masked_fill_(~seen_BTT, torch.finfo(mask_BTT.dtype).min)
    return {
        "attention_mask": mask_BTT[:, None],
        "position_ids": positions_BT.to(base.device),
    }


@torch.no_grad()
def _together(base: LocalModel, rows: Sequence[_Row]) -> bool:
    """Whether the model reads two answers in one row as it reads each by itself."""
    if not _sees_by_mask(base.module, max(len(row.tokens) for row in rows)):
        return False
    tokens = torch.tensor([len(answer) for answer in rows[0].answers], device=base.device)
    one, each = (_log_probs(base, some) / tokens for some in (rows[:1], rows[0].apart))
    return bool(((one - each).abs() < SAME).all())


def _sees_by_mask(module: Any, length: int) -> bool:
    """Whether a row of so many tokens is read by attention to all that the mask lets through."""
    from transformers import DynamicCache

    if "position_ids" not in inspect.signature(module.forward).parameters:
        return False
    return keeps_every_position(DynamicCache(config=module.config), length)


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
