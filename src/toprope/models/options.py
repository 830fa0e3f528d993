"""Log-probabilities of given continuations, for `LocalModel.option_probs`."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import torch

from toprope.models.batching import batches, left_padded

TOKEN_BUDGET = 2048


@dataclass(frozen=True)
class _Row:
    """One pass: the tokens read, and which token's log-probability is wanted at which position from
    the end."""

    tokens: list[int]
    positions: list[int]
    targets: list[int]


@torch.inference_mode()
def option_scores(
    module: Any,
    pad: int,
    prompts: Sequence[list[int]],
    options: Sequence[list[int]],
    *,
    length: Literal["sum", "mean"],
    advance: Callable[[int], None],
) -> np.ndarray:
    """Log-probability of each option after each prompt, [N, O]: the sum or the mean over the
    option's tokens.

    Args:
        prompts, options: token ids.
        advance: told how many prompts are done, as they are.
    """
    if all(len(option) == 1 for option in options):
        # The prompt is read once: every option is in the distribution at its last position.
        first = [option[0] for option in options]
        rows = [_Row(prompt, [-1] * len(first), first) for prompt in prompts]
        return np.stack(_read(module, pad, rows, advance))
    rows = [
        _Row(prompt + option[:-1], list(range(-len(option), 0)), option)
        for prompt in prompts
        for option in options
    ]
    parts = _read(module, pad, rows, lambda n: advance(n / len(options)))  # type: ignore[arg-type]
    reduce = np.sum if length == "sum" else np.mean
    return np.array([reduce(part) for part in parts]).reshape(len(prompts), len(options))


def _read(
    module: Any, pad: int, rows: Sequence[_Row], advance: Callable[[int], None]
) -> list[np.ndarray]:
    """The wanted log-probabilities of each row, in order."""
    answers: list[np.ndarray] = [np.empty(0)] * len(rows)
    for indices in batches([len(row.tokens) for row in rows], budget=TOKEN_BUDGET):
        batch = [rows[i] for i in indices]
        ids_BT, mask_BT, positions_BT = left_padded(
            [row.tokens for row in batch], pad, module.device
        )
        keep = max(-min(row.positions) for row in batch)
        logits_BKV = module(
            input_ids=ids_BT,
            attention_mask=mask_BT,
            position_ids=positions_BT,
            use_cache=False,
            logits_to_keep=keep,
        ).logits.float()
        norms_BK = logits_BKV.logsumexp(-1)
        for b, (i, row) in enumerate(zip(indices, batch, strict=True)):
            positions, targets = torch.tensor(row.positions), torch.tensor(row.targets)
            wanted = logits_BKV[b, positions, targets] - norms_BK[b, positions]
            answers[i] = wanted.cpu().double().numpy()
        advance(len(batch))
    return answers
