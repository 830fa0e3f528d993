"""`toprope debate text | protocols | show` from the command line."""

import json
from pathlib import Path

import pytest

from toprope.report.sections import generic_section
from toprope.techniques.debate import kept
from toprope.techniques.debate.arms import KINDS, VARIANTS
from toprope.techniques.debate.casting import Cast
from toprope.techniques.debate.debaters import Scripted

from ..techniques.debate.conftest import ROWS
from ..techniques.debate.playing import Believing
from ..techniques.debate.towers import believes, says

TEXT = ("debate", "text", "--overseer", "fake/judge", "--target", "fake/debater")
QUICK = ("--resamples", "1000", "--name", "r", "--quiet")


@pytest.fixture
def towers(folder: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """The name of the questions about towers, with scripted players in the models' places."""

    def cast(lab, arms, parts) -> Cast:
        judge, one = Believing(believes), Scripted(says)
        return Cast(parts, judge, judge, one, one, {}, {}, checker=one)

    monkeypatch.setattr("toprope.techniques.debate.study.make_cast", cast)
    # The report's own words are tested where they are.
    monkeypatch.setattr("toprope.techniques.debate.report.section", generic_section, raising=False)
    (folder / "towers.jsonl").write_text("".join(json.dumps(row) + "\n" for row in ROWS))
    return "file:towers.jsonl?passage=passage&options=options"


@pytest.fixture
def run(toprope, towers: str) -> str:
    """The folder of a finished run."""
    done = toprope(*TEXT, "--questions", towers, *QUICK, "--bets", "--each-round")
    assert done.exit_code == 0, done.output
    assert "gap_closed_more_share" in done.output
    return "runs/r"


def test_the_protocols_are_listed_with_their_sources(toprope) -> None:
    lines = toprope("debate", "protocols").output.splitlines()
    named = [*KINDS, *(f"..._{name}_N" for name in VARIANTS)]
    assert [line.partition(":")[0] for line in lines] == named
    assert all(line.endswith("]") for line in lines)


def test_a_transcript_is_shown_with_what_was_said_in_private(toprope, run: str) -> None:
    shown = toprope("debate", "show", run, "--protocol", "debate", "--limit", "1")
    lines = shown.output.splitlines()
    assert lines[:6] == [
        "=== debate, question towers/00001, towers.jsonl line 1",
        "When was the tower of Kelm built?",
        "  A. In 1886",
        "  B. In 1889 (right)",
        "--- Judge, after round 0: A, which is wrong (A 60%, B 40%)",
        "--- Debater A (round 1, bet, for A, 75%, scripted)",
    ]
    assert "<v_quote>was built in 1889</v_quote> sample 0" in lines
    rounds = [i for i, line in enumerate(lines) if line.startswith("--- Judge, after round")]
    assert lines[rounds[-1]] == "--- Judge, after round 2: B, which is right (A 20%, B 80%)"
    assert "(round 2, bet" in lines[rounds[1] + 1], "a round's verdict stands behind its turns"
    assert "there are more" in shown.stderr
    assert "was built in 1889." not in shown.output
    passage = toprope("debate", "show", run, "--protocol", "debate", "--limit", "1", "--passage")
    assert "    The tower of Kelm was built in 1889." in passage.output


def test_games_are_chosen_by_protocol_question_and_verdict(toprope, run: str) -> None:
    def shown(*options: str) -> list[str]:
        lines = toprope("debate", "show", run, "--limit", "99", *options).output.splitlines()
        return [line for line in lines if line.startswith("===")]

    assert len(shown()) == 10 + 10 + 20 + 10
    assert len(shown("--wrong")) == 5 + 0 + 5 + 0
    some = shown("--question", "towers/00002", "--protocol", "debate", "--protocol", "expert")
    assert [line.split(",")[0] for line in some] == ["=== expert"] * 2 + ["=== debate"] * 2
    none = toprope("debate", "show", run, "--protocol", "debate", "--wrong")
    assert (none.stdout, none.stderr) == ("", "no game is like that\n")


def test_a_file_of_transcripts_is_shown_too(toprope, run: str) -> None:
    [path] = kept.files(Path(run), ["expert"])
    assert toprope("debate", "show", path, "--limit", "1").output.startswith("=== expert")


def test_what_is_shown_cannot_steer_the_terminal(toprope, run: str) -> None:
    [path] = kept.files(Path(run), ["debate"])
    path.write_text(path.read_text().replace("sample 0", "\\u001b[2J"))
    assert "\x1b" not in toprope("debate", "show", path).output


def test_mistakes_are_one_line(toprope, refused, run: str, folder: Path) -> None:
    assert "unknown protocol 'debat'" in refused("debate", "show", run, "--protocol", "debat")
    assert "no debates in other" in refused("debate", "show", "other")
    (folder / "broken.jsonl").write_text('{"protocol": "debate"}\n')
    assert "broken.jsonl line 1 is no transcript" in refused("debate", "show", "broken.jsonl")
    said = refused(*TEXT, "--protocols", "blind,dabate")
    assert said.startswith("debate: protocols: unknown protocol 'dabate': did you mean 'debate'?")
    assert "unknown command 'tekst' in 'toprope debate'" in refused("debate", "tekst")
