"""Prover-estimator debate: a recursive protocol in which hiding a flaw in many steps doesn't pay.

Brown-Cohen, Irving and Piliouras 2025, Avoiding Obfuscation with Prover-Estimator Debate (arXiv
2506.13609). Moves and payoffs follow the informal account of it: rewards that grow by a ratio from
round to round, for calling the direction of the estimator's error.

The prover claims an answer. The estimator says how likely the claim is, and the prover whether that
is too low, too high or right. Then it breaks the claim into smaller ones, the estimator gives each
a probability, and the overseer checks the two levels against each other: how likely the claim is if
the smaller ones are as likely as that. The prover picks one of these whose probability is wrong,
says in which direction, and the game goes on with it; the last is checked for truth directly. For
a prover that called the direction of round k rightly the payoff is ratio^k, wrongly -ratio^k, and
nothing where it called the estimate right; the estimator's is the opposite. As the ratio is above
2, a later round outweighs all before it.

Here the overseer compares probabilities; in the formal protocol truth values are sampled from them
by a trusted coin, and later estimates are given those sampled before. The estimator reads the
passage and has no side, so that what it says of the answer itself, which the judge hears, is a
reader's opinion, unlike all that is said in a debate or consultancy. What the paper proves
(completeness for stable arguments, soundness) is of players in equilibrium: here they only play the
game. Last, the judge hears all of it and decides as in every protocol.
"""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from toprope.errors import UserError
from toprope.techniques.debate import parsing
from toprope.techniques.debate.debaters import Debater, estimated
from toprope.techniques.debate.protocols.stage import Players, Stage
from toprope.techniques.debate.questions import Question
from toprope.techniques.debate.transcript import Private, Seating, Transcript, assigned

UNKNOWN = 0.5
"""The estimate of an estimator that gives none."""

SPEAKERS = ("Prover", "Estimator", "Overseer")

CLOSE = 1e-9
"""Probabilities no further apart are the same."""


@dataclass(frozen=True)
class Step:
    """One round: how likely its claim was held, what the prover said of that, what the check found.

    Attributes:
        direction: +1: the estimate is too low; -1: too high; 0: right.
        check: the claim's probability by its smaller claims, or in the last round its truth; None:
            the overseer gave none.
    """

    claim: str
    estimate: float
    direction: int
    check: float | None

    def payoff(self, ratio: float, round: int) -> float:
        """The prover's."""
        if self.direction == 0 or self.check is None:
            return 0.0
        gap = self.check - self.estimate
        was_right = abs(gap) > CLOSE and (gap > 0) == (self.direction > 0)
        return ratio**round if was_right else -(ratio**round)


def payoff(steps: Sequence[Step], ratio: float) -> float:
    """The prover's of a whole game, rounds counted from 1; the estimator's is the opposite."""
    return sum(step.payoff(ratio, round) for round, step in enumerate(steps, 1))


@dataclass(frozen=True)
class ProverEstimator:
    """The prover is the first of the players' debaters, the estimator the last.

    Attributes:
        depth: how often a claim is broken into smaller ones.
        width: how many of these the prover is asked for.
        ratio: of a round's stake to that of the round before.
    """

    depth: int = 2
    width: int = 3
    ratio: float = 3.0
    name = "prover-estimator"

    def __post_init__(self) -> None:
        if self.ratio <= 2:
            raise UserError(
                f"prover-estimator: a ratio of {self.ratio:g} lets early rounds outweigh a later "
                "one: it has to be above 2"
            )

    def seatings(self, question: Question) -> list[Seating]:
        return assigned(question)

    async def __call__(self, question: Question, seating: Seating, players: Players) -> Transcript:
        """
        Raises:
            UserError: nobody checks the steps.
        """
        if players.overseer is None:
            raise UserError("the prover-estimator protocol needs an overseer: a chat model")
        stage = Stage(question, seating, players, rounds=self.depth + 1, more=SPEAKERS)
        game = _Game(stage, players.overseer)
        [option] = seating.speaks
        steps = await game.play(option, self.depth, self.width)
        await game.stage.judge(len(steps))
        return game.stage.transcript(
            self.name,
            steps=[vars(step) for step in steps],
            payoff=payoff(steps, self.ratio),
            unestimated=game.unestimated,
            undirected=game.undirected,
            unchecked=sum(step.check is None for step in steps),
        )


