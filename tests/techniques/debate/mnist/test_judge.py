"""The judge, its training, and that the quick way to its verdicts is the net's own."""

from pathlib import Path

import numpy as np
import pytest
import torch

from toprope.errors import UserError
from toprope.techniques.debate.mnist.boards import boards_of
from toprope.techniques.debate.mnist.data import Digits
from toprope.techniques.debate.mnist.judge import Judge, JudgeSettings, Kind, load_judge
from toprope.techniques.debate.mnist.scoring import Scorer
from toprope.techniques.debate.mnist.training import on_random_pixels, random_slots, train_judge

from .conftest import random_digits

KINDS: tuple[Kind, ...] = ("cnn", "strided", "mlp")


def _small(kind: Kind, **more: int) -> JudgeSettings:
    fields = {"pixels": 4, "side": 12, "widths": (4, 8, 16), "learning_rate": 3e-3} | more
    return JudgeSettings.model_validate({"kind": kind, **fields})


@pytest.mark.parametrize("kind", KINDS)
def test_verdicts_are_those_of_the_net_on_images_of_the_revealed_pixels(kind: Kind) -> None:
    digits = random_digits(6, 12, 20)
    judge = Judge(_small(kind)).eval()
    boards = boards_of(digits, pixels=4)
    image_L = np.repeat(np.arange(6), 5)
    slots_LK = random_slots(boards.count_N[image_L], 4, np.random.default_rng(0))
    seen_L2SS = np.zeros((30, 2, 12, 12), dtype=np.float32)
    for row, (image, slots_K) in enumerate(zip(image_L, slots_LK, strict=True)):
        for slot in slots_K:
            r, c = divmod(int(np.flatnonzero(digits.images_NHW[image])[slot]), 12)
            seen_L2SS[row, :, r, c] = digits.images_NHW[image, r, c] / 255, 1

    scorer = Scorer(judge, boards)

    with torch.inference_mode():
        logits_LC = judge(torch.from_numpy(seen_L2SS)).numpy()
    np.testing.assert_allclose(scorer.logits(image_L, slots_LK), logits_LC, atol=2e-6)
    for image, verdict, logits_C in zip(image_L, scorer(image_L, slots_LK), logits_LC, strict=True):
        truth = digits.labels_N[image]
        bits = [bool(verdict >> c & 1) for c in range(10)]
        assert bits == [bool(logit > logits_C[truth]) for logit in logits_C]


@pytest.mark.parametrize("kind", KINDS)
def test_a_judge_learns_from_random_pixels(banded: Digits, kind: Kind) -> None:
    train, test = banded.part(np.arange(200)), banded.part(np.arange(200, 300))

    judge = train_judge(train, _small(kind, steps=250))

    boards = boards_of(test, pixels=4)
    accuracy = on_random_pixels(judge, boards, rng=np.random.default_rng(0))
    assert accuracy.interval.low > 0.5  # chance is 1 in 6
    assert accuracy.interval.value == pytest.approx(accuracy.correct_N.mean())
    assert accuracy.interval.n == 100


def test_training_is_settled_by_its_seed(banded: Digits) -> None:
    first, again, other = (
        train_judge(banded, _small("cnn", steps=3, seed=seed)).state_dict() for seed in (1, 1, 2)
    )

    assert all(torch.equal(first[name], again[name]) for name in first)
    assert not all(torch.equal(first[name], other[name]) for name in first)


def test_random_slots_are_distinct_and_every_set_is_equally_likely() -> None:
    slots_BK = random_slots(np.full(20_000, 5), 3, np.random.default_rng(0))

    sets, counts = np.unique(np.sort(slots_BK, axis=1), axis=0, return_counts=True)
    assert len(sets) == 10  # 5 choose 3, none with a slot twice
    assert abs(counts - 2000).max() < 5 * np.sqrt(2000 * 0.9)


def test_a_judge_is_kept_in_a_folder(tmp_path: Path) -> None:
    judge = Judge(_small("cnn"))

    judge.save(tmp_path)

    kept = load_judge(tmp_path)
    assert kept.settings == judge.settings
    assert all(torch.equal(kept.state_dict()[n], t) for n, t in judge.state_dict().items())
    (tmp_path / "judge.safetensors").write_bytes(b"no")
    with pytest.raises(UserError, match="damaged"):
        load_judge(tmp_path)
    with pytest.raises(UserError, match=r"judge\.json is missing"):
        load_judge(tmp_path / "elsewhere")


def test_a_judge_of_another_size_is_refused(banded: Digits) -> None:
    with pytest.raises(UserError, match="images of side 12 for a judge of side 28"):
        train_judge(banded, JudgeSettings())
    with pytest.raises(UserError, match="multiple of 4"):
        Judge(JudgeSettings(side=10))
