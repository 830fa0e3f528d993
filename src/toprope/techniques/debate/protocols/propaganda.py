"""Propaganda: one side alone speaks, once, and nobody answers it.

Pallavi Sudhir, Kaunismaa and Panickssery 2025 (arXiv 2504.03731): what persuasion does without any
opposition. Each answer is argued for in turn.
"""

from dataclasses import dataclass

from toprope.techniques.debate.protocols.stage import Players, Stage
from toprope.techniques.debate.questions import Question
from toprope.techniques.debate.transcript import Seating, Transcript, assigned


@dataclass(frozen=True)
class Propaganda:
    name = "propaganda"

    def seatings(self, question: Question) -> list[Seating]:
        return assigned(question)

    async def __call__(self, question: Question, seating: Seating, players: Players) -> Transcript:
        stage = Stage(question, seating, players)
        [option] = seating.speaks
        view = stage.view(stage.debater(option), "debater", position=option)
        await stage.take(players.side(option), view)
        await stage.judge(1)
        return stage.transcript(self.name)
