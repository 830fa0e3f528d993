"""Consultancy: one consultant argues for one answer, and the judge may ask it questions.

Michael et al. 2023 (arXiv 2311.08702): the consultant is assigned an answer, right as often as
wrong. Open consultancy, where it argues for the answer it chooses: Kenton et al. 2024 (arXiv
2407.04622). Without an asker among the players the judge only listens.
"""

from dataclasses import dataclass
from typing import Literal

from toprope.techniques.debate.protocols.stage import Players, Stage
from toprope.techniques.debate.questions import Question
from toprope.techniques.debate.transcript import Seating, Transcript, assigned, rotations


@dataclass(frozen=True)
class Consultancy:
    """
    Attributes:
        each_round: whether the judge is asked before the first round and after each one.
    """

    rounds: int = 2
    role: Literal["assigned", "open"] = "assigned"
    each_round: bool = False
    name = "consultancy"

    def seatings(self, question: Question) -> list[Seating]:
        return assigned(question) if self.role == "assigned" else rotations(question)

    async def __call__(self, question: Question, seating: Seating, players: Players) -> Transcript:
        stage = Stage(question, seating, players, rounds=self.rounds)
        option = seating.assigned
        chose = None
        if self.role == "open":
            chose = await stage.choice("consultant")
            option = seating.shown[0] if chose is None else chose
        assert option is not None
        consultant = players.side(option) if self.role == "assigned" else players.first
        if self.each_round:
            await stage.judge(0)
        for round in range(1, self.rounds + 1):
            view = stage.view("Consultant", "consultant", position=option, round=round)
            await stage.take(consultant, view)
            if self.each_round or round == self.rounds:
                await stage.judge(round)
            if players.asker and round < self.rounds:
                given = {"asked": "the consultant"}
                asking = stage.view("Judge", "judge", "question", round=round, given=given)
                await stage.take(players.asker, asking)
        return stage.transcript(self.name, role=self.role, chose=chose)
