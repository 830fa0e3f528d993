"""The study from end to end: on a tiny model, resumed, and on a real one."""

import json
from pathlib import Path

import pytest

from toprope.errors import UserError
from toprope.evidence import Evidence
from toprope.lab import Lab
from toprope.models.chat import Chat
from toprope.study import make_study
from toprope.techniques.redteam.findings import load
from toprope.techniques.redteam.judges.calibration import find, keep
from toprope.techniques.redteam.judges.refusal import RefusalJudge
from toprope.techniques.redteam.report import kept, section
from toprope.techniques.redteam.study import RedTeam

QUICK = {
    "judge": "refusal",
    "limit": 22,
    "harmless_limit": 10,
    "queries": 3,
    "attacks": ["prefix_injection", "prefill", "best_of_n"],
    "max_tokens": 6,
    "resamples": 1000,
}


class KilledError(Exception):
    """Stands in for a kill."""


@pytest.fixture
def run(tmp_path: Path, tiny_folder: Path, monkeypatch):
    """Runs the study on a model of a few thousand weights, which embeds the findings too."""
    monkeypatch.setattr("toprope.techniques.redteam.study.EMBEDDER", str(tiny_folder))

    def start(**settings) -> list[Evidence]:
        study = make_study("redteam", {**QUICK, "target": str(tiny_folder), **settings})
        return list(study.run(Lab(tmp_path)))

    return start


def test_every_rate_has_its_control_and_over_refusal_stands_beside_it(run, tmp_path: Path):
    evidence = run()
    found = {(e.arm, e.metric): e for e in evidence}
    for family in QUICK["attacks"]:
        assert "direct" in found[family, "attack_success_rate"].controls
        assert (family, "attack_success_rate_corrected") in found
    assert {"direct", "best_template"} <= set(found["campaign", "attack_success_rate"].controls)
    assert found["look_alikes", "over_refusal"].n == 10
    assert all(e.truth == "model" for e in evidence)
    findings = load(tmp_path / "artifacts")
    assert {one["outcome"] for one in findings} <= {"judged"}
    assert section(evidence).tables[0].rows
    assert kept(tmp_path / "artifacts")[0].title == "By category"


def test_a_killed_campaign_goes_on_without_asking_again(run, tmp_path: Path, monkeypatch):
    asked: list[str] = []
    most = [60]
    ask = Chat._ask

    async def watched(self, messages, *rest):
        if len(asked) == most[0]:
            raise KilledError
        asked.append(json.dumps([*map(dict, messages), *rest]))
        return await ask(self, messages, *rest)

    monkeypatch.setattr(Chat, "_ask", watched)
    with pytest.raises(KilledError):
        run(concurrency=4)
    most[0] = 10_000
    resumed = run(concurrency=8)
    assert len(asked) - len(set(asked)) <= 4, "only what was under way is asked again"
    journal = next((tmp_path / "artifacts" / "redteam").glob("*/journal.jsonl"))
    lines = [json.loads(line) for line in journal.read_text().splitlines()]
    answers = [line["key"] for line in lines if "text" in line.get("answer", {})]
    verdicts = [line["key"] for line in lines if "score" in line.get("answer", {})]
    assert len(answers) == len(set(answers)) == len(set(asked))
    assert len(verdicts) == len(set(verdicts)) > 0
    monkeypatch.setattr(Chat, "_ask", ask)
    again = run()
    whole = [(e.arm, e.metric, e.value, e.low) for e in again]
    assert [(e.arm, e.metric, e.value, e.low) for e in resumed] == whole


def test_an_unfinished_campaign_with_other_settings_is_refused(run, monkeypatch):
    async def stop(*_):
        raise KilledError

    monkeypatch.setattr(Chat, "_ask", stop)
    with pytest.raises(KilledError):
        run()
    with pytest.raises(UserError, match=r"campaign .*queries was 3, now 5"):
        run(queries=5)


@pytest.mark.parametrize(
    ("settings", "complaint"),
    [
        ({"queries": 0}, "queries: Input should be greater than or equal to 1"),
        ({"attacks": ["par"]}, "unknown attack 'par': did you mean 'pair'"),
        ({"target": "t", "quiries": 3}, "did you mean 'queries'"),
    ],
)
def test_settings_that_cannot_be_used(settings: dict, complaint: str):
    with pytest.raises(UserError, match=complaint):
        make_study("redteam", {"target": "t", **settings})


def test_attacks_that_need_what_is_not_there(run, tmp_path: Path):
    with pytest.raises(UserError, match=r"'pair' is written by a model.*overseer"):
        run(attacks=["pair"])
    study = RedTeam(target="openai/gpt-4o", attacks=("gcg",))
    with pytest.raises(UserError, match=r"'gcg' needs the target's gradients"):
        list(study.run(Lab(tmp_path / "other")))


def test_a_judge_that_was_not_checked_prints_no_rate(run, tiny_folder: Path):
    with pytest.raises(UserError, match=r"isn't calibrated.*judges calibrate"):
        run(judge=f"rubric:{tiny_folder}")


def test_a_judge_calibrated_anew_makes_a_finished_study_run_again(
    tmp_path: Path, tiny_folder: Path, monkeypatch
):
    monkeypatch.setenv("TOPROPE_CACHE", str(tmp_path / "cache"))
    study, lab = make_study("redteam", {**QUICK, "target": str(tiny_folder)}), Lab(tmp_path)
    before = study.fingerprint(lab)
    assert study.fingerprint(lab) == before
    calibration = find(RefusalJudge(), "harm")
    keep(calibration)
    assert study.fingerprint(lab) != before


def test_a_family_whose_attacker_writes_nothing_usable_is_in_the_table(run, tiny_folder: Path):
    """A model of random weights writes no JSON, so that TAP has nothing to send."""
    evidence = run(attacks=["prefill", "tap"], overseer=str(tiny_folder))
    [row] = [e for e in evidence if e.arm == "tap"]
    assert row.value is None
    assert "no attempt" in row.notes
    assert section(evidence).tables[0].rows
