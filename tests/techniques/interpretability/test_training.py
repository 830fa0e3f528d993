"""Training: one pass for several dictionaries, resumed exactly, stopped with reasons."""

import json
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from toprope.errors import UserError
from toprope.techniques.interpretability.checkpoints import STATE, Checkpoint
from toprope.techniques.interpretability.dictionaries.dictionary import Dictionary, make
from toprope.techniques.interpretability.synthetic import flat, recovery
from toprope.techniques.interpretability.training import (
    LOG,
    TrainingSettings,
    rate,
    read_log,
    train,
)

from ...full_disk import full_disk

D, F, B = 16, 48, 64
KINDS = ("topk", "batch_topk", "matryoshka", "jumprelu", "archetypal")
SETTINGS = TrainingSettings(steps=20, log_every=5, checkpoint_every=6)


def several() -> dict[str, Dictionary]:
    own = {"archetypal": {"centroids": 16}}
    return {
        kind: make({"kind": kind, "width": F, "d_model": D, "active": 4, "dead_after": 200})
        if kind not in own
        else make({"kind": kind, "width": F, "d_model": D, "active": 4, **own[kind]})
        for kind in KINDS
    }


def batches(stop_at: int | None = None) -> Iterator[Tensor]:
    rng = torch.Generator().manual_seed(0)
    for step in range(SETTINGS.steps):
        if step == stop_at:
            raise KeyboardInterrupt
        yield torch.randn(B, D, generator=rng)


def weights(dictionaries: dict[str, Dictionary]) -> dict[str, Tensor]:
    return {
        f"{name}.{key}": tensor
        for name, dictionary in dictionaries.items()
        for key, tensor in dictionary.state_dict().items()
    }


def test_a_killed_training_comes_to_exactly_the_same_weights(tmp_path: Path) -> None:
    straight, broken, again = several(), several(), several()
    log = train(straight, batches(), SETTINGS, folder=tmp_path / "straight")
    with pytest.raises(KeyboardInterrupt):
        train(broken, batches(stop_at=15), SETTINGS, folder=tmp_path / "broken")
    resumed = train(again, batches(), SETTINGS, folder=tmp_path / "broken")

    for name, tensor in weights(straight).items():
        assert torch.equal(weights(again)[name], tensor), name
    assert not torch.equal(broken["topk"].decoder_FD, again["topk"].decoder_FD)
    assert resumed == log
    assert read_log(tmp_path / "broken" / LOG) == log
    assert [record.step for record in log if record.name == "topk"] == [5, 10, 15, 20]
    assert log[-1].tokens == 20 * B


def test_a_kill_while_a_checkpoint_is_written_leaves_the_last_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    straight, broken, again = several(), several(), several()
    log = train(straight, batches(), SETTINGS)
    flushed: list[int] = []
    a_checkpoint = 1 + len(KINDS) + 1  # the log, the tensors, the state

    def dies_at_the_second_checkpoint(file: int) -> None:
        flushed.append(file)
        if len(flushed) == a_checkpoint + 3:
            raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr("os.fsync", dies_at_the_second_checkpoint)
        with pytest.raises(KeyboardInterrupt):
            train(broken, batches(), SETTINGS, folder=tmp_path)
    (tmp_path / ".checkpoint-6-0.safetensors.1.partial").write_bytes(b"of a harder kill")
    resumed = train(again, batches(), SETTINGS, folder=tmp_path)

    assert resumed == log
    for name, tensor in weights(straight).items():
        assert torch.equal(weights(again)[name], tensor), name
    left = [path.name for path in tmp_path.iterdir() if "checkpoint-" in path.name]
    assert len(left) == len(KINDS)


def test_a_full_disk_is_an_os_error_and_the_last_checkpoint_stays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    straight, broken, again = several(), several(), several()
    log = train(straight, batches(), SETTINGS)
    with ExitStack() as disk:

        def fills_up() -> Iterator[Tensor]:
            for step, batch in enumerate(batches(), start=1):
                if step == 12:  # of which there is a checkpoint
                    disk.enter_context(full_disk(8192))
                yield batch

        with pytest.raises(OSError, match="too large") as error:
            train(broken, fills_up(), SETTINGS, folder=tmp_path)
    assert Path(error.value.filename).name.startswith("checkpoint-12-")
    assert json.loads((tmp_path / STATE).read_text())["step"] == 6
    assert train(again, batches(), SETTINGS, folder=tmp_path) == log
    assert torch.equal(straight["topk"].decoder_FD, again["topk"].decoder_FD)


