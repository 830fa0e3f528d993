"""Decoding: token by token for a batch of requests that each have their own settings.

Every row is sampled from its own seed by the inverse of its own cumulative distribution, so that
neither the other rows nor the order of the batch changes an answer. Rows that have ended leave the
batch, and their cache with them.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor, nn

from toprope.models.capturing import captured
from toprope.models.keys_values import as_argument, bytes_per_token, read_ahead
from toprope.models.prefix_cache import PrefixCache
from toprope.models.shared_prefix import begin, near_batches

CACHE_BYTES = 2 << 30
"""Of keys and values, that a batch is to keep."""

FEWEST_TOKENS, MOST_TOKENS = 8192, 32_768
"""Of a batch, whatever a model keeps of a token."""

SHRINK_AT = 0.25
"""The share of rows that must have ended before the batch is made smaller: each time costs a copy
of the cache."""


Stopped = Literal["end", "stop", "length", "flagged"]


@dataclass(frozen=True)
class StateWatch:
    """Reads a model's own states while it answers, and may stop it.

    Attributes:
        layers: whose states it wants, side by side (see `activations`).
        before: how many of the positions before the answer it reads first.
        read: is given the states [T, F], float32, of what has been read since the last call: the
            prompt's end with what the answer begins with, then each token of the answer; true: the
            answer ends here, without the token that would have come next.
    """

    layers: tuple[int, ...]
    before: int
    read: Callable[[np.ndarray], bool]


@dataclass(frozen=True)
class Request:
    """One prompt, as token ids, and how its answer is generated (see `LocalModel.generate`).

    Attributes:
        answer_at: where in `tokens` the answer begins, if its first words were put in the model's
            mouth; None: behind them.
        listener: is told the text so far after each token, in the thread that generates.
        watch: may stop the answer; in that thread too.
    """

    tokens: list[int]
    max_tokens: int = 128
    temperature: float = 0.0
    top_p: float = 1.0
    seed: int = 0
    stop: tuple[str, ...] = ()
    top_logprobs: int | None = None
    answer_at: int | None = None
    listener: Callable[[str], None] | None = field(default=None, compare=False)
    watch: StateWatch | None = field(default=None, compare=False)


@dataclass(frozen=True)
class TokenLogprob:
    """A generated token, its log-probability under the model (at temperature 1), and the likeliest
    tokens there."""

    token: str
    logprob: float
    top: tuple[tuple[str, float], ...]


@dataclass(frozen=True)
class Completion:
    """An answer.

    Attributes:
        text: without special tokens, cut before a stop string.
        tokens: ids as generated, the end token included.
        stopped: "end" (the model's end token), "stop" (a stop string), "length", or "flagged" (by
            the request's watch).
        logprobs: for each token, where they were asked for.
    """

    text: str
    tokens: list[int]
    prompt_tokens: int
    stopped: Stopped
    logprobs: list[TokenLogprob] | None = None


@dataclass
class _Row:
    """A request under way."""

    request: Request
    rng: np.random.Generator
    tokens: list[int] = field(default_factory=list)
    logprobs: list[TokenLogprob] = field(default_factory=list)
    stopped: Stopped | None = None
    text: str = ""


def in_batches(module: Any, requests: Sequence[Request]) -> Iterator[list[int]]:
    """Which requests are answered together, as indices; only the last batch has room for more."""
    prompts = [request.tokens for request in requests]
    return near_batches(prompts, _lengths(requests), budget=token_budget(module))


def fill_a_batch(module: Any, requests: Sequence[Request]) -> bool:
    """Whether they leave no room for one more."""
    return (len(requests) + 1) * max(_lengths(requests), default=0) > token_budget(module)


def token_budget(module: Any) -> int:
    """Prompt and answer tokens of a batch, padding included."""
    fit = CACHE_BYTES // bytes_per_token(module)
    return min(max(fit, FEWEST_TOKENS), MOST_TOKENS)


def _lengths(requests: Sequence[Request]) -> list[int]:
    """The most tokens that each needs."""
    return [len(request.tokens) + request.max_tokens for request in requests]


@torch.inference_mode()
def decode(
    module: Any,
    tokenizer: Any,
    requests: Sequence[Request],
    blocks: nn.ModuleList | None = None,
    kept: PrefixCache | None = None,
) -> list[Completion]:
    """Answers one batch of requests, in their order.

    Args:
        blocks: the module's, where a request is watched.
        kept: what it read before. Whoever watches sees all of it read.
    """
    watched = sorted({n for one in requests if one.watch for n in one.watch.layers})
    if not watched or blocks is None:
        return _decode(module, tokenizer, requests, {}, kept)
    with captured(blocks, watched) as states:
        return _decode(module, tokenizer, requests, states, None)


def _decode(
    module: Any,
    tokenizer: Any,
    requests: Sequence[Request],
    states: Mapping[int, Tensor],
    kept: PrefixCache | None,
) -> list[Completion]:
    """
    Args:
        states: layer -> [B, T, D] of the newest pass.
    """
    from toprope.models.growing_cache import growing_cache

    rows = [_Row(request, np.random.default_rng(request.seed)) for request in requests]
    ends = end_tokens(module, tokenizer)
    cache = growing_cache(module)
    own = [_read_first(one) if one.watch else 1 for one in requests]
    prompts = [request.tokens for request in requests]
    if kept and not kept.can_serve(module, cache):
        kept = None
    pad = tokenizer.pad_token_id
    ids_BT, mask_BT, positions_BT = begin(module, cache, prompts, pad, own, kept)
    ids_BT, positions_BT = read_ahead(module, cache, ids_BT, mask_BT, positions_BT, last=max(own))
    keys_values = as_argument(module, cache)
    live = list(rows)
    while True:
        logits_BV = (
            module(
                input_ids=ids_BT,
                attention_mask=mask_BT,
                position_ids=positions_BT,
                use_cache=True,
                logits_to_keep=1,
                **keys_values,
            )
            .logits[:, -1]
            .float()
        )
        if kept and not live[0].tokens:  # the cache holds the prompts and nothing else
            kept.keep(module, cache, mask_BT, prompts)
        if states:
            _watch(states, live, tokenizer)
        chosen_B = _choose(logits_BV, live)
        _note_logprobs(logits_BV, chosen_B, live, tokenizer)
        for row, token in zip(live, chosen_B.tolist(), strict=True):
            _append(row, token, ends, tokenizer)

        ended = sum(row.stopped is not None for row in live)
        if ended == len(live):
            break
        ids_BT, positions_BT = chosen_B[:, None], positions_BT[:, -1:] + 1
        mask_BT = torch.cat([mask_BT, mask_BT.new_ones(len(live), 1)], dim=1)
        if ended >= SHRINK_AT * len(live):
            keep = torch.tensor([i for i, row in enumerate(live) if row.stopped is None])
            keep = keep.to(module.device)
            cache.batch_select_indices(keep)
            ids_BT, mask_BT, positions_BT = ids_BT[keep], mask_BT[keep], positions_BT[keep]
            live = [row for row in live if row.stopped is None]
    return [_completion(row) for row in rows]


def end_tokens(module: Any, tokenizer: Any) -> set[int]:
    """The tokens that end an answer: the tokenizer's, and those of the model's generation
    settings."""
    configured = module.generation_config.eos_token_id
    if configured is None:
        configured = []
    elif isinstance(configured, int):
        configured = [configured]
    return {*configured, tokenizer.eos_token_id} - {None}


def _choose(logits_BV: Tensor, rows: Sequence[_Row]) -> Tensor:
    """The next token of each row, [B]."""
    chosen_B = logits_BV.argmax(-1)
    sampled = [i for i, row in enumerate(rows) if row.request.temperature > 0]
    for i in sampled:
        request = rows[i].request
        probs_V = torch.softmax(logits_BV[i] / request.temperature, -1)
        order = None
        if request.top_p < 1:
            probs_V, order = probs_V.sort(descending=True)
            before = probs_V.cumsum(-1) - probs_V
            kept_V = before < request.top_p
            kept_V[0] = True  # the likeliest, however small top_p is
            probs_V = probs_V * kept_V
        cumulative = probs_V.double().cumsum(-1)
        point = rows[i].rng.random() * cumulative[-1]
        pick = torch.searchsorted(cumulative, point, right=True).clamp(max=len(cumulative) - 1)
        chosen_B[i] = pick if order is None else order[pick]
    return chosen_B


def _watch(states: Mapping[int, Tensor], rows: Sequence[_Row], tokenizer: Any) -> None:
    """Shows the newest pass's states to those who watch, and ends the rows that they stop."""
    for i, row in enumerate(rows):
        watch = row.request.watch
        if watch is None or row.stopped:
            continue
        new = 1 if row.tokens else _read_first(row.request)
        x_TF = torch.cat([states[layer][i, -new:] for layer in watch.layers], dim=1)
        if watch.read(x_TF.float().cpu().numpy()):
            row.stopped = "flagged"
            row.text = tokenizer.decode(row.tokens, skip_special_tokens=True)


def _read_first(request: Request) -> int:
    """How many of the prompt's last positions its watch is shown."""
    assert request.watch is not None
    n = len(request.tokens)
    at = n if request.answer_at is None else request.answer_at
    return n - max(0, at - request.watch.before)


def _note_logprobs(
    logits_BV: Tensor, chosen_B: Tensor, rows: Sequence[_Row], tokenizer: Any
) -> None:
    for i, row in enumerate(rows):
        if row.request.top_logprobs is None or row.stopped:
            continue
        logprobs_V = torch.log_softmax(logits_BV[i], -1)
        values, ids = logprobs_V.topk(row.request.top_logprobs)
        top = zip(tokenizer.convert_ids_to_tokens(ids.tolist()), values.tolist(), strict=True)
        row.logprobs.append(
            TokenLogprob(
                token=tokenizer.decode([int(chosen_B[i])]),
                logprob=float(logprobs_V[chosen_B[i]]),
                top=tuple((tokenizer.convert_tokens_to_string([t]), v) for t, v in top),
            )
        )


def _append(row: _Row, token: int, ends: set[int], tokenizer: Any) -> None:
    """Adds a token to its row, and says whether and why the row has ended."""
    if row.stopped:
        return
    row.tokens.append(token)
    if token in ends:
        row.stopped = "end"
    elif len(row.tokens) >= row.request.max_tokens:
        row.stopped = "length"
    request = row.request
    if not row.stopped and not request.stop and not request.listener:
        return
    row.text = tokenizer.decode(row.tokens, skip_special_tokens=True)
    found = [at for stop in request.stop if (at := row.text.find(stop)) >= 0]
    if found:
        row.text, row.stopped = row.text[: min(found)], "stop"
    if request.listener:
        request.listener(row.text)


def _completion(row: _Row) -> Completion:
    assert row.stopped is not None
    wanted = row.request.top_logprobs is not None
    return Completion(
        text=row.text,
        tokens=row.tokens,
        prompt_tokens=len(row.request.tokens),
        stopped=row.stopped,
        logprobs=row.logprobs if wanted else None,
    )
