"""What text debates left among a run's artifacts: how well the judge's sureness fits, and games of
one question side by side, folded away until the reader asks for them."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from markupsafe import Markup

from toprope.report.page import Section
from toprope.report.settings import model_title
from toprope.report.text import ELLIPSIS, capitalised
from toprope.techniques.debate import kept as files
from toprope.techniques.debate.arms import BLIND, Rules, arms, counterpart
from toprope.techniques.debate.report.exchange import exchange
from toprope.techniques.debate.report.reliability import calibration
from toprope.techniques.debate.report.results import arm_name, in_sentence
from toprope.techniques.debate.transcript import Transcript

LONGEST_TITLE = 110

Games = Mapping[str, Sequence[Transcript]]
"""Question id -> its games, in all seatings."""


def kept(artifacts: Path) -> list[Section]:
    """Subsections; none where no study has finished."""
    return [_of(folder, summary) for folder, summary in files.summaries(artifacts).items()]


def _of(folder: Path, summary: Mapping[str, Any]) -> Section:
    named = list(summary["arms"])
    headline = summary["headline"]
    about = {arm.name: arm for arm in arms(named, Rules())}
    other = counterpart(about[headline], list(about.values())) if headline else None
    wanted = [name for name in (headline, other.name if other else None) if name]
    found = {name: _load(folder, name) for name in dict.fromkeys([BLIND, *(wanted or named)])}
    found = {name: games for name, games in found.items() if games}
    drawn = {name: found[name] for name in (*wanted, BLIND) if name in found}
    shown = {name: by_question(found[name]) for name in wanted if name in found}
    where = "/".join(folder.parts[-3:])
    return Section(
        f"Transcripts: {model_title(summary['target'])} before {model_title(summary['overseer'])}, "
        f"on {summary['dataset']}",
        [
            "Games chosen by how they ended, not by what was said. They show what models wrote, "
            "which may be wrong or meant to mislead.",
            f"All of them are in {where}/{files.TRANSCRIPTS}.",
        ],
        **calibration(drawn),
        details=_details(shown),
    )


def _load(folder: Path, name: str) -> list[Transcript]:
    path = folder / files.TRANSCRIPTS / f"{name}.jsonl"
    return list(files.load(path)) if path.is_file() else []


def by_question(games: Sequence[Transcript]) -> dict[str, list[Transcript]]:
    found: dict[str, list[Transcript]] = {}
    for game in games:
        found.setdefault(game.question.id, []).append(game)
    return found


def picked(games: Games) -> dict[str, str]:
    """The first question of each kind of end -> in words."""
    ends: dict[str, str] = {}
    for id_, some in games.items():
        right = sum(game.correct for game in some)
        how = {0: "wrong in all seatings", len(some): "right in all seatings"}
        ends.setdefault(how.get(right, "it depends on the seating"), id_)
    return {id_: how for how, id_ in ends.items()}


def _details(shown: Mapping[str, Games]) -> list[tuple[str, Markup]]:
    """The picked questions of the first arm, in all arms."""
    first = next(iter(shown), None)
    if first is None:
        return []
    details = []
    for id_, how in picked(shown[first]).items():
        for name, games in shown.items():
            if not (some := _seated(games.get(id_, ()))):
                continue
            question = some[0].question
            end = f"{in_sentence(name)}, {how}" if name == first else f"{in_sentence(name)} on it"
            titles = [_seating(game) for game in some]
            body = exchange(question, list(zip(titles, some, strict=True)))
            details.append((f"{capitalised(end)}: {short(question.text)}", body))
    return details


def _seated(games: Sequence[Transcript]) -> list[Transcript]:
    """Two games that stand well beside each other: of lone speakers, one for the right answer and
    one for a wrong one; of debates, the two orders."""
    if not games:
        return []
    first = games[0]
    lone = [game for game in games if game.seating.shown == first.seating.shown]
    if first.seating.assigned is not None:
        right = [game for game in lone if game.seating.assigned == game.question.answer]
        wrong = [game for game in lone if game.seating.assigned != game.question.answer]
        return [*right[:1], *wrong[:1]]
    turned = [game for game in games if game.seating.shown != first.seating.shown]
    return [first, *turned[:1]]


def _seating(game: Transcript) -> str:
    speaks = game.seating.assigned
    if speaks is not None:
        is_right = speaks == game.question.answer
        return f"Assigned the {'right' if is_right else 'wrong'} answer"
    if len(game.seating.speaks) > 1:
        return f"{game.seating.letter(game.question.answer)} is right"
    return arm_name(game.protocol)


def short(text: str) -> str:
    text = " ".join(text.split())
    return text if len(text) <= LONGEST_TITLE else f"{text[:LONGEST_TITLE]}{ELLIPSIS}"
