"""Scoring exchanges with a guard's stages, each exchange once: guards share stages, and measures
share exchanges, and it's the reading that costs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from toprope.progress import Progress
from toprope.techniques.safeguards.exchanges import Exchange
from toprope.techniques.safeguards.guard import Guard, Scored, Stop
from toprope.techniques.safeguards.reading import Reader
from toprope.techniques.safeguards.streaming import StreamingHead


@dataclass
class Scorer:
    """A classifier that remembers its scores."""

    reader: Reader
    head: StreamingHead
    _known: dict[str, Scored] = field(default_factory=dict)

    def score(
        self, exchanges: Sequence[Exchange], *, progress: Progress | None = None
    ) -> list[Scored]:
        """
        Raises:
            UserError: an exchange is longer than the reader's model reads.
        """
        new = {one.id: one for one in exchanges if one.id not in self._known}
        readings = self.reader.read(list(new.values()), progress=progress) if new else []
        for id_, reading in zip(new, readings, strict=True):
            self._known[id_] = Scored.by(self.head, reading)
        return [self._known[one.id] for one in exchanges]


def scorers(guard: Guard, readers: Sequence[Reader]) -> list[Scorer]:
    """One for each stage."""
    return list(map(Scorer, readers, guard.heads))


def asked(guard: Guard, by: Sequence[Scorer], exchanges: Sequence[Exchange]) -> list[list[int]]:
    """Which exchanges each stage is asked about, and last those that are stopped: a stage is asked
    only about what the one before passes on."""
    rounds = [list(range(len(exchanges)))]
    for stage, scorer in zip(guard.about.stages, by, strict=True):
        scored = scorer.score([exchanges[i] for i in rounds[-1]])
        passed = zip(rounds[-1], scored, strict=True)
        rounds.append([i for i, one in passed if one.highest >= stage.threshold])
    return rounds


def stops(guard: Guard, by: Sequence[Scorer], exchanges: Sequence[Exchange]) -> list[Stop | None]:
    """Where the guard stops each exchange."""
    found: list[Stop | None] = [None] * len(exchanges)
    for i in asked(guard, by, exchanges)[-1]:
        found[i] = guard.stop_scored([one.score([exchanges[i]])[0] for one in by])
    return found