@dataclass
class _Game:
    stage: Stage
    overseer: Debater
    unestimated: int = 0
    undirected: int = 0

    async def play(self, option: int, depth: int, width: int) -> list[Step]:
        question = self.stage.question
        claim = f"The right answer is: {question.options[option]}"
        [estimate] = await self._estimates([claim], 1)
        _, direction = await self._direction([claim], [estimate], option, 1)
        steps: list[Step] = []
        for round in range(1, depth + 1):
            claims = await self._claims(claim, option, width, round)
            if not claims:
                break
            estimates = await self._estimates(claims, round)
            given = {"claim": claim, "claims": estimated(claims, estimates)}
            check = await self._check("implied", given, round)
            steps.append(Step(claim, _or_unknown(estimate), direction, check))
            chosen, direction = await self._direction(claims, estimates, option, round + 1)
            claim, estimate = claims[chosen], estimates[chosen]
        truth = await self._check("truth", {"claim": claim}, len(steps) + 1)
        return [*steps, Step(claim, _or_unknown(estimate), direction, truth)]

    async def _claims(self, claim: str, option: int, width: int, round: int) -> tuple[str, ...]:
        """Empty where the prover can't go on: the claim it holds is then checked directly."""
        given = {"claim": claim, "width": str(width)}
        view = self.stage.view(
            "Prover", "prover", "claims", position=option, round=round, given=given
        )
        turn = await self.stage.take(self.stage.players.first, view)
        return parsing.items(turn.text)[:width]

    async def _estimates(self, claims: Sequence[str], round: int) -> list[float | None]:
        """Of each claim after those before it; None: it gave none."""
        views = (
            self.stage.view(
                "Estimator",
                "estimator",
                "estimates",
                round=round,
                given={"claim": claim, "before": "\n".join(claims[:i]) or "(none)"},
            )
            for i, claim in enumerate(claims)
        )
        turns = await asyncio.gather(*map(self.stage.players.last, views))
        said = [parsing.stated_percent(turn.text) for turn in turns]
        estimates = [None if one is None else one / 100 for one in said]
        self.unestimated += said.count(None)
        self.stage.turns.append(
            replace(
                turns[0],
                text=estimated(claims, estimates),
                private=Private(scratchpad="\n".join(turn.text for turn in turns)),
                values=tuple(map(_or_unknown, estimates)),
                outcome=next((t.outcome for t in turns if t.outcome == "lost"), "spoken"),
                tokens=sum(turn.tokens for turn in turns),
                calls=sum(turn.calls for turn in turns),
            )
        )
        return estimates

    async def _direction(
        self, claims: Sequence[str], estimates: Sequence[float | None], option: int, round: int
    ) -> tuple[int, int]:
        """Which claim the prover picks, and in which direction it says that its estimate is wrong.

        One that says no direction says that all is right; where it picks none of several, the
        first.
        """
        given = {"claims": estimated(claims, estimates)}
        view = self.stage.view(
            "Prover", "prover", "direction", position=option, round=round, given=given
        )
        turn = await self.stage.players.first(view)
        picked = 0 if len(claims) == 1 else parsing.chosen(turn.text, claims)
        said = parsing.direction(turn.text)
        self.undirected += picked is None or said is None
        chosen, direction = picked or 0, said or 0
        self.stage.turns.append(replace(turn, values=(float(chosen), float(direction))))
        return chosen, direction

    async def _check(
        self, kind: Literal["implied", "truth"], given: Mapping[str, str], round: int
    ) -> float | None:
        view = self.stage.view("Overseer", "overseer", kind, round=round, given=given)
        turn = await self.overseer(view)
        said = parsing.stated_percent(turn.text)
        values = () if said is None else (said / 100,)
        self.stage.turns.append(replace(turn, values=values))
        return values[0] if values else None


def _or_unknown(estimate: float | None) -> float:
    return UNKNOWN if estimate is None else estimate
