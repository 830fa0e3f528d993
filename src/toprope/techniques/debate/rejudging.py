"""The same games before another judge: what was said stays, the verdicts are new."""

import asyncio
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import Self

import numpy as np
from pydantic import TypeAdapter

from toprope.journal import Journal, key_of
from toprope.progress import Progress
from toprope.statistics import Interval, bootstrap_paired
from toprope.techniques.debate.judges import Hearing, Judge
from toprope.techniques.debate.measures import judging
from toprope.techniques.debate.transcript import Transcript, Verdict, judged_on

_VERDICTS = TypeAdapter(tuple[Verdict, ...])


def heard(transcript: Transcript, verdict: Verdict) -> Hearing:
    """What the judge knew when it gave one of a transcript's verdicts."""
    # A judge that asks is asked itself before it does.
    turns = [
        turn
        for turn in transcript.turns
        if turn.round <= verdict.round and (turn.kind, turn.round) != ("question", verdict.round)
    ]
    is_expert = transcript.protocol == "expert"
    question = transcript.question if is_expert else transcript.question.hidden()
    said = transcript.turns if verdict is transcript.verdict else turns
    return Hearing(question, transcript.seating, judged_on(said), verdict.round)


async def rejudged(
    transcripts: Sequence[Transcript],
    judge: Judge,
    *,
    concurrency: int = 32,
    journal: Journal | None = None,
    progress: Progress | None = None,
    title: str = "",
) -> list[Transcript]:
    """The transcripts with this judge's verdicts, asked after the same rounds, in their order."""
    slots, fingerprint = asyncio.Semaphore(concurrency), judge.fingerprint
    shown = progress or Progress(quiet=True)
    with shown.task(title or f"{judge.name} judges again", len(transcripts)) as task:

        async def one(transcript: Transcript) -> Transcript:
            key = key_of("rejudged", fingerprint, transcript.as_json())
            kept = journal.get(key) if journal is not None else None
            if kept:
                verdicts = _VERDICTS.validate_python(kept)
            else:
                async with slots:
                    hearings = [heard(transcript, verdict) for verdict in transcript.verdicts]
                    verdicts = tuple(await asyncio.gather(*map(judge, hearings)))
                if journal is not None and not any(v.outcome == "lost" for v in verdicts):
                    journal.put(key, [asdict(verdict) for verdict in verdicts])
            task.advance()
            return replace(transcript, verdicts=verdicts)

        return await asyncio.gather(*map(one, transcripts))


@dataclass(frozen=True)
class Change:
    """The accuracy of a judge and of another one on the same games, and what the other has more,
    paired by game; intervals over questions."""

    before: Interval
    after: Interval
    gain: Interval

    @classmethod
    def of(cls, before: Sequence[Transcript], after: Sequence[Transcript], seed: int = 0) -> Self:
        """
        Args:
            after: as `rejudged` gives them.

        Raises:
            UserError: fewer than two groups of questions.
        """

        def rng() -> np.random.Generator:
            return np.random.default_rng(seed)

        old, new = ([judging.correct(one) for one in some] for some in (before, after))
        return cls(
            judging.accuracy(before, rng=rng()),
            judging.accuracy(after, rng=rng()),
            bootstrap_paired(new, old, judging.units(before), rng=rng()),
        )
