"""Sparse MNIST debate: all games' searches at once beside a plain search, one game at a time.

Both play the same games with the same rollouts before the same judge, from the same random numbers;
the plain search plays a few of them, since it takes long. Its moves must be the same: how many of
them are is part of the result (where two classes' logits differ in their last bit, a judge may rank
them otherwise in a batch than alone).

The aim: at least 50 times the games in a second.

    OMP_NUM_THREADS=1 python benchmarks/mnist_debate.py --digits mnist10k.npz --out mnist.json
"""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path

import click
import numpy as np

from timing import interleaved, machine, ratios_to_the_first
from toprope.techniques.debate.mnist.boards import Boards, boards_of
from toprope.techniques.debate.mnist.data import load_digits, split_digits
from toprope.techniques.debate.mnist.game import Games, Rules, start
from toprope.techniques.debate.mnist.judge import Judge, JudgeSettings
from toprope.techniques.debate.mnist.playing import Played, play, searching
from toprope.techniques.debate.mnist.scoring import Scorer
from toprope.techniques.debate.mnist.search import SearchSettings
from toprope.techniques.debate.mnist.search_plain import search_one
from toprope.techniques.debate.mnist.training import train_judge

RULES = Rules(liar_first=True)


@click.command()
@click.option("--digits", required=True, help="An .npz file, IDX files or hf:OWNER/NAME.")
@click.option("--kind", type=click.Choice(["cnn", "strided", "mlp"]), default="strided")
@click.option("--pixels", default=6, show_default=True)
@click.option("--rollouts", default=10_000, show_default=True)
@click.option("--images", default=20, show_default=True, help="Nine games each.")
@click.option("--plain-games", default=1, show_default=True, help="Of the plain search, a round.")
@click.option("--steps", default=2000, show_default=True, help="Of the judge's training.")
@click.option("--rounds", default=6, show_default=True, help="An interval takes 6 or more.")
@click.option("--out", type=click.Path(path_type=Path), help="A JSON file for the figures.")
def main(
    digits: str,
    kind: str,
    pixels: int,
    rollouts: int,
    images: int,
    plain_games: int,
    steps: int,
    rounds: int,
    out: Path | None,
) -> None:
    training, debates = split_digits(load_digits(digits), debates=images, seed=0)
    about = JudgeSettings.model_validate(
        {"kind": kind, "pixels": pixels, "steps": steps, "learning_rate": 1e-3}
    )
    click.echo(f"training the judge, {steps} steps", err=True)
    judge = train_judge(training, about)
    boards = boards_of(debates, pixels=pixels)
    settings = SearchSettings(rollouts=rollouts)
    plain = Plain(boards, judge, settings, plain_games)
    batched: list[Played] = []

    def all_at_once() -> float:
        batched[:] = [play(boards, judge, searching(settings), [RULES])]
        return len(batched[0].games)

    rates = interleaved({"at once": all_at_once, "plain": plain}, rounds, "games")
    same, moves = plain.compared_with(batched[0].games)
    ratio = ratios_to_the_first(rates)[0]
    result = {
        "machine": machine(),
        "settings": {"judge": about.model_dump(), "rollouts": rollouts, "images": images},
        "games_per_second": {name: float(np.median(each)) for name, each in rates.items()},
        "ratio": asdict(ratio),
        "same_moves": same,
        "moves_compared": moves,
    }
    click.echo(f"games a second, all at once over one at a time: {ratio}")
    click.echo(f"the same moves: {same} of {moves}")
    if out:
        out.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")


class Plain:
    """The plain search; each round plays the next few games."""

    def __init__(self, boards: Boards, judge: Judge, settings: SearchSettings, games: int) -> None:
        self.start = start(boards, [RULES], pixels=judge.settings.pixels)
        self.verdicts, self.settings, self.games = Scorer(judge, boards), settings, games
        self.ends: list[tuple[int, list[int]]] = []

    def __call__(self) -> float:
        for _ in range(self.games):
            # Games far apart in the list are on different images, of different lies.
            number = (len(self.ends) * 101) % len(self.start)
            game = self.start.part(np.array([number]))
            while game.left:
                move, _ = search_one(game, 0, self.verdicts, self.settings)
                game = game.after(np.array([move]))
            self.ends.append((number, game.revealed_GD[0].tolist()))
        return self.games

    def compared_with(self, ends: Games) -> tuple[int, int]:
        """(how many moves are the same, how many there are), of the games that this has played."""
        place = {
            (int(image), int(lie)): row
            for row, (image, lie) in enumerate(zip(ends.image_G, ends.lie_G, strict=True))
        }
        same = total = 0
        for number, slots in self.ends:
            key = (int(self.start.image_G[number]), int(self.start.lie_G[number]))
            others = ends.revealed_GD[place[key]].tolist()
            same += sum(a == b for a, b in zip(slots, others, strict=True))
            total += len(slots)
        return same, total


if __name__ == "__main__":
    main()
