"""Pictures of debates over digits that a study left among a run's artifacts."""

from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from toprope.report.page import Figure, Section
from toprope.techniques.debate.mnist import gallery
from toprope.techniques.debate.mnist.arms import Arm
from toprope.techniques.debate.mnist.records import GameRecord
from toprope.techniques.debate.report.digits import arm_name
from toprope.techniques.debate.report.mnist_game import game_picture

MOST_ARMS = 6


def kept(artifacts: Path) -> list[Section]:
    """Sections of pictures, that of each study's headline first."""
    return [
        part
        for folder, summary in gallery.summaries(artifacts).items()
        for part in _pictures(summary, gallery.games(folder))
    ]


def _pictures(
    summary: Mapping[str, Any], games: Mapping[str, Sequence[GameRecord]]
) -> list[Section]:
    main, drawn = summary["headline"], summary["settings"]["pictures"]
    by_interest = sorted(games, key=lambda name: (name != main, _is_by_agents(name)))
    parts = []
    for name in by_interest[:MOST_ARMS]:
        few = drawn if name == main else min(1, drawn)
        figures = [_picture(game) for game in _chosen(games[name], few)]
        if figures:
            about = _about(summary["arms"].get(name, {}))
            parts.append(Section(f"Games: {arm_name(name)}", [about], figures=figures))
    return parts


def _is_by_agents(name: str) -> bool:
    arm = Arm.named(name)
    return arm is not None and arm.by != "search"


def _about(arm: Mapping[str, Any]) -> str:
    told = "Each pixel by who revealed it, in order, and what the judge believed after it."
    if "won" in arm:
        told += f" The truth won {arm['won']:,} of {arm['games']:,} single games."
    return told


def _chosen(games: Sequence[GameRecord], few: int) -> list[GameRecord]:
    """The first that the truth won, and the first that it lost."""
    return [
        *[game for game in games if game.honest_won][:few],
        *[game for game in games if not game.honest_won][:few],
    ]


def _picture(game: GameRecord) -> Figure:
    lie = "any other digit" if game.lie is None else f"a {game.lie}"
    winner = "the truth" if game.honest_won else "the liar"
    return Figure(
        f"A {game.truth}; the liar claims {lie}; {winner} wins", partial(game_picture, game)
    )
