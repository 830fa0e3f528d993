"""Over several processes the same dictionary is trained as in one, and saved as one."""

import errno
import json
import os
import time
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest
import torch
import torch.distributed as dist

from toprope.errors import UserError
from toprope.techniques.interpretability.checkpoints import STATE
from toprope.techniques.interpretability.dictionaries.batch_topk import BatchTopKSettings
from toprope.techniques.interpretability.dictionaries.dictionary import Origin, load
from toprope.techniques.interpretability.dictionaries.topk import TopK, TopKSettings
from toprope.techniques.interpretability.scale import shard
from toprope.techniques.interpretability.scale.sharded import WORK, Work, train_sharded
from toprope.techniques.interpretability.training import TrainingSettings, train

D, BATCH, STEPS = 12, 32, 20
# Latents die after three batches, so that AuxK is at work; 51 make unequal shards.
SETTINGS = TopKSettings(width=51, d_model=D, active=4, seed=3, dead_after=96, auxiliary_active=5)
TRAINING = TrainingSettings(steps=STEPS, log_every=1, learning_rate=3e-3, max_grad_norm=0.1)


@pytest.fixture(scope="module")
def x_ND() -> torch.Tensor:
    rng = torch.Generator().manual_seed(0)
    return torch.randn(BATCH * STEPS, D, generator=rng) @ torch.randn(D, D, generator=rng)


def after(x_ND: torch.Tensor, skip: int) -> Iterator[torch.Tensor]:
    return iter(x_ND[skip * BATCH :].split(BATCH))


def ends(skip: int) -> Iterator[torch.Tensor]:
    os._exit(3)


def timeless(x_ND: torch.Tensor, skip: int) -> Iterator[torch.Tensor]:
    """Of which the second process has a clock that stands still."""
    if dist.get_rank() == 1:
        time.monotonic = lambda: 0.0
    return after(x_ND, skip)


def full(skip: int) -> Iterator[torch.Tensor]:
    """What a write to a full disk raises."""
    raise OSError(errno.ENOSPC, "No space left on device", "it")


@pytest.fixture(scope="module")
def work(x_ND: torch.Tensor) -> Work:
    return Work(
        settings=SETTINGS,
        training=TRAINING,
        source=partial(after, x_ND),
        shards=2,
        rows=12,
        origin=Origin(model="tiny", layer=1),
        mean_D=torch.arange(D) * 1.0,
        scale_D=torch.full((D,), 2.0),
        timeout=60,
    )


def test_several_processes_train_what_one_trains(work: Work, x_ND: torch.Tensor, tmp_path: Path):
    alone = TopK(SETTINGS)
    expected = train({"dictionary": alone}, x_ND.split(BATCH), TRAINING)
    assert any(record.auxiliary > 0 for record in expected)
    assert any(record.dead for record in expected)

    log = train_sharded(work, tmp_path / "out")

    for found, true in zip(log, expected, strict=True):
        assert found.loss == pytest.approx(true.loss, rel=1e-5)
        assert found.auxiliary == pytest.approx(true.auxiliary, rel=1e-4, abs=1e-7)
        assert found.l0 == pytest.approx(true.l0)
        assert (found.step, found.tokens, found.dead) == (true.step, true.tokens, true.dead)
    whole = load(tmp_path / "out")
    assert isinstance(whole, TopK)
    assert whole.settings == SETTINGS
    assert whole.origin == Origin(model="tiny", layer=1, tokens=BATCH * STEPS)
    assert torch.equal(whole.mean_D, torch.arange(D) * 1.0)
    assert torch.equal(whole.scale_D, torch.full((D,), 2.0))
    assert torch.equal(whole.silent_F, alone.silent_F)
    for name, parameter in alone.named_parameters():
        torch.testing.assert_close(
            dict(whole.named_parameters())[name], parameter, rtol=1e-3, atol=1e-5
        )
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == [
        "dictionary.json",
        "log.jsonl",
        "weights.safetensors",
    ]


def test_first_weights_are_those_of_the_whole(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(shard, "ROWS", 16)
    settings = TopKSettings(width=83, d_model=7, active=2, seed=5)
    kept = shard.first_directions(settings, slice(30, 71))
    assert torch.equal(kept, TopK(settings).decoder_FD[30:71])


def test_groups_share_out_the_batch_and_a_second_start_goes_on(
    work: Work, x_ND: torch.Tensor, tmp_path: Path
):
    training = TRAINING.model_copy(update={"checkpoint_every": STEPS // 2})
    by_rows = replace(work, training=training, shards=1, groups=2)
    early = partial(after, x_ND[: -2 * BATCH])
    with pytest.raises(UserError, match=f"ended after {STEPS - 2} of {STEPS} steps"):
        train_sharded(replace(by_rows, source=early), tmp_path)

    later_ND = x_ND.clone()
    later_ND[: BATCH * STEPS // 2] = torch.nan  # what was trained on isn't asked for again
    later = partial(after, later_ND)
    log = train_sharded(replace(by_rows, source=later), tmp_path)

    expected = train({"dictionary": TopK(SETTINGS)}, x_ND.split(BATCH), TRAINING)
    for found, true in zip(log, expected, strict=True):
        assert found.loss == pytest.approx(true.loss, rel=1e-5)
        assert found.l0 == pytest.approx(true.l0)
        assert (found.step, found.tokens, found.dead) == (true.step, true.tokens, true.dead)


def test_checkpoints_by_the_clock_are_of_the_same_step(
    work: Work, x_ND: torch.Tensor, tmp_path: Path
):
    training = TRAINING.model_copy(update={"checkpoint_seconds": 1e-4})
    early = partial(timeless, x_ND[: -2 * BATCH])
    with pytest.raises(UserError, match=f"ended after {STEPS - 2} of {STEPS} steps"):
        train_sharded(replace(work, training=training, source=early), tmp_path)
    states = [json.loads(path.read_text()) for path in tmp_path.glob(f"{WORK}/*/{STATE}")]
    assert len(states) == 2
    assert states[0]["step"] == states[1]["step"] > 0


def test_a_full_disk_is_one_line(work: Work, tmp_path: Path):
    with pytest.raises(UserError, match=r"^it: No space left on device: make room, then train ag"):
        train_sharded(replace(work, source=full), tmp_path)


def test_a_process_that_is_killed_ends_all(work: Work, tmp_path: Path):
    with pytest.raises(UserError, match=r"process \d of 2 ended \(exit status 3\)"):
        train_sharded(replace(work, source=ends), tmp_path)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"settings": BatchTopKSettings(width=51, d_model=D)}, "only 'topk' can"),
        ({"shards": 20}, "fewer than the 4 active ones"),
        ({"shards": 0}, "one or more"),
    ],
)
def test_it_refuses_before_it_starts(work: Work, tmp_path: Path, change: dict, message: str):
    with pytest.raises(UserError, match=message):
        train_sharded(replace(work, **change), tmp_path)
    assert not list(tmp_path.iterdir())


def test_a_folder_that_has_a_dictionary_stays_as_it_is(work: Work, tmp_path: Path):
    TopK(SETTINGS).save(tmp_path)
    with pytest.raises(UserError, match="holds a dictionary"):
        train_sharded(work, tmp_path)
