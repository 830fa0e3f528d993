"""Many games of one protocol, concurrently, kept in a journal so that a killed run goes on."""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import asdict, is_dataclass
from typing import Any

from toprope.errors import UserError
from toprope.journal import Journal, key_of
from toprope.progress import Progress
from toprope.techniques.debate.protocols.stage import Game, Players
from toprope.techniques.debate.questions import Question
from toprope.techniques.debate.transcript import Seating, Transcript


async def play(
    game: Game,
    questions: Sequence[Question],
    players: Players,
    *,
    concurrency: int = 32,
    journal: Journal | None = None,
    seatings: Callable[[Question], Sequence[Seating]] | None = None,
    progress: Progress | None = None,
    title: str = "",
) -> list[Transcript]:
    """The transcripts of every question in every seating, in that order.

    A game in which some answer never came isn't kept in the journal: a next start plays it again.

    Args:
        concurrency: games under way at once.
        seatings: other than the protocol's own, such as `crossed` of them.
        title: for progress, where it isn't the protocol's name.

    Raises:
        UserError: two questions have the same id, there are none, or what a player raises; games
            under way are then ended.
    """
    check_ids(questions)
    cases = [
        (question, seating)
        for question in questions
        for seating in (seatings or game.seatings)(question)
    ]
    settings, who = _settings(game), players.fingerprint
    found: list[Transcript | None] = [None] * len(cases)
    waiting = iter(range(len(cases)))
    shown = progress or Progress(quiet=True)
    with shown.task(f"{title or game.name}: {len(questions)} questions", len(cases)) as task:

        async def work() -> None:
            for i in waiting:
                question, seating = cases[i]
                key = key_of(game.name, settings, who, question.as_json(), asdict(seating))
                kept = None if journal is None else journal.get(key)
                if kept:
                    transcript = Transcript.of_json(kept)
                else:
                    transcript = await game(question, seating, players)
                    if journal is not None and not transcript.is_lost:
                        journal.put(key, transcript.as_json())
                found[i] = transcript
                task.advance()

        await _all([work() for _ in range(min(concurrency, len(cases)))])
    return [one for one in found if one is not None]


def check_ids(questions: Sequence[Question]) -> None:
    """
    Raises:
        UserError: there are no questions, or two of them have the same id.
    """
    if not questions:
        raise UserError("no questions: there is nothing to debate")
    seen: set[str] = set()
    for question in questions:
        if question.id in seen:
            raise UserError(f"two questions have the id '{question.id}': give each its own")
        seen.add(question.id)


async def _all(works: Sequence[Any]) -> None:
    """All to their end; the first error ends the others and is raised as it is."""
    tasks = [asyncio.ensure_future(one) for one in works]
    try:
        await asyncio.gather(*tasks)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def _settings(game: Game) -> dict[str, Any]:
    return asdict(game) if is_dataclass(game) and not isinstance(game, type) else {}
