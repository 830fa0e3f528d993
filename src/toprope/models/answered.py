"""Prompts with answers behind them, and how likely a model finds the answers, with gradients.

Answers are tokenised on their own, as they are generated, and end with the end token. A row may
hold several answers behind one prompt, of which none sees another: the prompt, most of the row, is
then read once.
"""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from toprope.models.batching import right_padded
from toprope.models.keys_values import keeps_every_position

if TYPE_CHECKING:
    from toprope.models.local import LocalModel, Prompt

LONGEST = 4096
"""Tokens of a row with several answers: what each of them sees is a mask of as many squared."""

SAME, SAME_IN_HALF = 0.01, 0.5
"""Nats by which a token's log-probability may differ, read in a row with another answer: in single
precision, and in half, whose rounding does that much."""


@dataclass(frozen=True)
class Answered:
    """Token ids of a prompt, and of answers of which none sees another."""

    prompt: list[int]
    answers: list[list[int]]

    @property
    def tokens(self) -> list[int]:
        return [*self.prompt, *chain(*self.answers)]

    def split(self) -> list[Answered]:
        """A row for each answer."""
        return [Answered(self.prompt, [answer]) for answer in self.answers]


def answered(
    base: LocalModel, prompt: Prompt, answers: Sequence[str], *, prefill: str = ""
) -> Answered:
    """
    Args:
        prefill: the answers' first words, put in the model's mouth: they count as the prompt's.

    Raises:
        UserError: a chat's messages for a model without a chat template, or too long a text.
    """
    end = [] if base.tokenizer.eos_token_id is None else [base.tokenizer.eos_token_id]
    row = Answered(
        base.tokens(prompt, prefill=prefill),
        [base.continuation(answer) + end for answer in answers],
    )
    base.check_length(len(row.prompt) + max(map(len, row.answers)))
    return row


def log_probs(base: LocalModel, rows: Sequence[Answered]) -> tuple[Tensor, Tensor]:
    """Log-probabilities of the answers' tokens [K], float32, in order; and of which answer each is
    [K], numbered through all rows."""
    ids_BT = right_padded([row.tokens for row in rows], base.tokenizer.pad_token_id, base.device)
    b_K, t_K, answer_K, target_K = (
        torch.tensor(column, device=base.device) for column in zip(*_foretold(rows), strict=True)
    )
    # The output layer is wide: it is asked only where some row has its answer.
    asked_Q, at_K = t_K.unique(return_inverse=True)
    seen = {} if all(len(row.answers) == 1 for row in rows) else _mask_and_positions(base, rows)
    logits_BQV = base.module(
        input_ids=ids_BT, use_cache=False, logits_to_keep=asked_Q, **seen
    ).logits.float()
    logs_K = logits_BQV[b_K, at_K, target_K] - logits_BQV.logsumexp(-1)[b_K, at_K]
    return logs_K, answer_K


def summed(base: LocalModel, rows: Sequence[Answered]) -> Tensor:
    """Log-probabilities of the answers, [A], float32: sums over their tokens."""
    logs_K, answer_K = log_probs(base, rows)
    answers = sum(len(row.answers) for row in rows)
    return logs_K.new_zeros(answers).index_add(0, answer_K, logs_K)


@torch.no_grad()
def reads_together(base: LocalModel, rows: Sequence[Answered]) -> bool:
    """Whether the model reads several answers in one row as it reads each by itself.

    Not all do: some carry a state along the row, see a window of it, or count positions by
    themselves. What a model says of itself is asked first, then the longest row is tried.
    """
    longest = max(rows, key=lambda row: len(row.tokens))
    length = len(longest.tokens)
    if length > min(LONGEST, base.context) or not _sees_by_mask(base.module, length):
        return False
    apart_K, _ = log_probs(base, longest.split())
    try:
        together_K, _ = log_probs(base, [longest])
    except (IndexError, RuntimeError, TypeError, ValueError):
        return False  # it takes no such mask
    finally:
        base.tokens_read += length + sum(len(row.tokens) for row in longest.split())
    tolerance = SAME if base.module.dtype == torch.float32 else SAME_IN_HALF
    return bool(((together_K - apart_K).abs() < tolerance).all())


def _sees_by_mask(module: Any, length: int) -> bool:
    """Whether a row of so many tokens is read by attention to all that the mask lets through."""
    from transformers import DynamicCache

    if "position_ids" not in inspect.signature(module.forward).parameters:
        return False
    return keeps_every_position(DynamicCache(config=module.config), length)


def _foretold(rows: Sequence[Answered]) -> Iterator[tuple[int, int, int, int]]:
    """Of each token of an answer: its row, the position that foretells it, the answer's number, and
    the token."""
    number = 0
    for b, row in enumerate(rows):
        at = len(row.prompt)
        for answer in row.answers:
            for k, token in enumerate(answer):
                # The first one is foretold by the prompt's end.
                yield b, at + k - 1 if k else len(row.prompt) - 1, number, token
            at += len(answer)
            number += 1


def _mask_and_positions(base: LocalModel, rows: Sequence[Answered]) -> dict[str, Tensor]:
    """The mask [B, 1, T, T], added to what attention finds, and the positions [B, T] with which
    each answer follows its prompt and sees no other; padding has position 0."""
    length = max(len(row.tokens) for row in rows)
    positions_BT = torch.zeros(len(rows), length, dtype=torch.long)
    part_BT = torch.zeros(len(rows), length, dtype=torch.long)
    for b, row in enumerate(rows):
        at = len(row.prompt)
        positions_BT[b, :at] = torch.arange(at)
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
