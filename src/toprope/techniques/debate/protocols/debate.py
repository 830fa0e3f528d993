"""Debate: each answer has a debater, and the judge decides between them.

Irving, Christiano and Amodei 2018 (arXiv 1805.00899); on text, with quotes that are checked,
Michael et al. 2023 (arXiv 2311.08702) and Khan et al. 2024 (arXiv 2402.06782), whose debaters speak
at the same time in each round. Open debate, where one debater chooses the answer it argues for and
is opposed on it: Kenton et al. 2024 (arXiv 2407.04622). Private bets: Prasad and Nguyen 2025 (arXiv
2505.19184).
"""

from dataclasses import dataclass
from typing import Literal

from toprope.techniques.debate.debaters import Debater, View
from toprope.techniques.debate.protocols.stage import Players, Stage
from toprope.techniques.debate.questions import Question
from toprope.techniques.debate.transcript import Kind, Seating, Transcript, rotations


@dataclass(frozen=True)
class Debate:
    """
    Attributes:
        order: sequential: a debater hears those before it in the round; simultaneous: none of them.
        bets: whether each debater says in private, before each round, how sure it is to win.
        each_round: whether the judge is asked before the first round and after each one.
    """

    rounds: int = 2
    order: Literal["simultaneous", "sequential"] = "simultaneous"
    role: Literal["assigned", "open"] = "assigned"
    bets: bool = False
    each_round: bool = False
    name = "debate"

    def seatings(self, question: Question) -> list[Seating]:
        return rotations(question)

    async def __call__(self, question: Question, seating: Seating, players: Players) -> Transcript:
        stage = Stage(question, seating, players, rounds=self.rounds)
        sides = {option: players.side(option) for option in seating.speaks}
        chose = None
        if self.role == "open":
            chose = await stage.choice("debater")
            leads = seating.speaks[0] if chose is None else chose
            sides = {
                option: players.first if option == leads else players.last
                for option in seating.speaks
            }
        if self.each_round:
            await stage.judge(0)
        for round in range(1, self.rounds + 1):
            if self.bets:
                await stage.together(_views(stage, sides, "bet", round))
            if self.order == "simultaneous":
                await stage.together(_views(stage, sides, "speech", round))
            else:
                for option, debater in sides.items():
                    [(_, view)] = _views(stage, {option: debater}, "speech", round)
                    await stage.take(debater, view)
            if self.each_round or round == self.rounds:
                await stage.judge(round)
        return stage.transcript(self.name, role=self.role, order=self.order, chose=chose)


def _views(
    stage: Stage, sides: dict[int, Debater], kind: Kind, round: int
) -> list[tuple[Debater, View]]:
    return [
        (
            debater,
            stage.view(stage.debater(option), "debater", kind, position=option, round=round),
        )
        for option, debater in sides.items()
    ]
