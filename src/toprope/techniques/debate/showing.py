"""A transcript for people, as lines of plain text."""

from collections.abc import Iterator
from textwrap import indent

from toprope.techniques.debate.transcript import Transcript, Turn, Verdict


def shown(name: str, game: Transcript, *, passage: bool = False) -> Iterator[str]:
    """
    Args:
        name: of the protocol.
        passage: whether it's there too.
    """
    question, seating = game.question, game.seating
    yield f"=== {name}, question {question.id}" + (
        f", {question.source}" if question.source else ""
    )
    if passage and question.passage:
        yield indent(question.passage, "    ")
    yield question.text
    for option in seating.shown:
        right = " (right)" if option == question.answer else ""
        yield f"  {seating.letter(option)}. {question.options[option]}{right}"
    verdicts = list(game.verdicts)
    while verdicts and verdicts[0].round == 0:
        yield from _verdict(game, verdicts.pop(0))
    for number, turn in enumerate(game.turns):
        yield from _turn(game, turn)
        later = {one.round for one in game.turns[number + 1 :]}
        while verdicts and verdicts[0].round <= turn.round and turn.round not in later:
            yield from _verdict(game, verdicts.pop(0))
    for verdict in verdicts:
        yield from _verdict(game, verdict)


def _turn(game: Transcript, turn: Turn) -> Iterator[str]:
    about = [f"round {turn.round}"]
    if turn.kind != "speech":
        about.append(turn.kind)
    if turn.position is not None:
        about.append(f"for {game.seating.letter(turn.position)}")
    if turn.outcome != "spoken":
        about.append(turn.outcome)
    if turn.private.bet is not None:
        about.append(f"{turn.private.bet:g}%")
    if turn.by:
        about.append(turn.by)
    yield f"--- {turn.speaker} ({', '.join(about)})"
    if turn.private.scratchpad:
        yield indent(turn.private.scratchpad, "    (thinks) ")
    if turn.text:
        yield turn.text


def _verdict(game: Transcript, verdict: Verdict) -> Iterator[str]:
    seating = game.seating
    if verdict.answer is None:
        said = verdict.outcome
    else:
        right = "right" if verdict.answer == game.question.answer else "wrong"
        said = f"{seating.letter(verdict.answer)}, which is {right}"
    shares = [
        f"{seating.letter(i)} {verdict.probabilities[i]:.0%}"
        for i in seating.shown
        if verdict.probabilities
    ]
    yield f"--- Judge, after round {verdict.round}: {said}" + (
        f" ({', '.join(shares)})" if shares else ""
    )
    if verdict.text:
        yield indent(verdict.text, "    ")
