"""`toprope debate rejudge` from the command line."""

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from toprope.techniques.debate import kept
from toprope.techniques.debate.transcript import Transcript

from ..techniques.debate.trained.lessons import lessons


def written(path: Path, games: Sequence[Transcript]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(one.as_json()) + "\n" for one in games))
    return path


@pytest.fixture
def games(folder: Path) -> Path:
    return written(folder / "debate.jsonl", lessons(30))


def test_another_judge_hears_the_same_words(toprope, games: Path, tiny_folder: Path) -> None:
    command = ("debate", "rejudge", games, "--overseer", tiny_folder, "--quiet")
    lines = toprope(*command, "--judge", "answers").output.splitlines()
    into = Path(lines[-1].removeprefix("the transcripts are in "))
    assert into.parent == games.parent / "rejudged"
    before, after = list(kept.load(games)), list(kept.load(into / "debate.jsonl"))
    assert [one.turns for one in after] == [one.turns for one in before]
    assert [one.verdict for one in after] != [one.verdict for one in before]
    name, n, was, *rest = lines[1].split()
    assert (name, n) == ("debate", "60")
    assert float(was) == pytest.approx(sum(one.correct for one in before) / 60, abs=5e-4)
    accuracy = sum(one.correct for one in after) / 60
    assert float(rest[2]) == pytest.approx(accuracy, abs=5e-4)
    assert float(rest[5]) == pytest.approx(accuracy - float(was), abs=1e-3)
    # Again, nothing is asked.
    journal = (into / "rejudged.jsonl").read_text().splitlines()
    assert toprope(*command, "--judge", "answers").output.splitlines() == lines
    again = (into / "rejudged.jsonl").read_text().splitlines()
    assert len(journal) == 62
    assert [line for line in again if "finished" not in line] == journal[:-1]
    # Another way of judging is another judge.
    assert toprope(*command, "--judge", "letters").output.splitlines()[-1] != lines[-1]


def test_a_trained_judge_hears_what_it_did_not_learn_from(
    toprope, refused, games: Path, tiny_folder: Path
) -> None:
    train = ("debate", "train-judge", games, "--model", tiny_folder, "--to", "mine", "--quiet")
    assert toprope(*train).exit_code == 0
    command = ("debate", "rejudge", "--trained", "mine")
    assert "learned from every question of debate" in refused(*command, games, "--quiet")
    renamed = [
        replace(one, question=replace(one.question, text=f"{one.question.text} Say."))
        for one in lessons(40)
        if one.question.id not in {f"q{i}" for i in range(30)}
    ]
    mixed = written(games.parent / "mixed.jsonl", [*lessons(30), *renamed])
    done = toprope(*command, mixed)
    assert "mixed: 60 of 80 games out: it learned from their questions" in done.output
    table = [line.split() for line in done.stdout.splitlines()]
    assert table[1][:2] == ["mixed", "20"]
    heard = list(kept.load(games.parent / "rejudged" / "mine-trained" / "mixed.jsonl"))
    assert all(one.question.text.endswith(" Say.") for one in heard)
    accuracy = sum(one.correct for one in heard) / 20
    assert float(table[1][5]) == pytest.approx(accuracy, abs=5e-4)
    assert accuracy > 0.5  # what the liar says isn't verified, and it learned that


def test_a_run_is_judged_protocol_by_protocol(
    toprope, refused, folder: Path, tiny_folder: Path
) -> None:
    run = folder / "run"
    for name in ("blind", "debate_trained_1"):
        written(run / f"artifacts/self_play/1/transcripts/{name}.jsonl", lessons(4))
    summary = json.dumps({"transcripts": ["blind", "debate_trained_1"]})
    (run / "artifacts/self_play/1/summary.json").write_text(summary)
    command = ("debate", "rejudge", run, "--overseer", tiny_folder, "--quiet")
    lines = toprope(*command).output.splitlines()
    assert [line.split()[0] for line in lines[1:3]] == ["blind", "debate_trained_1"]
    only = toprope(*command, "--protocol", "blind").output.splitlines()
    assert only[1].split() == lines[1].split()
    assert "known: blind, debate_trained_1" in refused(*command, "--protocol", "expert")
    written(run / "artifacts/debate/2/transcripts/blind.jsonl", lessons(4))
    (run / "artifacts/debate/2/summary.json").write_text(json.dumps({"transcripts": ["blind"]}))
    assert "name one file of them, such as" in refused(*command)


def test_nothing_is_written_over(toprope, refused, games: Path, tiny_folder: Path) -> None:
    before = games.read_text()
    command = ("debate", "rejudge", games, "--overseer", tiny_folder, "--quiet", "--to")
    assert "name a new folder" in refused(*command, games.parent)
    assert "name a new folder" in refused(*command, games)
    others = written(games.parent / "others" / "debate.jsonl", lessons(8, seed=3))
    assert toprope(*command, "out").exit_code == 0
    first = Path("out/debate.jsonl").read_text()
    assert "name a new folder" in refused(command[0], command[1], others, *command[3:], "out")
    assert Path("out/debate.jsonl").read_text() == first
    assert games.read_text() == before


@pytest.mark.parametrize("who", [(), ("--overseer", "smollm2-135m", "--trained", "j")])
def test_one_judge_is_named(refused, games: Path, who: Sequence[str]) -> None:
    assert "Give --overseer MODEL, or --trained FOLDER" in refused("debate", "rejudge", games, *who)


def test_what_makes_no_sense_is_said_before_anything_is_judged(
    refused, games: Path, tiny_folder: Path
) -> None:
    command = ("debate", "rejudge", games)
    both = refused(*command, "--trained", "mine", "--judge", "letters")
    assert "one that is --trained has its own way" in both
    named = refused(*command, "--overseer", tiny_folder, "--protocol", "debate")
    assert "--protocol picks among a run's files" in named
    alone = written(games.parent / "alone.jsonl", lessons(1))
    told = refused("debate", "rejudge", alone, "--overseer", tiny_folder, "--quiet")
    assert "alone: too few questions" in told
    assert not (games.parent / "rejudged").exists()
