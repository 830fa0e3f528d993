"""Log-probabilities of given continuations, for `LocalModel.option_probs`."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import torch

from toprope.models.keys_values import as_argument
from toprope.models.shared_prefix import begin, near_batches

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
    options: Sequence[Sequence[list[int]]],
    *,
    length: Literal["sum", "mean"],
    advance: Callable[[float], None],
) -> np.ndarray:
    """Log-probability of each prompt's options after it, [N, O]: the sum or the mean over the
    option's tokens.

    What rows share is read once: a prompt for all of its options, and what prompts begin with.

    Args:
        prompts: token ids.
        options: of each prompt, as many for each.
        advance: told how many prompts are done, as they are.
    """
    n = len(options[0]) if options else 0
    if all(len(option) == 1 for some in options for option in some):
        # Every option is in the distribution at the prompt's last position.
        rows = [
            _Row(prompt, [-1] * n, [option[0] for option in some])
            for prompt, some in zip(prompts, options, strict=True)
        ]
        return np.stack(_read(module, pad, rows, advance))
    rows = [
        _Row(prompt + option[:-1], list(range(-len(option), 0)), option)
        for prompt, some in zip(prompts, options, strict=True)
        for option in some
    ]
    parts = _read(module, pad, rows, lambda done: advance(done / n))
    reduce = np.sum if length == "sum" else np.mean
    return np.array([reduce(part) for part in parts]).reshape(len(prompts), n)


def _read(
    module: Any, pad: int, rows: Sequence[_Row], advance: Callable[[float], None]
) -> list[np.ndarray]:
    """The wanted log-probabilities of each row, in order."""
    from transformers import DynamicCache

    answers: list[np.ndarray] = [np.empty(0)] * len(rows)
    tokens = [row.tokens for row in rows]
    for indices in near_batches(tokens, [len(row) for row in tokens], budget=TOKEN_BUDGET):
        batch = [rows[i] for i in indices]
        own = [-min(row.positions) for row in batch]
        cache = DynamicCache(config=module.config)
        ids_BT, mask_BT, positions_BT = begin(
            module, cache, [row.tokens for row in batch], pad, own
        )
        behind = as_argument(module, cache) if cache.get_seq_length() else {}
        logits_BKV = module(
            input_ids=ids_BT,
            attention_mask=mask_BT,
            position_ids=positions_BT,
            use_cache=bool(behind),
            logits_to_keep=max(own),
            **behind,
        ).logits.float()
        norms_BK = logits_BKV.logsumexp(-1)
        for b, (i, row) in enumerate(zip(indices, batch, strict=True)):
            positions, targets = torch.tensor(row.positions), torch.tensor(row.targets)
            wanted = logits_BKV[b, positions, targets] - norms_BK[b, positions]
            answers[i] = wanted.cpu().double().numpy()
        advance(len(batch))
    return answers
