"""Agents that learn from search: what they see, what they may do, and that they get better."""

from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from toprope.errors import UserError
from toprope.techniques.debate.mnist import learning
from toprope.techniques.debate.mnist.agents import (
    Agents,
    AgentSettings,
    load_agents,
    seen_by_mover,
)
from toprope.techniques.debate.mnist.boards import Boards, boards_of
from toprope.techniques.debate.mnist.game import Rules, start
from toprope.techniques.debate.mnist.judge import Judge, JudgeSettings
from toprope.techniques.debate.mnist.learning import LearningSettings, train_agents
from toprope.techniques.debate.mnist.search import SearchSettings

from .conftest import random_digits


def test_the_mover_sees_the_image_who_revealed_what_and_both_claims() -> None:
    digits = random_digits(3, 4, 6)
    games = start(boards_of(digits, pixels=4), [Rules(liar_first=True)], pixels=4)
    games = games.after(np.full(len(games), 2)).after(np.full(len(games), 0))
    games = games.after(np.full(len(games), 1))  # honest to move; liar revealed 2 and 1

    seen_GX = seen_by_mover(games).numpy()

    places = np.flatnonzero(digits.images_NHW[2])
    row = int(np.flatnonzero((games.image_G == 2) & (games.lie_G == 7))[0])
    image, own, other = seen_GX[row, :48].reshape(3, 16)
    np.testing.assert_allclose(image * 255, digits.images_NHW[2].ravel(), atol=1e-4)
    assert np.flatnonzero(own).tolist() == [places[0]]
    assert np.flatnonzero(other).tolist() == sorted(places[[1, 2]])
    assert np.flatnonzero(seen_GX[row, 48:-1]).tolist() == [2, 11 + 7]
    assert seen_GX[row, -1] == 0.25


def test_agents_reveal_only_what_can_be_revealed() -> None:
    boards = boards_of(random_digits(4, 6, 5), pixels=4)
    games = start(boards, [Rules(), Rules(precommit=False)], pixels=4)
    agents = Agents(AgentSettings(side=6, hidden=8))
    rng = np.random.default_rng(0)

    while games.left:
        agents.sample(games, rng)
        games = games.after(agents.move(games))  # `after` refuses what isn't allowed


def test_agents_learn_the_winning_pixel_from_search(monkeypatch: pytest.MonkeyPatch) -> None:
    """The truth wins if the first pixel of the board is revealed: whoever moves last decides."""

    class FirstPixelWins:
        def __init__(self, _: Judge, boards: Boards) -> None:
            self.boards = boards

        def __call__(
            self, image_L: NDArray[np.int64], slots_LK: NDArray[np.int64]
        ) -> NDArray[np.uint16]:
            return np.where((slots_LK == 0).any(axis=1), 0, 1023).astype(np.uint16)

    monkeypatch.setattr(learning, "Scorer", FirstPixelWins)
    judge = Judge(JudgeSettings(kind="mlp", side=6, pixels=2, widths=(0, 4, 4)))
    rules = [Rules(precommit=False, liar_first=True)]
    boards = boards_of(random_digits(40, 6, 8), pixels=2)
    agents = Agents(AgentSettings(side=6, hidden=64))

    def finds_it() -> float:
        games = start(boards, rules, pixels=2)
        games = games.after(np.ones(len(games), dtype=np.int64))
        return float((agents.move(games) == 0).mean())

    before = finds_it()
    losses = train_agents(
        agents,
        boards,
        judge,
        rules,
        LearningSettings(
            rounds=2, games=40, search=SearchSettings(rollouts=60), passes=60, batch=40
        ),
    )

    assert before < 0.5
    assert finds_it() > 0.9
    assert len(losses) == 2


def test_agents_are_kept_in_a_folder(tmp_path: Path) -> None:
    agents = Agents(AgentSettings(side=4, hidden=3, seed=5))

    agents.save(tmp_path)

    kept = load_agents(tmp_path)
    assert kept.settings == agents.settings
    assert all(torch.equal(kept.state_dict()[n], t) for n, t in agents.state_dict().items())
    with pytest.raises(UserError, match=r"agents\.json is missing"):
        load_agents(tmp_path / "elsewhere")
