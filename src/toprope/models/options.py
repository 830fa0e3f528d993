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

    A prompt is read once for all of its options, and what prompts of a batch begin with once.

    Args:
        prompts: token ids.
        options: of each prompt, as many for each.
        advance: told how many prompts are done, as they are.
    """
    reduce = np.sum if length == "sum" else np.mean
    scores_NO = np.empty((len(prompts), len(options[0]) if options else 0))
    lengths = [
        len(prompt) + sum(len(option) - 1 for option in some)
        for prompt, some in zip(prompts, options, strict=True)
    ]
    for indices in near_batches(prompts, lengths, budget=TOKEN_BUDGET):
        rows = [row for i in indices for row in _rows(prompts[i], options[i])]
        parts = iter(_read(module, pad, rows))
        for i in indices:
            if _is_short(options[i]):
                scores_NO[i] = next(parts)
            else:
                scores_NO[i] = [reduce(next(parts)) for _ in options[i]]
        advance(len(indices))
    return scores_NO


def _is_short(options: Sequence[list[int]]) -> bool:
    """Whether every option is in the distribution at the prompt's last position."""
    return all(len(option) == 1 for option in options)


def _rows(prompt: list[int], options: Sequence[list[int]]) -> list[_Row]:
    if _is_short(options):
        return [_Row(prompt, [-1] * len(options), [option[0] for option in options])]
    return [_Row(prompt + option[:-1], list(range(-len(option), 0)), option) for option in options]


def _read(module: Any, pad: int, rows: Sequence[_Row]) -> list[np.ndarray]:
    """The wanted log-probabilities of each row, in order."""
    from transformers import DynamicCache

    own = [-min(row.positions) for row in rows]
    cache = DynamicCache(config=module.config)
    ids_BT, mask_BPT, positions_BT = begin(module, cache, [row.tokens for row in rows], pad, own)
    is_begun = mask_BPT.shape[1] > ids_BT.shape[1]
    behind = as_argument(module, cache) if is_begun else {}
    logits_BKV = module(
        input_ids=ids_BT,
        attention_mask=mask_BPT,
        position_ids=positions_BT,
        use_cache=is_begun,
        logits_to_keep=max(own),
        **behind,
    ).logits.float()
    norms_BK = logits_BKV.logsumexp(-1)
    found = []
    for b, row in enumerate(rows):
        positions, targets = torch.tensor(row.positions), torch.tensor(row.targets)
        wanted = logits_BKV[b, positions, targets] - norms_BK[b, positions]
        found.append(wanted.cpu().double().numpy())
    return found
