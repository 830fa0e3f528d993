"""Trained agents: one small network for both sides, that reveals a pixel at a glance.

Irving, Christiano and Amodei 2018 play by search alone; section 3.1 leaves trained agents out. Here
the network sees what an agent sees: the whole image, who revealed what, both claims and how many
pixels are left; it gives each unrevealed pixel a weight. `learning` trains it on search results.

Shapes: G games, M slots, S side.
"""

from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor, nn

from toprope.techniques.debate.mnist import kept
from toprope.techniques.debate.mnist.data import CLASSES
from toprope.techniques.debate.mnist.game import ANY_LIE, Games
from toprope.techniques.debate.mnist.scoring import Verdicts

_CLAIMS = CLASSES + 1  # the last: whatever the judge will think likeliest
_AT_ONCE = 4096


class AgentSettings(BaseModel):
    """
    Attributes:
        hidden: units of each of two hidden layers.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    side: int = Field(default=28, ge=1)
    hidden: int = Field(default=512, ge=1)
    seed: int = 0


class Agents(nn.Module):
    """Both debaters. What they see is told from the side of whoever moves."""

    def __init__(self, settings: AgentSettings) -> None:
        super().__init__()
        self.settings = settings
        inputs = 3 * settings.side**2 + 2 * _CLAIMS + 1
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(settings.seed)
            self.layers = nn.Sequential(
                nn.Linear(inputs, settings.hidden),
                nn.ReLU(),
                nn.Linear(settings.hidden, settings.hidden),
                nn.ReLU(),
                nn.Linear(settings.hidden, settings.side**2),
            )

    def weights(self, games: Games) -> Tensor:
        """The logits [G, M] of each slot; -inf where it is revealed or isn't there."""
        by_pixel_GP = self.layers(seen_by_mover(games))
        pixel_GM = torch.from_numpy(games.boards.pixel_NM[games.image_G])
        return by_pixel_GP.gather(1, pixel_GM).masked_fill(
            ~torch.from_numpy(can_be_revealed(games)), -torch.inf
        )

    @torch.inference_mode()
    def move(self, games: Games, _: Verdicts | None = None) -> NDArray[np.int64]:
        """The slots with the highest weights (a `playing.Mover`)."""
        return np.concatenate([self.weights(part).argmax(dim=1).numpy() for part in _parts(games)])

    @torch.inference_mode()
    def sample(self, games: Games, rng: np.random.Generator) -> NDArray[np.int64]:
        """Slots drawn by their weights."""
        drawn = []
        for part in _parts(games):
            weights_GM = self.weights(part).numpy()
            # Gumbel's trick: the highest of logits with such noise is a draw from their softmax.
            noise_GM = rng.gumbel(size=weights_GM.shape).astype(np.float32)
            drawn.append((weights_GM + noise_GM).argmax(axis=1))
        return np.concatenate(drawn)

    def save(self, folder: Path) -> None:
        """Writes agents.safetensors and agents.json, the latter last.

        Raises:
            OSError: they can't be written.
        """
        kept.save(self, self.settings, folder, "agents")


def load_agents(folder: Path) -> Agents:
    """The agents that `save` wrote.

    Raises:
        UserError: the folder holds none, or damaged ones.
    """

    def make(about: Any) -> Agents:
        return Agents(AgentSettings.model_validate(about))

    return kept.load(make, folder, "agents", "are")


def seen_by_mover(games: Games) -> Tensor:
    """What the agent sees whose move it is: the image, what it revealed, what the other revealed
    (flattened), its claim, the other's, and the share of pixels that is left."""
    boards, depth = games.boards, games.revealed_GD.shape[1]
    G, P = len(games), boards.side**2
    seen = np.zeros((G, 3 * P + 2 * _CLAIMS + 1), dtype=np.float32)
    rows_G1 = np.arange(G)[:, None]
    # Slots that aren't there all stand at pixel 0 with value 0, so they are added, not set.
    np.add.at(seen, (rows_G1, boards.pixel_NM[games.image_G]), boards.value_NM[games.image_G])
    for d in range(depth):
        pixel_G = boards.pixel_NM[games.image_G, games.revealed_GD[:, d]]
        seen[np.arange(G), pixel_G + (P if (depth - d) % 2 == 0 else 2 * P)] = 1
    truth_G = boards.truth_N[games.image_G]
    lie_G = np.where(games.lie_G == ANY_LIE, CLASSES, games.lie_G)
    honest_G = games.honest_moves_at(depth)
    seen[np.arange(G), 3 * P + np.where(honest_G, truth_G, lie_G)] = 1
    seen[np.arange(G), 3 * P + _CLAIMS + np.where(honest_G, lie_G, truth_G)] = 1
    seen[:, -1] = games.left / games.pixels
    return torch.from_numpy(seen)


def can_be_revealed(games: Games) -> NDArray[np.bool_]:
    """bool [G, M]: which slots are there and aren't revealed."""
    width = games.boards.pixel_NM.shape[1]
    free_GM = np.arange(width) < games.count_G[:, None]
    free_GM[np.arange(len(games))[:, None], games.revealed_GD] = False
    return free_GM


def _parts(games: Games) -> list[Games]:
    return [
        games.part(np.arange(i, min(i + _AT_ONCE, len(games))))
        for i in range(0, len(games), _AT_ONCE)
    ]
