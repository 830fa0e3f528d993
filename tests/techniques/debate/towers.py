"""Scripted players for the questions of the fixture `towers`."""

from toprope.techniques.debate.debaters import View
from toprope.techniques.debate.judges import Hearing


def says(view: View) -> str:
    """A debater that quotes the passage where that is for it, and makes something up elsewhere."""
    match view.kind:
        case "bet":
            return f"{70 + 5 * view.round}%"
        case "choice":
            return "Answer: A"
        case "estimates":
            return "60%"
        case "claims":
            return "1. It stands there.\n2. It says so."
        case "direction":
            return "Claim: 1\nThe probability is: too low"
        case "implied" | "truth":
            return "80%"
    if view.position is None:
        return "Is it so?"
    option = view.question.options[view.position].removeprefix("In ")
    found = view.question.passage.partition(option)[1]
    return f"<quote>was built in {found or '1492'}</quote> sample {view.sample}"


def believes(hearing: Hearing) -> tuple[float, float]:
    """By the passage if it's there; else by verified quotes; else the first that is shown."""
    question = hearing.question
    if question.passage:
        is_first = question.options[0].removeprefix("In ") in question.passage
        return (0.9, 0.1) if is_first else (0.1, 0.9)
    for turn in hearing.turns:
        if turn.verified and turn.position is not None:
            return (0.8, 0.2) if turn.position == 0 else (0.2, 0.8)
    return (0.6, 0.4) if hearing.seating.shown[0] == 0 else (0.4, 0.6)
