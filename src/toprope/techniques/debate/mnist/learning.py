"""Agents that learn by self-play from search: expert iteration, without a value network.

Anthony, Tian and Barber 2017, arXiv 1705.08439.

In each round games are played to their end; at every position a tree search, with the judge at
hand, says how often it would take each action, and the network learns those shares by
cross-entropy. In the first round the search's own moves are made, later the agents' own, drawn by
their weights: so they learn what to do where they themselves get to. Play them on images that
neither they nor the judge were trained on.

Shapes: G games, M slots, B batch.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field
from torch import nn

from toprope.data.seeding import named_rng
from toprope.progress import Progress
from toprope.techniques.debate.mnist.agents import Agents
from toprope.techniques.debate.mnist.boards import Boards
from toprope.techniques.debate.mnist.game import Games, Rules, games_of, start
from toprope.techniques.debate.mnist.judge import Judge
from toprope.techniques.debate.mnist.playing import GAMES_AT_ONCE
from toprope.techniques.debate.mnist.scoring import Scorer
from toprope.techniques.debate.mnist.search import SearchSettings, search


class LearningSettings(BaseModel):
    """
    Attributes:
        rounds: of games and training after them.
        games: so many in each round, drawn from all games of the images.
        search: at every position of the games.
        passes: over all positions so far, after each round.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    rounds: int = Field(default=3, ge=1)
    games: int = Field(default=2000, ge=1)
    search: SearchSettings = SearchSettings(rollouts=2000)
    passes: int = Field(default=10, ge=1)
    batch: int = Field(default=256, ge=1)
    learning_rate: float = Field(default=1e-3, gt=0)
    seed: int = 0


@dataclass(frozen=True)
class Lesson:
    """Positions of one depth, and the share of rollouts that the search gave each slot [G, M]."""

    games: Games
    share_GM: NDArray[np.float32]


def train_agents(
    agents: Agents,
    boards: Boards,
    judge: Judge,
    rules: Sequence[Rules],
    settings: LearningSettings,
    *,
    progress: Progress | None = None,
) -> list[float]:
    """Trains the agents in place; returns the mean loss of each round's last pass."""
    rng = named_rng(settings.seed, "agents", "learning")
    optimizer = torch.optim.Adam(agents.parameters(), lr=settings.learning_rate)
    lessons: list[Lesson] = []
    losses = []
    of_a_round = min(settings.games, len(boards) * games_of(rules, 1))
    with (progress or Progress(quiet=True)).task(
        "agents' self-play", settings.rounds * of_a_round
    ) as task:
        for number in range(settings.rounds):
            every = start(boards, rules, pixels=judge.settings.pixels, seed=settings.seed + number)
            # By the size of the board: games that are searched together are of like width.
            drawn = rng.choice(len(every), of_a_round, replace=False)
            drawn = drawn[np.argsort(boards.count_N[every.image_G[drawn]], kind="stable")]
            for i in range(0, of_a_round, GAMES_AT_ONCE):
                games = every.part(drawn[i : i + GAMES_AT_ONCE])
                own_moves = agents if number else None
                lessons += _lessons(games, judge, own_moves, settings.search, rng)
                task.advance(len(games))
            for _ in range(settings.passes):
                loss = _one_pass(agents, lessons, optimizer, settings.batch, rng)
            losses.append(loss)
    agents.eval()
    return losses


def _lessons(
    games: Games,
    judge: Judge,
    agents: Agents | None,
    settings: SearchSettings,
    rng: np.random.Generator,
) -> list[Lesson]:
    """Plays games to their end, by the agents or by the search, and searches each position."""
    images, image_G = np.unique(games.image_G, return_inverse=True)
    local = Games(
        games.boards.part(images),
        image_G,
        games.lie_G,
        games.rules_G,
        games.liar_first_G,
        games.key_G,
        games.revealed_GD,
        games.pixels,
    )
    scorer = Scorer(judge, local.boards)
    lessons = []
    while local.left:
        found = search(local, scorer, settings)
        lessons.append(Lesson(local, (found.taken_GM / settings.rollouts).astype(np.float32)))
        local = local.after(found.moves_G if agents is None else agents.sample(local, rng))
    return lessons


def _one_pass(
    agents: Agents,
    lessons: Sequence[Lesson],
    optimizer: torch.optim.Optimizer,
    batch: int,
    rng: np.random.Generator,
) -> float:
    """The mean loss over all positions, in batches of positions of one depth, in random order."""
    batches = [
        (lesson, part)
        for lesson in lessons
        for part in np.array_split(
            rng.permutation(len(lesson.games)), -(-len(lesson.games) // batch)
        )
    ]
    total, positions = 0.0, 0
    for i in rng.permutation(len(batches)):
        lesson, part_B = batches[i]
        weights_BM = agents.weights(lesson.games.part(part_B))
        loss = nn.functional.cross_entropy(
            # A slot that can't be revealed has no share: any finite weight does for it.
            weights_BM.clamp(min=-1e4),
            torch.from_numpy(lesson.share_GM[part_B]),
        )
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()
        total += loss.item() * len(part_B)
        positions += len(part_B)
    return total / positions
