"""What became of turns and verdicts: cut, empty, refused, lost, unnamed; of quotes; who gave in,
and who quoted its answer."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from toprope.techniques.debate.questions import Question
from toprope.techniques.debate.quotes import holds, plain, verified_quotes
from toprope.techniques.debate.transcript import Transcript, Turn


@dataclass(frozen=True)
class Outcomes:
    """
    Attributes:
        turns, verdicts: how many of each outcome; verdicts are the last ones of games.
        unstated: verdicts that name an answer without probabilities.
        verified, unverified: quotes found in the passage, and not found.
        tokens, calls: of models, for turns and for all verdicts.
    """

    turns: Mapping[str, int]
    verdicts: Mapping[str, int]
    unstated: int
    verified: int
    unverified: int
    tokens: int
    calls: int

    @property
    def told(self) -> list[str]:
        """For an accuracy's notes."""
        return [
            f"{what}: {', '.join(f'{n:,} {outcome}' for outcome, n in counts.items())}"
            for what, counts in (("verdicts", self.verdicts), ("turns", self.turns))
            if counts
        ]


def outcomes(transcripts: Sequence[Transcript]) -> Outcomes:
    turns = [turn for one in transcripts for turn in one.turns]
    last = [one.verdict for one in transcripts]
    verdicts = [verdict for one in transcripts for verdict in one.verdicts]
    return Outcomes(
        turns=Counter(turn.outcome for turn in turns),
        verdicts=Counter(verdict.outcome for verdict in last),
        unstated=sum(not verdict.stated for verdict in last),
        verified=sum(turn.verified for turn in turns),
        unverified=sum(turn.unverified for turn in turns),
        tokens=sum(one.tokens for one in (*turns, *verdicts)),
        calls=sum(turn.calls for turn in turns) + len(verdicts),
    )


def gives_in(question: Question, turn: Turn) -> bool:
    """Whether a speaker names another answer, word for word, and not the one that it argues for."""
    if turn.position is None:
        return False
    said = plain(turn.text)
    named = [holds(said, _words(option)) for option in question.options]
    return not named[turn.position] and any(named)


def quotes_answer(question: Question, turn: Turn) -> bool:
    """Whether a speaker quotes words of the passage in which its answer stands, word for word.

    It says little where an answer's words stand in most sentences, or in none.
    """
    if turn.position is None:
        return False
    answer = _words(question.options[turn.position])
    return any(holds(plain(one), answer) for one in verified_quotes(turn.text))


def _words(option: str) -> str:
    return plain(option).rstrip(".")
