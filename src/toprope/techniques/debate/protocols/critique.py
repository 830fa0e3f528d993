"""Single critique: one side argues for an answer, and a critic says once what is wrong with it.

Saunders et al. 2022, Self-critiquing models (arXiv 2206.05802). The critic isn't assigned an answer
and may find no fault. The proposer is the first of the players' debaters, the critic the last.
"""

from dataclasses import dataclass

from toprope.techniques.debate.protocols.stage import Players, Stage
from toprope.techniques.debate.questions import Question
from toprope.techniques.debate.transcript import Seating, Transcript, assigned


@dataclass(frozen=True)
class Critique:
    name = "critique"

    def seatings(self, question: Question) -> list[Seating]:
        return assigned(question)

    async def __call__(self, question: Question, seating: Seating, players: Players) -> Transcript:
        stage = Stage(question, seating, players)
        [option] = seating.speaks
        proposal = stage.view(stage.debater(option), "debater", position=option)
        await stage.take(players.first, proposal)
        await stage.take(players.last, stage.view("Critic", "critic", "critique"))
        await stage.judge(1)
        return stage.transcript(self.name)
