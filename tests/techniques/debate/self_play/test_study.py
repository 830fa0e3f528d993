"""The study from end to end on a tiny model, resumed, and what it says of bad input."""

import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from toprope.errors import UserError
from toprope.evidence import Evidence
from toprope.lab import Lab
from toprope.models.adapters import Adapter
from toprope.models.local import LocalModel
from toprope.study import make_study
from toprope.techniques.debate import kept
from toprope.techniques.debate.self_play import loop
from toprope.techniques.debate.transcript import Transcript

Run = Callable[..., list[Evidence]]

PLACES = ("Kelm", "Dorn", "Ault", "Vire", "Lohm", "Sarn", "Tull", "Wend")
QUICK: dict[str, Any] = {
    "iterations": 2,
    "drafts": 4,
    "margin": 0.0,
    "max_tokens": 64,
    "rank": 4,
    "batch_size": 4,
    "epochs": 2,
    "learning_rate": 1e-3,
    "resamples": 1000,
}
STAGES = [
    *("blind", "expert", "debate", "consultancy"),
    *("debate_trained_1", "consultancy_trained_1", "debate_trained_2", "consultancy_trained_2"),
]


def towers(path: Path, more: str = "") -> str:
    """The name of eight questions on eight passages, written there.

    Args:
        more: sentences at each passage's end.
    """
    rows = [
        {
            "passage": f"The tower of {place} was built in {1800 + i}.{more}",
            "question": f"When was the tower of {place} built?",
            "options": [f"In {1800 + i + 9 * (i % 2)}", f"In {1809 + i - 9 * (i % 2)}"],
            "answer": f"In {1800 + i}",
        }
        for i, place in enumerate(PLACES)
    ]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return f"file:{path}?passage=passage&options=options"


@pytest.fixture(scope="module")
def questions(tmp_path_factory: pytest.TempPathFactory) -> str:
    return towers(tmp_path_factory.mktemp("questions") / "towers.jsonl")


@pytest.fixture(scope="module")
def run(roomy_folder: Path, questions: str) -> Run:
    def start(folder: Path, **settings: Any) -> list[Evidence]:
        model = str(roomy_folder)
        fields = {"overseer": model, "target": model, "questions": questions, **QUICK, **settings}
        return list(make_study("self_play", fields).run(Lab(folder, device="cpu")))

    return start


@pytest.fixture(scope="module")
def done(run: Run, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[Evidence]]:
    """A run's folder, and its evidence."""
    folder = tmp_path_factory.mktemp("run")
    return folder, run(folder)


def summary_of(run_folder: Path) -> tuple[Path, dict[str, Any]]:
    [path] = run_folder.glob(f"artifacts/self_play/*/{kept.SUMMARY}")
    return path.parent, json.loads(path.read_text())


def told(evidence: list[Evidence]) -> list[dict[str, Any]]:
    """All but what it took."""
    return [row.model_dump(exclude={"cost"}) for row in evidence]


def test_every_stage_ends_as_evidence(done):
    rows = {(row.arm, row.metric): row for row in done[1]}
    assert [row.arm for row in done[1] if row.metric == "accuracy"] == STAGES
    assert len(rows) == len(done[1])
    for stage in STAGES[4:]:
        protocol = stage.partition("_")[0]
        accuracy, gain = rows[stage, "accuracy"], rows[stage, "accuracy_gain"]
        before = rows[protocol, "accuracy"].value
        assert (accuracy.role, gain.role) == ("result", "result")
        assert accuracy.controls["untrained"] == pytest.approx(before)
        assert gain.value == pytest.approx(accuracy.value - before)
        assert ("80% power" in gain.notes) or ("power isn't known" in gain.notes)
        assert rows[stage, "pair_rate"].cost.tokens > 0
    assert rows["debate_trained_1", "accuracy_gain"].baseline == 0.04
    assert ("debate_trained_1", "win_rate_over_untrained") in rows
    assert ("consultancy_trained_1", "persuasiveness_change") in rows
    last = [rows[stage, "accuracy_gain"].value for stage in STAGES[-2:]]
    assert rows["headline", "accuracy_gain"].value == last[0]
    headline = rows["headline", "accuracy_gain_over_consultancy"]
    assert headline.value == pytest.approx(last[0] - last[1])
    assert headline.role == "result"


