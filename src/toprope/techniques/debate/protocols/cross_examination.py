"""Cross-examination: a debate in which the judge asks each debater and each answers.

Barnes and Christiano 2020 (Writeup: progress on AI safety via debate) let debaters examine each
other; here the judge asks, as in the interactive debates of Michael et al. 2023 (arXiv 2311.08702).
"""

from dataclasses import dataclass

from toprope.errors import UserError
from toprope.techniques.debate.protocols.stage import Players, Stage
from toprope.techniques.debate.questions import Question
from toprope.techniques.debate.transcript import Seating, Transcript, rotations


@dataclass(frozen=True)
class CrossExamination:
    """
    Attributes:
        rounds: the first of arguments, each further one of questions and answers.
    """

    rounds: int = 2
    name = "cross-examination"

    def seatings(self, question: Question) -> list[Seating]:
        return rotations(question)

    async def __call__(self, question: Question, seating: Seating, players: Players) -> Transcript:
        """
        Raises:
            UserError: nobody asks the judge's questions.
        """
        if players.asker is None:
            raise UserError("cross-examination needs a judge that asks: a chat model, as the asker")
        stage = Stage(question, seating, players, rounds=self.rounds)
        names = {option: stage.debater(option) for option in seating.speaks}
        await stage.together(
            [
                (players.side(option), stage.view(name, "debater", position=option))
                for option, name in names.items()
            ]
        )
        for round in range(2, self.rounds + 1):
            for option, name in names.items():
                asking = stage.view(
                    "Judge", "judge", "question", round=round, given={"asked": name}
                )
                await stage.ask(players.asker, asking, name)
                answering = stage.view(name, "debater", position=option, round=round)
                await stage.take(players.side(option), answering)
        await stage.judge(self.rounds)
        return stage.transcript(self.name)
