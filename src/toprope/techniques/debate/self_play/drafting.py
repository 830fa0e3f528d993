"""Training games: in every turn N drafts are made and rated, and the best of them is said.

A draft is rated by the probability that the judge gives its side after it: of a debate in which all
speak at once, after hearing beside it what each opponent says at the same time (the first that it
thinks of, or where none is written, its best quote); in other games, after what was said before.

What is learned of a draft is what the judge heard, with quotes as a debater marks them: a turn
without its label, ended where another's began, or at its last whole sentence, where it ran out of
tokens.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import cache
from itertools import islice

from pydantic import TypeAdapter

from toprope.data.seeding import named_rng
from toprope.data.sentences import whole_sentences
from toprope.journal import Journal, key_of
from toprope.models.local import LocalModel
from toprope.once import Once
from toprope.progress import Progress
from toprope.techniques.debate.debaters import ChatDebater, View, prompt
from toprope.techniques.debate.judges import Hearing
from toprope.techniques.debate.protocols.best_of import Persuasion, Rating, samples
from toprope.techniques.debate.protocols.quoting import Quoting
from toprope.techniques.debate.protocols.stage import Game, Players
from toprope.techniques.debate.questions import Question
from toprope.techniques.debate.quotes import mark
from toprope.techniques.debate.running import play
from toprope.techniques.debate.self_play.pairs import Drafts, asked
from toprope.techniques.debate.transcript import Seating, Turn, Verdict, rotations


@dataclass(frozen=True)
class Drafting:
    """A debater that says the best of its drafts, and keeps what it might have said.

    Attributes:
        local: the model behind it.
        n: drafts that it writes.
        opposed: whether opponents speak at the same time.
        quoting: whose speech is one more draft: what a small model seldom writes by itself.
        foils: drafts beside that one which quote other sentences, drawn with `seed`: a pair of two
            quotes teaches which sentences to quote, and not only to quote.
        found: in the order in which turns came.
    """

    debater: ChatDebater
    local: LocalModel
    persuasion: Persuasion
    n: int
    opposed: bool
    quoting: Quoting | None = None
    foils: int = 0
    seed: int = 0
    journal: Journal | None = None
    found: list[Drafts] = field(default_factory=list)
    _written: Once[list[Turn]] = field(default_factory=Once)

    @property
    def name(self) -> str:
        return self.debater.name

    @property
    def fingerprint(self) -> str:
        of = self.debater.fingerprint, self.persuasion.fingerprint, self.n, self.opposed
        more = (self.quoting.fingerprint,) if self.quoting else ()
        drawn = (self.foils, self.seed) if self.foils else ()
        return key_of("drafting", *of, *more, *drawn)

    @property
    def made(self) -> int:
        """Drafts of a turn, where the passage has sentences enough."""
        return self.n + (self.quoting is not None) + self.foils

    async def __call__(self, view: View) -> Turn:
        if view.kind != "speech" or view.position is None:
            return await self.debater(view)
        key = self._key(view)
        kept = None if self.journal is None else self.journal.get(key)
        if kept:
            turns, ratings = _turns().validate_python(kept["turns"]), kept["ratings"]
            of_ratings = kept.get("rating_tokens", 0)
        else:
            turns = await self._drafts(view)
            rated = await self._ratings(view, turns)
            if any(one.outcome == "lost" for one in turns) or any(one.is_lost for one in rated):
                # Which is best isn't known, and nothing is learned from it.
                return turns[0].as_lost()
            ratings = [one.value for one in rated]
            of_ratings = sum(one.tokens for one in rated)
            if self.journal is not None:
                shown = _turns().dump_python(turns, mode="json")
                of = {"turns": shown, "ratings": ratings, "rating_tokens": of_ratings}
                self.journal.put(key, of)
        said = [turn for turn in turns if _speaks(turn)]
        tokens = sum(turn.tokens for turn in turns) + of_ratings
        calls = sum(turn.calls for turn in turns) + len(ratings)
        drafts = self._of(view, view.position, said, ratings)
        self.found.append(replace(drafts, tokens=tokens, calls=calls))
        best = said[ratings.index(max(ratings))] if said else turns[0]
        return replace(best, tokens=tokens, calls=calls)

    def _of(
        self, view: View, position: int, said: Sequence[Turn], ratings: Sequence[float]
    ) -> Drafts:
        by = self.quoting.name if self.quoting else None
        quoted = [_as_written(turn.text) for turn in said if turn.by == by and turn.verified]
        return Drafts(
            view.question.id,
            view.question.unit,
            view.speaker,
            position,
            view.round,
            position == view.question.answer,
            self._prompt(view),
            tuple(_as_written(turn.text) for turn in said),
            tuple(ratings),
            next(iter(quoted), None),
            tuple(_as_written(turn.text) for turn in said if turn.by == self._foil),
        )

    async def _drafts(self, view: View) -> list[Turn]:
        """Written once, whoever asks first: the speaker, or an opponent that is rated beside it."""
        return await self._written(self._key(view), lambda: self._write(view))

    async def _write(self, view: View) -> list[Turn]:
        """Drafts as the judge hears them."""
        most = len(self.local.tokens(asked(self._prompt(view)))) + self.debater.max_tokens
        turns = await samples(self.debater, view, self.n)
        written = [_cut(turn, view.question) if turn.tokens >= most else turn for turn in turns]
        if self.quoting is None:
            return written
        best = await self.quoting(view)
        return [*written, best, *self._foils(view, self.quoting, best)]

    @property
    def _foil(self) -> str:
        """By whom foils are said to be."""
        return f"{self.debater.name} (foil)"

    def _foils(self, view: View, quoting: Quoting, best: Turn) -> list[Turn]:
        """The same answer with as many other sentences each, as far as there are any; the same
        ones whoever judges."""
        where = view.question.id, asdict(view.seating), view.speaker, view.round, view.sample
        rng = named_rng(self.seed, "self-play", "foils", key_of(*where))
        return [
            replace(turn, by=self._foil)
            for turn in islice(quoting.others(view, best, rng), self.foils)
        ]

    async def _ratings(self, view: View, turns: Sequence[Turn]) -> list[Rating]:
        """Of those that say something."""
        beside = await self._opponents(view) if self.opposed else []
        heard = replace(view, turns=(*view.turns, *beside))
        said = [turn for turn in turns if _speaks(turn)]
        return await asyncio.gather(*(self.persuasion(heard, turn) for turn in said))

    async def _opponents(self, view: View) -> list[Turn]:
        found = []
        for option in view.seating.speaks:
            if option == view.position:
                continue
            speaker = f"Debater {view.seating.letter(option)}"
            theirs = replace(
                view,
                speaker=speaker,
                position=option,
                others=tuple(name for name in (*view.others, view.speaker) if name != speaker),
                turns=tuple(turn.public() for turn in view.turns),
            )
            found += [turn for turn in await self._drafts(theirs) if _speaks(turn)][:1]
        return found

    def _prompt(self, view: View) -> str:
        return prompt(view, words=self.debater.words)

    def _key(self, view: View) -> str:
        where = view.question.as_json(), asdict(view.seating), view.speaker, view.sample
        return key_of("drafts", self.fingerprint, *where, self._prompt(view))


async def collect(
    game: Game,
    questions: Sequence[Question],
    drafting: Drafting,
    *,
    seed: int,
    concurrency: int = 32,
    progress: Progress | None = None,
    title: str = "",
) -> list[Drafts]:
    """The drafts of every turn of one game a question, or of one for each answer where somebody
    speaks alone; in order of questions, answers and rounds."""
    is_lone = game.seatings(questions[0])[0].assigned is not None
    await play(
        game,
        questions,
        Players(_Nobody(), (drafting,)),
        concurrency=concurrency,
        seatings=lambda question: _seatings(question, is_lone=is_lone, seed=seed),
        progress=progress,
        title=title,
    )
    place = {question.id: i for i, question in enumerate(questions)}
    return sorted(drafting.found, key=lambda one: (place[one.question], one.position, one.round))


def _seatings(question: Question, *, is_lone: bool, seed: int) -> list[Seating]:
    """One rotation, drawn for the question; the same in every protocol."""
    every = rotations(question)
    rng = named_rng(seed, "self-play", "seating", question.id)
    drawn = every[int(rng.integers(len(every)))]
    if not is_lone:
        return [drawn]
    return [replace(drawn, speaks=(option,), assigned=option) for option in range(len(drawn.shown))]


class _Nobody:
    """The judge of games that need no verdict: the drafts were rated on the way."""

    name = fingerprint = "nobody"

    async def __call__(self, hearing: Hearing) -> Verdict:
        return Verdict(None, outcome="unnamed", round=hearing.round)


def _speaks(turn: Turn) -> bool:
    return turn.outcome in ("spoken", "cut") and bool(turn.text)


def _as_written(text: str) -> str:
    """With quotes as a debater marks them."""
    return re.sub(r"<(/?)[vu]_quote>", r"<\1quote>", text)


def _cut(turn: Turn, question: Question) -> Turn:
    """A turn that ran out of tokens, up to its last whole sentence."""
    marked = mark(whole_sentences(_as_written(turn.text)), question.passage)
    return replace(turn, text=marked.text, verified=marked.verified, unverified=marked.unverified)


@cache
def _turns() -> TypeAdapter[list[Turn]]:
    return TypeAdapter(list[Turn])
