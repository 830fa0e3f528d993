"""Games side by side as a table: who said what, which quotes stand in the passage, what the judge
thought.

All that a model said is escaped. What a speaker kept to itself (bets, choices, scratchpads) is said
to be the reader's alone.
"""

import re
from collections.abc import Iterator, Sequence
from itertools import zip_longest

from markupsafe import Markup, escape

from toprope.report.svg import element
from toprope.report.text import ELLIPSIS, clean, counted
from toprope.techniques.debate.measures.judging import probability
from toprope.techniques.debate.questions import Question
from toprope.techniques.debate.transcript import PRIVATE, Transcript, Turn, Verdict

LONGEST = 1800
"""Characters of a turn."""
LONGEST_PASSAGE = 6000

_QUOTE = re.compile(r"<([vu])_quote>(.*?)(?:</\1_quote>|\Z)", re.S)
_PLACES = re.compile(r"(?<=\S{24})(?=\S)")
_BREAK = Markup("<br>")


def exchange(question: Question, games: Sequence[tuple[str, Transcript]]) -> Markup:
    """One question: what is asked, the passage, and its games, a column each.

    Args:
        games: each with its heading.
    """
    heads = [_head(title, game, 100 // len(games)) for title, game in games]
    rows = [
        element("tr", *(element("td", cell) for cell in cells))
        for cells in zip_longest(*(_events(game) for _, game in games), fillvalue=Markup())
    ]
    whole = element(
        "table",
        element("thead", element("tr", *heads)),
        element("tbody", *rows),
    )
    scroll = element(
        "div", whole, class_="scroll", role="region", aria_label="Transcripts", tabindex="0"
    )
    return Markup("").join([_asked(question), _passage(question), scroll])


def side_by_side(titles: Sequence[str], texts: Sequence[str]) -> Markup:
    """Texts of a model in columns."""
    heads = [element("th", title, scope="col", width=f"{100 // len(titles)}%") for title in titles]
    cells = [element("td", _said(text)) for text in texts]
    whole = element(
        "table", element("thead", element("tr", *heads)), element("tbody", element("tr", *cells))
    )
    return element("div", whole, class_="scroll", role="region", aria_label="Texts", tabindex="0")


def _asked(question: Question) -> Markup:
    right = Markup("<strong>{}</strong>").format(breakable(question.right))
    return Markup("<p>{} Right: {}.</p>").format(breakable(question.text), right)


def _passage(question: Question) -> Markup:
    if not question.passage:
        return Markup()
    text = breakable(_short(question.passage, LONGEST_PASSAGE))
    title = "The passage, which those who argue see and the judge doesn't"
    return element("details", element("summary", title), element("p", text, class_="text"))


def _head(title: str, game: Transcript, percent: int) -> Markup:
    question, seating = game.question, game.seating
    shown = [
        Markup("{}: {}{}").format(
            seating.letter(option),
            breakable(question.options[option]),
            " (right)" if option == question.answer else "",
        )
        for option in seating.shown
    ]
    lines = _BREAK.join([Markup("<strong>{}</strong>").format(title), *shown])
    return element("th", lines, scope="col", width=f"{percent}%")


def _events(game: Transcript) -> Iterator[Markup]:
    """Turns and verdicts in the order in which they came; the bets of a round as one."""
    rounds = sorted({one.round for one in (*game.turns, *game.verdicts)})
    for round in rounds:
        turns = [turn for turn in game.turns if turn.round == round]
        if bets := [turn for turn in turns if turn.kind == "bet"]:
            yield _bets(bets)
        for turn in turns:
            if turn.kind != "bet":
                yield _turn(turn, game)
        for verdict in game.verdicts:
            if verdict.round == round:
                yield _verdict(verdict, game)


def _bets(turns: Sequence[Turn]) -> Markup:
    made = [
        f"{turn.speaker} {'none' if turn.private.bet is None else f'{turn.private.bet:g}%'}"
        for turn in turns
    ]
    known = [turn.private.bet for turn in turns if turn.private.bet is not None]
    total = f"; together {sum(known):g}%" if len(known) == len(turns) > 1 else ""
    text = breakable(f"{', '.join(made)}{total}")
    title = f"Bets before round {turns[0].round}, for the reader alone"
    return Markup("<em>{}: {}</em>").format(title, text)


def _turn(turn: Turn, game: Transcript) -> Markup:
    lines = [_speaker(turn, game)]
    if turn.kind in PRIVATE:
        lines.append(Markup("<em>For the reader alone</em>"))
    if turn.private.scratchpad:
        thought = breakable(_short(turn.private.scratchpad, LONGEST))
        lines.append(Markup("<em>Scratchpad, for the reader alone: {}</em>").format(thought))
    if turn.text:
        lines.append(_said(turn.text))
    if turn.outcome != "spoken":
        lines.append(Markup("<em>[{}]</em>").format(turn.outcome))
    return _BREAK.join(lines)


def _speaker(turn: Turn, game: Transcript) -> Markup:
    about = [f"round {turn.round}"]
    if turn.kind != "speech":
        about.append(turn.kind)
    if turn.position is not None:
        is_right = turn.position == game.question.answer
        about.append(
            f"for {game.seating.letter(turn.position)}, {'right' if is_right else 'wrong'}"
        )
    if len({one.by for one in game.turns}) > 1:
        about.append(turn.by)
    name = breakable(turn.speaker)
    return Markup("<strong>{}</strong> ({})").format(name, breakable(", ".join(about)))


def _said(text: str) -> Markup:
    """What was said, each quote with what came of looking it up."""
    text = _short(text, LONGEST)
    parts, at = [], 0
    for quote in _QUOTE.finditer(text):
        kind, found = quote.groups()
        label, cls = (
            ("verified", "verified") if kind == "v" else ("not in the passage", "unverified")
        )
        parts.append(breakable(text[at : quote.start()]))
        mark = element("q", breakable(found), class_=cls)
        parts.append(Markup("{} <small>[{}]</small>").format(mark, label))
        at = quote.end()
    return Markup("").join([*parts, breakable(text[at:])])


def _verdict(verdict: Verdict, game: Transcript) -> Markup:
    is_last = verdict is game.verdicts[-1]
    when = f"after round {verdict.round}" if verdict.round else "before anyone spoke"
    title = "Verdict" if is_last else f"The judge {when}"
    if verdict.answer is None:
        said = Markup("names no answer ({})").format(verdict.outcome)
    else:
        is_right = verdict.answer == game.question.answer
        share = probability(game, game.question.answer, verdict)
        said = Markup("{} ({}); {:.0f}% for the right answer{}").format(
            game.seating.letter(verdict.answer),
            "right" if is_right else "wrong",
            100 * share,
            "" if verdict.stated else ", as it stated none",
        )
    line = Markup("<strong>{}</strong>: {}").format(title, said)
    return _BREAK.join([line, _said(verdict.text)]) if verdict.text else line


def breakable(text: str) -> Markup:
    """Escaped, with its line breaks, and with places where an endless word may be broken."""
    lines = [
        Markup("<wbr>").join(map(escape, _PLACES.split(line))) for line in clean(text).split("\n")
    ]
    return _BREAK.join(lines)


def _short(text: str, most: int) -> str:
    if len(text) <= most:
        return text
    return f"{text[:most]}{ELLIPSIS} [{counted(len(text) - most, 'more character')}]"
