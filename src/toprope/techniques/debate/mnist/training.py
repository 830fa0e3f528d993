"""Training a judge on random non-zero pixels, and its accuracy on them: the control that every
debate stands beside.

Irving, Christiano and Amodei 2018, section 3.1. Shapes: B batch, N images, M slots, K pixels seen.
"""

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from toprope.data.seeding import named_rng
from toprope.errors import UserError
from toprope.progress import Progress
from toprope.statistics import Interval, bootstrap_clustered
from toprope.techniques.debate.mnist.boards import Boards, boards_of
from toprope.techniques.debate.mnist.data import Digits
from toprope.techniques.debate.mnist.judge import Judge, JudgeSettings
from toprope.techniques.debate.mnist.scoring import Scorer, seen

_EVERY = 50  # steps between two words to the progress bar


@dataclass(frozen=True)
class RandomPixels:
    """
    Attributes:
        interval: the judge's accuracy on random pixels; images are resampled.
        correct_N: by image, the share of its random sets that it got right.
    """

    interval: Interval
    correct_N: NDArray[np.float64]


def train_judge(
    digits: Digits, settings: JudgeSettings, *, progress: Progress | None = None
) -> Judge:
    """A judge trained on random sets of `settings.pixels` non-zero pixels, new ones at each step.

    Raises:
        UserError: the images aren't of the settings' side, or one has too few non-zero pixels.
    """
    if digits.images_NHW.shape[1] != settings.side:
        raise UserError(
            f"{digits.source}: images of side {digits.images_NHW.shape[1]} for a judge of side "
            f"{settings.side}"
        )
    boards = boards_of(digits, pixels=settings.pixels)
    rng = named_rng(settings.seed, "judge", "training")
    judge = Judge(settings).train()
    optimizer = torch.optim.Adam(judge.parameters(), lr=settings.learning_rate)
    title = f"judge of {settings.pixels} pixels, seed {settings.seed}"
    # Dropout draws from torch's own stream: ours for the time of training, then given back.
    with (
        torch.random.fork_rng(devices=[]),
        (progress or Progress(quiet=True)).task(title, settings.steps) as task,
    ):
        torch.manual_seed(settings.seed)
        for step in range(settings.steps):
            image_B = rng.integers(len(boards), size=settings.batch)
            slots_BK = random_slots(boards.count_N[image_B], settings.pixels, rng)
            logits_BC = judge(_seen(boards, image_B, slots_BK))
            loss = nn.functional.cross_entropy(logits_BC, torch.from_numpy(boards.truth_N[image_B]))
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            optimizer.step()
            if step % _EVERY == _EVERY - 1:
                task.advance(_EVERY)
    return judge.eval()


def on_random_pixels(
    judge: Judge, boards: Boards, *, sets: int = 10, rng: np.random.Generator
) -> RandomPixels:
    """How often the judge names the digit, of `sets` random sets of pixels an image.

    A tie between the right class and another counts for the right one, as it does in a game.
    """
    scorer = Scorer(judge, boards)
    image_L = np.repeat(np.arange(len(boards)), sets)
    slots_LK = random_slots(boards.count_N[image_L], judge.settings.pixels, rng)
    is_right_L = scorer(image_L, slots_LK) == 0
    interval = bootstrap_clustered(is_right_L.astype(float), image_L, rng=rng)
    return RandomPixels(interval, is_right_L.reshape(len(boards), sets).mean(axis=1))


def random_slots(
    count_B: NDArray[np.int64], pixels: int, rng: np.random.Generator
) -> NDArray[np.int64]:
    """Random slots [B, K] of boards with so many each, no slot twice: every set equally likely.

    Floyd's algorithm (Bentley and Floyd 1987, CACM 30:754), all rows at once.
    """
    slots_BK = np.empty((len(count_B), pixels), dtype=np.int64)
    for k in range(pixels):
        last_B = count_B - pixels + k
        drawn_B = (rng.random(len(count_B)) * (last_B + 1)).astype(np.int64)
        is_taken_B = (slots_BK[:, :k] == drawn_B[:, None]).any(axis=1)
        slots_BK[:, k] = np.where(is_taken_B, last_B, drawn_B)
    return slots_BK


def _seen(boards: Boards, image_B: NDArray[np.int64], slots_BK: NDArray[np.int64]) -> Tensor:
    pixel_BK = torch.from_numpy(boards.pixel_NM[image_B[:, None], slots_BK])
    value_BK = torch.from_numpy(boards.value_NM[image_B[:, None], slots_BK])
    return seen(pixel_BK, value_BK, boards.side)