def test_what_is_left_is_what_the_rows_say(done, roomy_folder: Path):
    folder, summary = summary_of(done[0])
    assert [*summary["lessons"]] == STAGES[4:]
    games: dict[str, list[Transcript]] = {
        name: list(kept.load(folder / "transcripts" / f"{name}.jsonl"))
        for name in summary["transcripts"]
    }
    assert {"debate_trained_1_duel", *STAGES} <= set(games)
    test = {one.question.id for one in games["debate"]}
    assert (len(test), summary["test"], summary["training"]) == (4, 4, 4)
    base = LocalModel.load(str(roomy_folder), device="cpu")
    for number in (1, 2):
        taught = [summary["lessons"][f"{of}_trained_{number}"] for of in ("debate", "consultancy")]
        assert taught[0]["pairs"] == taught[1]["pairs"] > 0
    for name, lesson in summary["lessons"].items():
        lines = (folder / "pairs" / f"{name}.jsonl").read_text().splitlines()
        pairs = [json.loads(line) for line in lines]
        assert len(pairs) == lesson["pairs"]
        assert not {pair["question"] for pair in pairs} & test
        assert all(pair["ratings"][0] > pair["ratings"][1] for pair in pairs)
        protocol = name.partition("_")[0]
        assert {pair["speaker"][:7] for pair in pairs} == {
            {"debate": "Debater", "consultancy": "Consult"}[protocol]
        }
        Adapter.load(base, folder / lesson["adapter"])
        assert len(lesson["losses"]) > 0
    words = [[turn.text for one in games[name] for turn in one.turns] for name in STAGES[2::2]]
    assert words[0] != words[1] != words[2]  # the adapters are played with
    by = {turn.by for one in games["debate_trained_1_duel"] for turn in one.turns}
    assert by == {loop.TRAINED, loop.UNTRAINED}


def test_a_second_start_does_only_what_is_missing(
    done, run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    whole, evidence = done
    shutil.copytree(whole, tmp_path / "run")
    folder, summary = summary_of(tmp_path / "run")
    journal = (folder / "journal.jsonl").read_text().splitlines()
    trained = []

    def train(base, pairs, *args, begin, **more):
        trained.append((len(pairs), begin is not None))
        return actual(base, pairs, *args, begin=begin, **more)

    actual = loop.finetune_preferences
    monkeypatch.setattr(loop, "finetune_preferences", train)
    assert told(run(tmp_path / "run")) == told(evidence)
    assert trained == []
    last = summary["lessons"]["debate_trained_2"]
    shutil.rmtree(folder / last["adapter"])
    assert told(run(tmp_path / "run")) == told(evidence)
    assert trained == [(last["pairs"], True)]
    again = (folder / "journal.jsonl").read_text().splitlines()
    assert [line for line in again if "finished" not in line] == journal[:-1]
    # Another training plays on from the same games of the untrained.
    run(tmp_path / "run", iterations=1, beta=0.5, duels=False)
    assert [begun for _, begun in trained[1:]] == [False, False]
    names = sorted(path.stem for path in (folder / "pairs").iterdir())
    assert names == ["consultancy_trained_1", "debate_trained_1"]


def test_one_more_draft_of_each_turn_may_be_a_quote(run: Run, tmp_path: Path):
    evidence = run(tmp_path, iterations=1, quotes=1, duels=False)
    rated = {one.arm: one.value for one in evidence if one.metric == "pair_quoted_rate"}
    assert rated.keys() == {"debate_trained_1", "consultancy_trained_1"}
    folder, _ = summary_of(tmp_path)
    for arm, rate in rated.items():
        lines = (folder / "pairs" / f"{arm}.jsonl").read_text().splitlines()
        pairs = [json.loads(line) for line in lines]
        quotes = [
            re.fullmatch(r"The answer is In \d+\. <quote>The tower of .*</quote>", pair["chosen"])
            for pair in pairs
        ]
        assert rate == pytest.approx(sum(map(bool, quotes)) / len(quotes))
    with pytest.raises(UserError, match=r"a smaller max_tokens|fewer quotes"):
        run(tmp_path, iterations=1, quotes=1, rounds=20, max_tokens=200)


def test_all_drafts_may_be_quotes_and_foils(run: Run, tmp_path: Path):
    run(
        tmp_path / "run",
        questions=towers(tmp_path / "long.jsonl", more=" It is high. It is of wood."),
        iterations=1,
        drafts=0,
        quotes=1,
        foils=2,
        duels=False,
    )
    folder, _ = summary_of(tmp_path / "run")
    for path in (folder / "pairs").iterdir():
        pairs = [json.loads(line) for line in path.read_text().splitlines()]
        assert pairs
        for pair in pairs:
            assert pair["chosen"] != pair["rejected"]
            for text in (pair["chosen"], pair["rejected"]):
                assert re.fullmatch(r"The answer is In \d+\. <quote>[^<]*</quote>", text)


def test_what_can_not_be_done_is_said_first(run: Run, tmp_path: Path):
    with pytest.raises(UserError, match=r"no passage has 2 sentences .*the longest has 1"):
        run(tmp_path, drafts=0, quotes=1, foils=1)
    with pytest.raises(UserError, match="nothing to choose from where a turn has 1 draft:"):
        run(tmp_path, drafts=0, quotes=1)
    with pytest.raises(UserError, match="foils are drafts beside one that quotes the passage"):
        run(tmp_path, foils=2)
    with pytest.raises(UserError, match="served model, and the target is trained"):
        run(tmp_path, target="openai/gpt-4o")
    with pytest.raises(UserError, match="let it judge by 'chat'"):
        run(tmp_path, overseer="openai/gpt-4o", judge="letters")
    with pytest.raises(UserError, match="'self_play' needs 4 groups or more"):
        run(tmp_path, questions="passages?size=2")
    with pytest.raises(UserError, match="whole sentence or more: give more max_tokens than 1"):
        run(tmp_path, max_tokens=1)
