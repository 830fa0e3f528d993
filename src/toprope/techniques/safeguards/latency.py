"""How long a guard takes: the time in which its stages read an answer that comes token by token,
and that in which the target makes one as long.

Both have the prompt to read too. A stage on the target's own states has them for nothing, since
they are there when the target answers (see `wrapping`): of it the head alone is timed. The guard
and the target take turns, so that whatever else the machine does slows both.
"""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np

from toprope.models.local import LocalModel
from toprope.models.prefix_cache import PrefixCache
from toprope.progress import Progress
from toprope.techniques.safeguards.exchanges import Exchange
from toprope.techniques.safeguards.guard import Guard, Stage
from toprope.techniques.safeguards.reading import Reader
from toprope.techniques.safeguards.streaming import Monitor, StreamingHead
from toprope.techniques.safeguards.watching import Watching

MOST, SECONDS = 40, 20.0
"""Answers, and how long they may take in all."""

FEWEST = 2
"""Answers that are timed however long they take."""


@dataclass(frozen=True)
class Times:
    """Seconds a token of one answer.

    Attributes:
        guard: to read it, to its end even where it would be stopped.
        target: to make it.
    """

    guard: float
    target: float


def timed(
    guard: Guard,
    readers: Sequence[Reader],
    target: LocalModel,
    exchanges: Sequence[Exchange],
    *,
    most: int = MOST,
    seconds: float = SECONDS,
    progress: Progress | None = None,
) -> list[Times]:
    """The times for some exchanges, the first ones.

    Args:
        readers: of the guard's stages; one of `target` itself reads the states that it has anyway.
    """
    some = [one for one in exchanges if one.answer][:most]
    *earlier, last = guard.about.stages
    stages = [*earlier, replace(last, threshold=math.inf)]
    found: list[Times] = []
    until = time.monotonic() + seconds
    names = ", ".join(stage.name for stage in stages)
    with (progress or Progress(quiet=True)).task(f"timing {names}", len(some)) as task:
        for one in some:
            if len(found) >= FEWEST and time.monotonic() >= until:
                break
            ends = _ends(target, one.answer)
            taken, since = 0.0, 0
            for stage, head, reader in zip(stages, guard.heads, readers, strict=True):
                if reader.model is target:
                    took, passed = _head_alone(stage, head, reader, one)
                else:
                    only = Guard(replace(guard.about, stages=(stage,)), (head,))
                    took, passed = _streamed(only, reader, one, ends, since)
                taken += took
                if passed is None:
                    break
                since = max(since, passed)
            found.append(Times(taken / len(ends), _making(target, one, len(ends))))
            task.advance(1)
    return found


def told(times: Sequence[Times]) -> str:
    guard, target = (
        1000 * float(np.median(some))
        for some in ([one.guard for one in times], [one.target for one in times])
    )
    return (
        f"median over {len(times)} answers to harmless requests, one at a time, prompts included: "
        f"the guard takes {guard:.3g} ms a token, the target {target:.3g} ms; of a stage on the "
        "target's own states the head alone is timed"
    )


def _head_alone(
    stage: Stage, head: StreamingHead, reader: Reader, one: Exchange
) -> tuple[float, int | None]:
    """Seconds, and after how many characters of the answer it passes the exchange on."""
    [reading] = reader.read([one])
    monitor = Monitor(head)
    began, passed = time.perf_counter(), None
    for x_F, end in zip(reading.x_TF, reading.ends_T, strict=True):
        monitor.read(x_F)
        if monitor.highest >= stage.threshold:
            passed = int(end)
            break
    return time.perf_counter() - began, passed


def _streamed(
    only: Guard, reader: Reader, one: Exchange, ends: Sequence[int], since: int
) -> tuple[float, int | None]:
    """The same of a guard of one stage, which is asked when so much of the answer is there."""
    cuts = [since, *(end for end in ends if end > since)]
    began = time.perf_counter()
    watching = Watching(only, [reader], one.messages)
    passed = since if watching.read(one.answer[:since]) else None
    for start, end in pairwise(cuts):
        if passed is not None:
            break
        if watching.read(one.answer[start:end]):
            passed = end
    if passed is None:
        watching.end()
        passed = len(one.answer) if watching.read() else None
    return time.perf_counter() - began, passed


def _making(target: LocalModel, one: Exchange, tokens: int) -> float:
    """Seconds a token, of a prompt that wasn't read before."""
    with target.turn:
        kept, target.prefixes = target.prefixes, PrefixCache(room=0)
        try:
            began = time.perf_counter()
            [made] = target.generate([list(one.messages)], max_tokens=tokens)  # type: ignore[list-item]
            return (time.perf_counter() - began) / len(made.tokens)
        finally:
            target.prefixes = kept


def _ends(model: LocalModel, answer: str) -> list[int]:
    """Where each of the answer's tokens ends, in characters."""
    read = model.tokenizer(answer, add_special_tokens=False, return_offsets_mapping=True)
    return [end for _, end in read["offset_mapping"]]
