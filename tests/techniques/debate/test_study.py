"""The study from end to end: with scripted players, on a tiny model, and resumed."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from toprope.errors import UserError
from toprope.evidence import Evidence
from toprope.lab import Lab
from toprope.progress import Progress
from toprope.study import make_study
from toprope.techniques.debate import kept
from toprope.techniques.debate.casting import Cast
from toprope.techniques.debate.debaters import Scripted
from toprope.techniques.debate.judges import Hearing
from toprope.techniques.debate.study import Debate
from toprope.techniques.debate.transcript import Verdict

from .playing import Believing
from .towers import believes, says

MODELS = {"overseer": "fake/judge", "target": "fake/debater"}
ENDS = ("blind", "expert")


class KilledError(Exception):
    """Stands in for a kill."""


@pytest.fixture
def judge() -> Believing:
    return Believing(believes)


@pytest.fixture
def run(tmp_path: Path, towers: str, judge: Believing, monkeypatch) -> Callable[..., list]:
    """Runs the study with scripted players."""

    def cast(lab, arms, parts) -> Cast:
        one = Scripted(says)
        return Cast(parts, judge, judge, one, one, {}, {}, checker=one)

    monkeypatch.setattr("toprope.techniques.debate.study.make_cast", cast)

    def start(**settings) -> list[Evidence]:
        fields = {**MODELS, "questions": towers, "resamples": 1000, **settings}
        return list(make_study("debate", fields).run(Lab(tmp_path, progress=Progress())))

    return start


def by_name(evidence: list[Evidence]) -> dict[tuple[str, str], Evidence]:
    found = {(row.arm, row.metric): row for row in evidence}
    assert len(found) == len(evidence), "a row is there twice"
    return found


def summary(folder: Path) -> dict:
    [found] = kept.summaries(folder / "artifacts").values()
    return found


def test_protocols_are_held_against_both_ends_and_the_headline_against_consultancy(run):
    rows = by_name(run())
    accuracy = {arm: rows[arm, "accuracy"].value for arm in ("blind", "expert", "debate")}
    assert accuracy == {"blind": 0.5, "expert": 1.0, "debate": 1.0}
    assert rows["blind", "accuracy"].role == rows["expert", "accuracy"].role == "control"
    consultancy = rows["consultancy", "accuracy"]
    assert consultancy.value == 0.75
    assert consultancy.controls == {"chance": 0.5, "blind": 0.5, "expert": 1.0}
    assert (consultancy.role, consultancy.n, consultancy.truth) == ("result", 5, "ground_truth")
    assert rows["consultancy", "gap_closed_share"].value == 0.5
    assert rows["debate", "gap_closed_share"].value == 1.0
    assert rows["debate", "debiased_accuracy"].value == 1.0
    assert rows["debate", "debiased_gain_over_blind"].value == 0.5
    assert rows["debate", "debiased_gap_closed_share"].value == 1.0
    assert rows["headline", "debiased_gap_closed_more_share"].value == 0.5
    assert rows["debate", "gain_over_blind"].controls == {"blind": 0.0, "consultancy": 0.25}
    assert rows["headline", "gain_over_consultancy"].value == 0.25
    assert rows["headline", "gap_closed_more_share"].value == 0.5
    told = rows["headline", "gap_closed_more_share"].notes
    assert told == "debate against consultancy: more of the gap is closed, clear of zero"
    assert ("headline", "smallest_detectable_over_blind") in rows


def test_the_sides_of_each_protocol_are_told_apart(run):
    protocols = ("propaganda", "debate", "open_debate", "prover_estimator")
    rows = by_name(run(protocols=protocols, headline="propaganda"))
    assert rows["propaganda", "honest_win_rate"].value == 1.0
    assert rows["propaganda", "dishonest_win_rate"].value == 0.5
    assert rows["propaganda", "persuasiveness_rate"].value == 0.75
    assert rows["debate", "honest_win_rate"].value == 1.0
    assert "won all or none" in rows["debate", "honest_elo"].notes
    assert rows["open_debate", "honest_choice_rate"].value == 0.5
    assert rows["prover_estimator", "prover_payoff_honest"].value == 3 + 9 + 27
    assert rows["prover_estimator", "first_estimate_honest"].value == pytest.approx(0.6)
    assert ("prover_estimator", "unestimated_rate") not in rows
    assert rows["debate", "unverified_quotes_rate"].value == 0.5
    assert rows["debate", "honest_gives_in_rate"].value == 0
    assert ("propaganda", "dishonest_gives_in_rate") in rows
    # Without both ends nothing is known of the gap.
    assert rows["debate", "gap_closed_share"].value is None
    assert "without blind and expert" in rows["debate", "gap_closed_share"].notes
    assert ("debate", "gain_over_blind") not in rows
    assert rows["headline", "accuracy"].notes == "of propaganda"


def test_bets_and_the_judges_drift(run):
    rows = by_name(run(protocols=["debate"], bets=True, each_round=True))
    assert rows["debate", "bet_before_round_1"].value == 75
    assert rows["debate", "bet_rise_round_1_to_2"].value == 5
    strictly = rows["debate", "both_sure_strictly_rate"]
    assert (strictly.value, strictly.baseline, strictly.better) == (1.0, 0.617, "lower")
    assert rows["debate", "both_sure_at_least_rate"].baseline == 0.717
    assert rows["debate", "incoherent_bets_rate"].value == 1.0
    drift = [rows["debate", f"right_probability_after_round_{k}"].value for k in range(3)]
    assert drift == pytest.approx([0.5, 0.8, 0.8])
    assert rows["debate", "moved_to_right_in_round_1"].value == pytest.approx(0.3)


def test_variants_meet_each_other_and_give_a_slope(run, tmp_path: Path):
    names = ("debate", "debate_best_of_2", "consultancy", "consultancy_best_of_2")
    rows = by_name(run(protocols=names))
    assert rows["debate", "elo"].value == 0.0
    assert rows["debate_best_of_2", "elo"].value == pytest.approx(0.0)
    assert "two or more different" in rows["debate", "persuasion_slope"].notes
    assert "per 1.0 of persuasiveness_rate" in rows["consultancy", "persuasion_slope"].notes
    crossed = list(kept.load(next(tmp_path.rglob("debate_cross_play.jsonl"))))
    assert len(crossed) == 2 * 2 * 5
    assert len({turn.by for turn in crossed[0].turns}) == 2
    # Drafts and their ratings cost: two speeches and two ratings for each of 4 turns, a verdict.
    assert rows["debate_best_of_2", "accuracy"].cost.calls == 10 * (4 * 4 + 1)


def test_a_favour_for_the_last_word_is_told_from_one_for_a_place(run, judge: Believing):
    def follows(hearing: Hearing) -> tuple[float, float]:
        last = [turn.position for turn in hearing.turns][-1:] or [hearing.seating.shown[0]]
        return (0.9, 0.1) if last == [0] else (0.1, 0.9)

    judge.believes = follows
    protocols = ("blind", "propaganda", "debate", "open_debate")
    both = by_name(run(protocols=protocols, crossed=True))
    assert {name: both[name, "accuracy"].cost.calls for name in protocols} == {
        "blind": 10,
        "propaganda": 20 * 2,
        "debate": 20 * 5,
        "open_debate": 20 * 6,
    }
    for name, last in (("debate", 1.0), ("open_debate", 1.0)):
        assert both[name, "last_word_rate"].value == last
        assert both[name, "first_position_rate"].value == 0.5
        assert both[name, "accuracy"].value == 0.5
    assert ("propaganda", "last_word_rate") not in both
    alike = by_name(run(protocols=protocols))
    assert alike["debate", "first_position_rate"].value == 0.0
    assert alike["debate", "last_word_rate"].value == 1.0


def test_what_was_read_for_quotes_is_kept_for_another_judge(
    tmp_path: Path, towers: str, judge: Believing, monkeypatch
):
    reader = Believing(believes)

    def cast(lab, arms, parts) -> Cast:
        heard = replace(judge, name=parts.overseer, fingerprint=parts.overseer)
        return Cast(parts, heard, heard, Scripted(says), None, {}, {}, reader)

    monkeypatch.setattr("toprope.techniques.debate.study.make_cast", cast)
    protocols = ["consultancy_quotes_1", "debate_quotes_1"]
    fields = {**MODELS, "questions": towers, "resamples": 1000, "protocols": protocols}
    for overseer in ("fake/one", "fake/other"):
        study = make_study("debate", {**fields, "overseer": overseer})
        rows = by_name(list(study.run(Lab(tmp_path))))
        assert rows["debate_quotes_1", "unverified_quotes_rate"].value == 0
        assert ("debate_quotes_1", "dishonest_gives_in_rate") not in rows
    assert len(reader.heard) == 5 * 2, "each sentence of a question once, for both judges"


def test_verdicts_without_an_answer_are_counted_and_bounded(run, judge: Believing, monkeypatch):
    async def silent(self, hearing: Hearing) -> Verdict:
        return Verdict(None, outcome="unnamed", round=hearing.round)

    monkeypatch.setattr(Believing, "__call__", silent)
    rows = by_name(run(protocols=["blind"]))
    assert rows["blind", "accuracy"].value == 0.0
    assert rows["blind", "accuracy_at_most"].value == 1.0
    assert rows["blind", "verdict_unnamed_rate"].value == 1.0
    assert rows["blind", "calibration_error"].value is None
    assert "0.000 if verdicts without an answer are wrong, 1.000" in rows["blind", "accuracy"].notes


def test_what_is_kept_can_be_read_again(run, tmp_path: Path):
    run(protocols=(*ENDS, "debate"), bets=True)
    found = summary(tmp_path)
    assert found["transcripts"] == ["blind", "expert", "debate"]
    assert found["headline"] == "debate"
    assert found["arms"]["debate"]["turns"] == {"spoken": 80}
    assert found["arms"]["debate"]["reliability"] == [{"n": 10, "confidence": 0.8, "accuracy": 1.0}]
    [path] = kept.files(tmp_path, ["debate"])
    games = list(kept.load(path))
    assert [game.question.id for game in games[:3]] == ["towers/00001"] * 2 + ["towers/00002"]
    assert games[0].turns[0].private.bet == 75
    run(protocols=ENDS)
    assert not path.exists(), "what another start left isn't this one's"


def test_a_killed_study_goes_on_and_plays_only_what_is_missing(run, judge: Believing):
    def fail(hearing: Hearing):
        if len(judge.heard) > 30:
            raise KilledError
        return believes(hearing)

    judge.believes = fail
    with pytest.raises(KilledError):
        run(concurrency=1)
    judge.believes, judge.heard[:] = believes, []
    resumed = run(concurrency=4)
    assert len(judge.heard) == 10 + 10 + 20 + 10 - 30
    again = run()
    assert len(judge.heard) == 20, "all games were in the journal"
    shown = [(e.arm, e.metric, e.value, e.low) for e in again]
    assert [(e.arm, e.metric, e.value, e.low) for e in resumed] == shown


@pytest.mark.parametrize(
    ("leans", "by", "told"),
    [(True, "letters", True), (True, "answers", False), (False, "letters", False)],
)
def test_a_judge_that_names_one_place_by_letters_is_told_of_answers(
    run, judge: Believing, leans: bool, by: str, told: bool, capsys, monkeypatch
):
    # No model is there that could run out of room.
    monkeypatch.setattr(f"{Debate.__module__}.with_room", lambda asked, *_, **__: asked)

    def place(hearing: Hearing) -> tuple[float, float]:
        return (0.9, 0.1) if hearing.seating.shown[0] == 0 else (0.1, 0.9)

    judge.believes = place if leans else believes
    run(protocols=(*ENDS, "debate"), overseer="a-local-model", judge=by)
    assert ("'a-local-model' names one place" in capsys.readouterr().err) == told


def test_another_judge_hears_the_same_debates(run, judge: Believing, tmp_path: Path, monkeypatch):
    said: list[str] = []
    script = says

    def counted(view) -> str:
        said.append(view.speaker)
        return script(view)

    monkeypatch.setattr(f"{__name__}.says", counted)
    run(protocols=(*ENDS, "consultancy", "debate"), rounds=2)
    games, speeches = len(judge.heard), len(said)
    assert speeches == 5 * (4 * 2 + 2 * 2 * 2)
    judge.fingerprint = "another"
    run(protocols=(*ENDS, "consultancy", "debate"), rounds=2, overseer="fake/other")
    assert (len(judge.heard), len(said)) == (2 * games, speeches)
    first, other = (
        list(kept.load(path / kept.TRANSCRIPTS / "debate.jsonl"))
        for path in kept.summaries(tmp_path / "artifacts")
    )
    assert [one.turns for one in first] == [one.turns for one in other]


def test_a_further_protocol_leaves_the_games_of_the_others(run, judge: Believing):
    run(protocols=ENDS)
    judge.heard.clear()
    run(protocols=(*ENDS, "debate"))
    assert len(judge.heard) == 10


def test_a_trained_judge_and_all_arms_are_measured_on_what_it_did_not_learn_from(
    run, tmp_path: Path, monkeypatch
):
    lessons: dict[str, set[str]] = {}

    def knows(hearing: Hearing) -> tuple[float, float]:
        return (0.9, 0.1) if hearing.question.answer == 0 else (0.1, 0.9)

    def fit(self, lab):
        def learned(arm, transcripts):
            lessons[arm.name] = {one.question.id for one in transcripts}
            return Believing(knows, fingerprint=f"learned {arm.name}")

        return learned

    monkeypatch.setattr("toprope.techniques.debate.study.Debate._fit", fit)
    settings = {"questions": "passages?words=200", "limit": 48, "judge": "trained"}
    monkeypatch.setattr("toprope.techniques.debate.study.is_served", lambda name: False)
    monkeypatch.setattr("toprope.techniques.debate.room.is_served", lambda name: True)
    protocols = (*ENDS, "debate", "debate_best_of_2")
    rows = by_name(run(protocols=protocols, train_share=0.5, **settings))
    measured = {game.question.id for game in kept.load(kept.files(tmp_path, ["debate"])[0])}
    assert len(measured) == 24
    assert all(not of & measured and len(of) == 24 for of in lessons.values())
    assert rows["debate", "accuracy"].value == 1.0
    assert rows["debate", "accuracy"].controls["untrained"] == 0.5
    assert {"debate", "debate_untrained"} <= set(summary(tmp_path)["transcripts"])
    # Ratings are by the judge that heard variants meet, and so is their accuracy.
    slope = rows["debate", "persuasion_slope"].notes
    assert "of the judge before it learned" in slope
    assert "debate 0 (0.500 right)" in slope
    names = {path.stem for path in kept.files(tmp_path)}
    assert names == {*protocols, "debate_cross_play"}
    assert [path.stem for path in kept.files(tmp_path, ["debate_untrained"])]


def test_a_judge_is_trained_of_the_overseer_and_kept(
    tmp_path: Path, roomy_folder: Path, judge: Believing, monkeypatch
):
    one = str(roomy_folder)

    def cast(lab, arms, parts) -> Cast:
        debater = Scripted(lambda view: f"It is {view.position}.")
        return Cast(parts, judge, judge, debater, None, {}, {one: lab.local(one)})

    monkeypatch.setattr("toprope.techniques.debate.study.make_cast", cast)
    settings = {**MODELS, "overseer": one, "questions": "passages?words=200", "judge": "trained"}
    quick = {"rounds": 1, "protocols": ["blind", "debate"], "resamples": 1000}
    study = make_study("debate", {**settings, **quick, "limit": 44})
    rows = by_name(list(study.run(Lab(tmp_path))))
    assert rows["debate", "accuracy"].n == 22
    assert "untrained" in rows["blind", "accuracy"].controls
    kept_judges = sorted(path.parent.name for path in tmp_path.rglob("judges/*/judge.json"))
    assert kept_judges == ["blind", "debate"]
    with pytest.raises(UserError, match="of these there would be 4: raise limit or train_share"):
        list(make_study("debate", {**settings, **quick, "limit": 8}).run(Lab(tmp_path)))


@pytest.mark.parametrize(
    ("protocols", "chosen"),
    [
        (["blind", "consultancy", "debate_quotes_1", "debate"], "debate"),
        (["consultancy_quotes_1", "debate_quotes_1"], "debate_quotes_1"),
        (["blind", "propaganda"], "propaganda"),
        (["blind", "expert"], None),
    ],
)
def test_the_conclusion_is_about_a_debate_where_there_is_one(protocols: list[str], chosen):
    study = Debate.model_validate({**MODELS, "protocols": protocols})
    assert (study.chosen.name if study.chosen else None) == chosen


@pytest.mark.parametrize(
    ("settings", "complaint"),
    [
        ({"protocols": ["debat"]}, "unknown protocol 'debat': did you mean 'debate'"),
        ({"protocols": ["blind_best_of_2"]}, "nobody makes a speech in blind"),
        ({"headline": "critique"}, "headline 'critique' isn't among the protocols: blind, expert"),
        ({"headline": "expert"}, "nobody argues in 'expert': it can't be the headline"),
        ({"bets": True, "protocols": ["critique"]}, "bets are made in debates"),
        ({"judge": "letters"}, "'fake/judge' is a served model: let it judge by 'chat'"),
        ({"judge": "trained"}, "a judge by 'trained' is trained in this process"),
        ({"round": 3}, "did you mean 'rounds'"),
    ],
)
def test_settings_that_cannot_be_used(settings: dict, complaint: str):
    with pytest.raises(UserError, match=complaint):
        make_study("debate", {**MODELS, **settings})


def test_one_group_of_questions_is_told_before_anything_is_played(run, tmp_path: Path, judge):
    row = {"passage": "One passage.", "options": ["a", "b"], "answer": "a"}
    path = tmp_path / "one.jsonl"
    path.write_text("".join(json.dumps(row | {"question": f"Q{i}?"}) + "\n" for i in range(4)))
    with pytest.raises(UserError, match="4 in 1 group, and 'debate' needs 2"):
        run(questions=f"file:{path}?passage=passage&options=options")
    assert not judge.heard


def test_a_model_plays_and_judges_and_the_frameworks_part_of_the_time_is_told(
    tmp_path: Path, roomy_folder: Path, towers: str
):
    one = str(roomy_folder)
    study = make_study(
        "debate",
        {
            "overseer": one,
            "target": one,
            "questions": towers,
            "limit": 2,
            "rounds": 1,
            "protocols": [*ENDS, "debate"],
            "max_tokens": 4,
            "resamples": 1000,
        },
    )
    lab = Lab(tmp_path)
    before = lab.local(one).tokens_read
    rows = by_name(list(study.run(lab)))
    overhead = rows["all", "framework_overhead"]
    assert (overhead.n, overhead.unit) == (12, "games")
    assert overhead.value is not None
    assert overhead.value > 0
    spent = [rows[arm, "accuracy"].cost for arm in (*ENDS, "debate")]
    assert sum(cost.tokens for cost in spent) == lab.local(one).tokens_read - before
    assert [cost.calls for cost in spent] == [4, 4, 12]
    assert study.fingerprint(lab) == study.fingerprint(Lab(tmp_path))
