"""What a study leaves to look at: a summary, and some games of each arm.

The files are listed at the top of `rows.py`.
"""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from toprope.files import write_text
from toprope.techniques.debate.mnist.game import Rules
from toprope.techniques.debate.mnist.judge import Judge
from toprope.techniques.debate.mnist.playing import Played, worst_lie
from toprope.techniques.debate.mnist.records import GameRecord, record

FOLDER = "sparse_mnist"
SUMMARY, GAMES = "summary.json", "games.json"


def chosen_games(played: Played, rules: Rules, judge: Judge, most: int) -> list[GameRecord]:
    """The first images that the truth won, then as many that it lost, a game of each: with
    precommitment that of the lie that did best."""
    numbers = [worst_lie(played, image, rules) for image in range(len(played.games.boards))]
    wins_N = played.wins_G[np.array(numbers)]
    kept = [*np.flatnonzero(wins_N)[:most], *np.flatnonzero(~wins_N)[:most]]
    return [record(played, numbers[image], judge) for image in kept]


def save(
    folder: Path, summary: Mapping[str, Any], games: Mapping[str, Sequence[GameRecord]]
) -> None:
    """Writes the games, by arm, and the summary, which is last.

    Raises:
        OSError: they can't be written.
    """
    shown = {arm: [one.model_dump(mode="json") for one in some] for arm, some in games.items()}
    write_text(folder / GAMES, json.dumps(shown) + "\n")
    write_text(folder / SUMMARY, json.dumps(summary, indent=1) + "\n")


def summaries(artifacts: Path) -> dict[Path, dict[str, Any]]:
    """Folder -> summary, of every study of digits that finished among a run's artifacts."""
    return {
        path.parent: json.loads(path.read_text(encoding="utf-8"))
        for path in sorted(artifacts.glob(f"{FOLDER}/*/{SUMMARY}"))
    }


def games(folder: Path) -> dict[str, list[GameRecord]]:
    """Arm -> games to look at, of a folder that `summaries` found."""
    kept = json.loads((folder / GAMES).read_text(encoding="utf-8"))
    return {arm: [GameRecord.model_validate(one) for one in some] for arm, some in kept.items()}
