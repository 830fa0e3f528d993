"""Expert: the judge reads the passage itself.

The ceiling: "direct question answering with article" in Kenton et al. 2024 (arXiv 2407.04622),
"expert" in Khan et al. 2024 (arXiv 2402.06782).
"""

from dataclasses import dataclass

from toprope.techniques.debate.protocols.stage import Players, Stage
from toprope.techniques.debate.questions import Question
from toprope.techniques.debate.transcript import Seating, Transcript, rotations


@dataclass(frozen=True)
class Expert:
    name = "expert"

    def seatings(self, question: Question) -> list[Seating]:
        return rotations(question)

    async def __call__(self, question: Question, seating: Seating, players: Players) -> Transcript:
        stage = Stage(question, seating, players)
        await stage.judge(0, expert=True)
        return stage.transcript(self.name)