def test_checkpoints_come_by_the_clock(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    now, kept = [0.0], []
    monkeypatch.setattr("time.monotonic", lambda: now[0])

    def slow() -> Iterator[Tensor]:
        for batch in batches():
            now[0] += 25
            yield batch

    settings = TrainingSettings(steps=20)
    keep = Checkpoint.keep
    monkeypatch.setattr(
        Checkpoint,
        "keep",
        lambda self, tensors, step, tokens: kept.append(step) or keep(self, tensors, step, tokens),
    )
    train({"topk": several()["topk"]}, slow(), settings, folder=tmp_path)

    assert settings.checkpoint_seconds == 60
    assert kept == [3, 6, 9, 12, 15, 18, 20]


def test_a_training_that_goes_on_asks_for_the_rest_alone(tmp_path: Path) -> None:
    asked: list[int] = []

    def after(skip: int) -> list[Tensor]:
        asked.append(skip)
        return list(batches())[skip:]

    straight, again = several(), several()
    log = train(straight, after, SETTINGS)
    with pytest.raises(KeyboardInterrupt):
        train(several(), batches(stop_at=15), SETTINGS, folder=tmp_path)
    assert train(again, after, SETTINGS, folder=tmp_path) == log

    assert asked == [0, 12]
    assert torch.equal(straight["topk"].decoder_FD, again["topk"].decoder_FD)
    with pytest.raises(UserError, match="ended after 20 of 30 steps"):
        train(several(), after, TrainingSettings(steps=30))


def test_a_finished_training_is_read_only(tmp_path: Path) -> None:
    first, second = several(), several()
    log = train(first, batches(), SETTINGS, folder=tmp_path)

    assert train(second, iter(()), SETTINGS, folder=tmp_path) == log
    assert torch.equal(first["topk"].decoder_FD, second["topk"].decoder_FD)


def test_dictionaries_dont_depend_on_what_is_trained_beside_them() -> None:
    together, alone = several(), {"topk": several()["topk"]}
    read = 0

    def counted() -> Iterator[Tensor]:
        nonlocal read
        for batch in batches():
            read += 1
            yield batch

    train(together, counted(), SETTINGS)
    train(alone, batches(), SETTINGS)

    assert read == SETTINGS.steps
    assert torch.equal(together["topk"].decoder_FD, alone["topk"].decoder_FD)


def test_the_log_says_what_the_dictionary_does() -> None:
    dictionaries = {"topk": several()["topk"]}
    *_, last = train(dictionaries, batches(), SETTINGS)

    assert last.dead == int(dictionaries["topk"].dead_F.sum())
    assert last.l0 == pytest.approx(4, abs=0.2)
    assert 0 < last.reconstruction < 1
    assert last.loss == pytest.approx(last.reconstruction + last.auxiliary / 32, rel=1e-5)


def test_a_transcoder_is_trained_on_pairs() -> None:
    pairs = [(batch, -batch) for batch in batches()]
    dictionary = make({"kind": "transcoder", "width": F, "d_model": D, "active": 8})
    log = train(
        {"layer 1 to 2": dictionary},
        pairs * 10,
        TrainingSettings(steps=200, learning_rate=0.01, log_every=1),
    )

    assert log[-1].reconstruction < 0.5 * log[0].reconstruction


def test_the_learning_rate_rises_stays_and_falls() -> None:
    settings = TrainingSettings(steps=100, warmup=0.1, decay=0.2)
    rates = [rate(step, settings) for step in range(1, 101)]

    assert rates[:10] == pytest.approx([i / 10 for i in range(1, 11)])
    assert rates[10:80] == [1.0] * 70
    assert rates[80:] == pytest.approx([i / 21 for i in range(20, 0, -1)])


def test_known_features_are_found() -> None:
    rng = np.random.default_rng(0)
    features = flat(24, D, 2, rng)
    dictionary = make({"kind": "topk", "width": 32, "d_model": D, "active": 3, "dead_after": 5000})
    train(
        {"topk": dictionary},
        features.batches(256, rng),
        TrainingSettings(steps=400, learning_rate=0.01),
    )

    assert recovery(dictionary, features).share(0.9) >= 0.9


def test_what_stops_a_training_is_said(tmp_path: Path) -> None:
    bad = torch.full((B, D), torch.nan)
    with pytest.raises(UserError, match="batch 1 holds activations that are infinite"):
        train(several(), [bad], SETTINGS)
    with pytest.raises(UserError, match=r"training 'topk' diverged at step 2.*lower learning_rate"):
        train(several(), batches(), TrainingSettings(steps=20, learning_rate=1e30, warmup=0))
    with pytest.raises(UserError, match="ended after 20 of 30 steps"):
        train(several(), batches(), TrainingSettings(steps=30))
    train(several(), batches(), SETTINGS, folder=tmp_path)
    with pytest.raises(UserError, match="holds a training with other settings"):
        train(several(), batches(), TrainingSettings(steps=21), folder=tmp_path)
    (tmp_path / "training.json").write_text("{")
    with pytest.raises(UserError, match="is damaged"):
        train(several(), batches(), SETTINGS, folder=tmp_path)
