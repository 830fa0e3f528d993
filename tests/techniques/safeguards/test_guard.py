"""Exchanges of a run, their features, and a guard on them that is kept and checked."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from toprope.errors import UserError
from toprope.models.local import LocalModel
from toprope.techniques.safeguards.exchanges import Exchange, fingerprint, from_run, read, unique
from toprope.techniques.safeguards.guard import About, Guard, load_guard
from toprope.techniques.safeguards.streaming import WINDOW, fit


def exchange(answer: str, label: float = 0.0, ask: str = "A weaker partner") -> Exchange:
    return Exchange(({"role": "user", "content": ask},), answer, label, "run", "g")


def attempts(folder: Path, *rows: dict) -> Path:
    path = folder / "artifacts" / "redteam" / "x" / "attempts.jsonl"
    path.parent.mkdir(parents=True)
    usual = {"behaviour": "b", "family": "fiction", "outcome": "judged", "score": 0.8}
    usual |= {"messages": [{"role": "user", "content": "hi"}], "response": "Sure"}
    path.write_text("".join(json.dumps(usual | row) + "\n" for row in rows))
    return folder


def test_a_runs_judged_attempts_are_exchanges_each_once(tmp_path):
    rows = ({}, {}, {"response": "No", "score": 0.0}, {"outcome": "empty", "score": None})
    found = from_run(attempts(tmp_path, *rows))
    assert [(one.answer, one.label) for one in found] == [("Sure", 0.8), ("No", 0.0)]
    assert {(one.group, one.family, one.origin) for one in found} == {
        ("b", "fiction", str(tmp_path))
    }
    with pytest.raises(UserError, match="has a red-teaming study finished"):
        from_run(tmp_path / "nowhere")


def test_a_fingerprint_is_of_words_and_labels_whatever_the_order():
    one, other = exchange("a", 0.2), exchange("b", 0.4)
    assert fingerprint([one, other]) == fingerprint([other, one])
    assert fingerprint([one]) != fingerprint([replace(one, label=0.3)])
    assert unique(iter([one, replace(one, origin="later")])) == [one]


@pytest.fixture
def tiny(tiny_folder: Path) -> LocalModel:
    return LocalModel.load(str(tiny_folder), device="cpu")


def test_features_are_the_answers_and_what_fills_the_first_window(tiny: LocalModel):
    texts = ["keeps a stronger climber", "no"]
    [long, short] = read(tiny, [exchange(text) for text in texts], [2, 4])
    for text, x_TF in zip(texts, (long, short), strict=True):
        prompt = list(exchange(text).messages)
        answered = len(tiny.tokens(prompt, prefill=text)) - len(tiny.tokens(prompt))
        assert x_TF.shape == (WINDOW + answered, 2 * tiny.d_model)
    # The same words in the same place have the same features, whatever follows.
    assert np.allclose(long[:WINDOW], short[:WINDOW], atol=1e-4)


@pytest.fixture
def guard(tiny: LocalModel) -> Guard:
    exchanges = [exchange("keeps a stronger climber", 1.0), exchange("no"), exchange("Paris")]
    features = read(tiny, exchanges, [2, 4])
    head = fit(features, np.array([1.0, 0, 0]), rng=np.random.default_rng(0), epochs=60)
    about = About(tiny.name, tiny.fingerprint, (2, 4), 0.5, 0.001, fingerprint(exchanges))
    return Guard(about, head)


def test_a_guard_is_kept_and_stops_what_it_stopped(guard: Guard, tiny: LocalModel, tmp_path):
    guard.save(tmp_path)
    found = load_guard(tmp_path)
    assert found.about == guard.about
    found.check(tiny)
    [bad, good] = read(tiny, [exchange("keeps a stronger climber"), exchange("no")], [2, 4])
    assert found.stops_at(bad) is not None
    assert found.stops_at(bad) == guard.stops_at(bad)
    assert found.stops_at(good) is None
    assert (found.head.scores(bad) == guard.head.scores(bad)).all()


def test_a_guard_of_other_weights_or_layers_is_refused(guard: Guard, tiny: LocalModel):
    with pytest.raises(UserError, match="has other weights"):
        replace(guard, about=replace(guard.about, weights="x")).check(tiny)
    with pytest.raises(UserError, match=r"reads layers 2, 9 .* has 4 layers of 32"):
        replace(guard, about=replace(guard.about, layers=(2, 9))).check(tiny)


def _cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:40])


@pytest.mark.parametrize(
    ("spoil", "complaint"),
    [
        (lambda f: (f / "guard.json").unlink(), "guard.json is missing"),
        (lambda f: (f / "head.safetensors").unlink(), "head.safetensors is missing"),
        (lambda f: _cut(f / "guard.json"), "damaged"),
        (lambda f: _cut(f / "head.safetensors"), "damaged"),
        (lambda f: (f / "guard.json").write_text('{"model": "x"}'), "damaged"),
    ],
)
def test_a_damaged_guard_is_told_in_a_line(guard: Guard, tmp_path, spoil, complaint):
    guard.save(tmp_path)
    spoil(tmp_path)
    with pytest.raises(UserError, match=complaint) as caught:
        load_guard(tmp_path)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("broken", [{"bias": float("nan")}, {"scale_F": np.zeros(64)}])
def test_a_guard_that_could_never_stop_anything_is_damaged(guard: Guard, tmp_path, broken):
    replace(guard, head=replace(guard.head, **broken)).save(tmp_path)
    with pytest.raises(UserError, match="damaged"):
        load_guard(tmp_path)


def test_a_guard_of_a_later_format_is_refused(guard: Guard, tmp_path):
    replace(guard, about=replace(guard.about, format=2)).save(tmp_path)
    with pytest.raises(UserError, match="format 2"):
        load_guard(tmp_path)
