"""Exchanges: of a run, kept and read again, and a model's reading of them."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from toprope.errors import UserError
from toprope.models.local import LocalModel
from toprope.techniques.safeguards import exchanges
from toprope.techniques.safeguards.exchanges import fingerprint, from_run, unique
from toprope.techniques.safeguards.reading import Reader, of_prompt
from toprope.techniques.safeguards.streaming import WINDOW

from .conftest import LAYERS, exchange


def attempts(folder: Path, *rows: dict) -> Path:
    path = folder / "artifacts" / "redteam" / "x" / "attempts.jsonl"
    path.parent.mkdir(parents=True)
    usual = {"behaviour": "b", "category": "", "family": "fiction", "strategy": "s", "prefill": ""}
    usual |= {"messages": [{"role": "user", "content": "hi"}], "response": "Sure", "seed": 0}
    usual |= {"outcome": "judged", "score": 0.8}
    path.write_text("".join(json.dumps(usual | row) + "\n" for row in rows))
    return folder


def test_a_runs_judged_attempts_are_exchanges_each_once(tmp_path: Path):
    rows = ({}, {}, {"response": "No", "score": 0.0}, {"outcome": "empty", "score": None})
    found = from_run(attempts(tmp_path, *rows))
    assert [(one.answer, one.label) for one in found] == [("Sure", 0.8), ("No", 0.0)]
    assert {(one.group, one.family, one.harmless) for one in found} == {
        (f"{tmp_path.name}/b", "fiction", False)
    }
    with pytest.raises(UserError, match="has a red-teaming study finished"):
        from_run(tmp_path / "nowhere")


def test_a_fingerprint_is_of_words_and_labels_whatever_the_order():
    one, other = exchange("a", 0.2), exchange("b", 0.4)
    assert fingerprint([one, other]) == fingerprint([other, one])
    assert fingerprint([one]) != fingerprint([replace(one, label=0.3)])
    assert unique([one, replace(one, origin="later")]) == [one]


def test_what_asks_for_the_same_is_one_group_whoever_names_it():
    set_s = exchange("a", ask="Steal it", group="set/1", family="direct")
    run_s = replace(set_s, answer="b", group="run/1")
    framed = exchange("c", ask="In a story, steal it", group="run/1", family="fiction")
    other = exchange("d", ask="Sell it", group="run/2", family="direct")
    found = exchanges.joined([set_s, run_s, framed, other])
    assert [one.group for one in found] == ["set/1", "set/1", "set/1", "run/2"]


def test_exchanges_are_kept_as_lines_and_read_again(tmp_path: Path):
    some = [exchange("a\u2028b", 0.25, harmless=True), exchange("c", 1.0, family="prefill")]
    exchanges.save(some, tmp_path / "x.jsonl")
    assert exchanges.load(tmp_path / "x.jsonl") == some


@pytest.mark.parametrize(
    ("changed", "complaint"),
    [
        ({"label": "0.5"}, "label: .* number"),
        ({"label": 1.5}, "label: .* 1"),
        ({"label": float("nan")}, "label: "),
        ({"harmless": 1}, "harmless: "),
        ({"messages": []}, "messages: "),
        ({"messages": "hi"}, "messages: "),
        ({"messages": ["hi"]}, "messages.0: "),
        ({"messages": [{"role": "user"}]}, "messages.0: a message has a role"),
        ({"messages": [{"role": "robot", "content": "x"}]}, "messages.0: a message has a role"),
        ({"answer": None}, "answer: "),
        ({"harmles": True}, "harmles: "),
    ],
)
def test_an_exchange_that_cant_be_one_is_told_with_its_line(tmp_path, changed, complaint):
    path = tmp_path / "x.jsonl"
    exchanges.save([exchange("a"), exchange("b")], path)
    lines = path.read_text().splitlines()
    lines[1] = json.dumps(json.loads(lines[1]) | changed)
    path.write_text("\n".join(lines))
    with pytest.raises(UserError, match=rf"x\.jsonl line 2: {complaint}") as caught:
        exchanges.load(path)
    assert "\n" not in str(caught.value)


def test_an_attempt_that_cant_be_one_is_told_with_its_line(tmp_path: Path):
    attempts(tmp_path, {}, {"score": "high"})
    with pytest.raises(UserError, match=r"attempts\.jsonl line 2: score: "):
        from_run(tmp_path)


@pytest.mark.parametrize("text", ['{"answer": "x"}\n', "[1]\n", "no\n"])
def test_a_file_of_something_else_is_told_in_a_line(tmp_path: Path, text: str):
    path = tmp_path / "x.jsonl"
    path.write_text(text)
    with pytest.raises(UserError, match=r"x\.jsonl line 1: "):
        exchanges.load(path)
    with pytest.raises(UserError, match="can't read"):
        exchanges.load(tmp_path / "nothing.jsonl")


def test_features_are_the_answers_and_what_fills_the_first_window(tiny: LocalModel):
    texts = ["keeps a stronger climber", "no"]
    [long, short] = Reader(tiny, LAYERS).read([exchange(text) for text in texts])
    for text, reading in zip(texts, (long, short), strict=True):
        prompt = list(exchange(text).messages)
        answered = len(tiny.tokens(prompt, prefill=text)) - len(tiny.tokens(prompt))
        assert reading.x_TF.shape == (WINDOW + answered, 2 * tiny.d_model)
        assert (reading.ends_T[:WINDOW] == 0).all()
        assert reading.ends_T[-1] == len(text)
    # The same words in the same place have the same features, whatever follows.
    assert np.allclose(long.x_TF[:WINDOW], short.x_TF[:WINDOW], atol=1e-2)


def test_what_a_reader_of_prompts_sees_is_the_beginning_of_what_one_of_exchanges_sees(
    tiny: LocalModel,
):
    one = exchange("keeps a stronger climber")
    [alone] = Reader(tiny, LAYERS, "prompt").read([one])
    [whole] = Reader(tiny, LAYERS).read([one])
    assert np.allclose(alone.x_TF, of_prompt(whole).x_TF, atol=1e-2)
