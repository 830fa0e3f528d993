"""The closed loop from end to end: on a tiny model, with every measure, resumed, and refused."""

import gc
import shutil
import weakref
from functools import partial
from pathlib import Path

import pytest

from toprope.errors import UserError
from toprope.evidence import Evidence
from toprope.lab import Lab
from toprope.models.chat import Chat
from toprope.models.local import LocalModel
from toprope.study import make_study
from toprope.techniques.safeguards import exchanges, latency
from toprope.techniques.safeguards.guard import load_guard
from toprope.techniques.safeguards.report import section
from toprope.techniques.safeguards.study import saved_guards
from toprope.techniques.safeguards.synthesis import Synthesised

QUICK = {
    "judge": "refusal",
    "limit": 30,
    "attacks": ["prefix_injection", "prefill"],
    "held_out": ["refusal_suppression"],
    "families": 1,
    "depths": [0.5],
    "guard": "probe",
    "budget": 0.1,
    "rounds": 1,
    "round_queries": 1,
    "queries": 2,
    "erase": 2,
    "max_tokens": 6,
    "resamples": 1000,
}


@pytest.fixture
def run(tmp_path: Path, tiny_folder: Path, monkeypatch):
    """Runs the study on a model of a few thousand weights, which embeds the requests too."""
    monkeypatch.setattr("toprope.techniques.safeguards.study.EMBEDDER", str(tiny_folder))
    monkeypatch.setattr("toprope.techniques.safeguards.training.STRENGTHS", (3.0,))
    few = partial(latency.timed, most=3)
    monkeypatch.setattr("toprope.techniques.safeguards.results.timed", few)
    # To so small a model all requests are alike.
    monkeypatch.setattr("toprope.techniques.safeguards.collect.ALIKE", 2.0)

    def start(**settings) -> list[Evidence]:
        study = make_study("safeguards", {**QUICK, "target": str(tiny_folder), **settings})
        return list(study.run(Lab(tmp_path)))

    return start


def test_the_loop_makes_guards_and_measures_them_on_what_they_never_saw(run, tmp_path: Path):
    evidence = run()
    found = {(e.arm, e.metric): e for e in evidence}
    for metric in ("attack_success_rate", "attack_success_rate_corrected"):
        row, bare = found["probe/campaign", metric], found["undefended/campaign", metric]
        # The correction draws the judge's errors.
        assert row.controls["undefended"] == pytest.approx(bare.value, abs=0.01)
    assert ("probe/refusal_suppression", "attack_success_rate") in found
    learned = exchanges.load(next(tmp_path.glob("artifacts/safeguards/*/exchanges.jsonl")))
    assert {one.family for one in learned} == {"direct", "prefix_injection", "prefill"}
    assert {one.harmless for one in learned} == {True, False}
    assert any(one.harmless and one.family == "prefill" for one in learned)
    for kind in ("input", "probe"):
        assert found[kind, "added_refusals"].truth == "ground_truth"
        assert found[kind, "harm_stopped"].controls
        assert found[kind, "area_sources_left_out"].controls == {"chance": 0.5}
        assert found[kind, "compute_overhead"].value < 0.2
        assert 0 < found[kind, "latency_overhead"].value < 0.5
        assert found[kind, "harm_stopped"].unit == "requests"
    # Of the same shape as the prompts it reads: what it says can't depend on the answer.
    certified = found["certificate", "certified_stopped"]
    measured = found["certificate", "stopped_under_suffixes"]
    assert measured.value >= certified.value
    assert measured.controls == certified.controls
    assert found["round 1", "came_through"].n > 1
    finds = found["probe", "finds_per_1000_queries"]
    assert finds.controls == {"undefended": found["undefended", finds.metric].value}
    [folder] = saved_guards(tmp_path, "probe")
    assert load_guard(folder).about.stages[0].name == "probe"
    shown = section(evidence)
    assert shown.figures
    assert shown.tables[0].rows
    assert any(line.startswith("Of 1,000 queries") for line in shown.summary)


def test_a_second_start_asks_nothing_again_and_finds_the_same(run, monkeypatch):
    first = run(rounds=0)

    async def never(*_: object) -> None:
        raise AssertionError("asked again")

    monkeypatch.setattr(Chat, "_ask", never)
    again = run(rounds=0)
    before, now = (
        {
            (e.arm, e.metric, e.dataset): (e.value, e.low, e.high)
            for e in evidence
            if e.metric != "latency_overhead"  # which is measured again
        }
        for evidence in (first, again)
    )
    assert now == before


def test_a_trained_guard_is_measured_without_training(run, tmp_path: Path, tiny_folder):
    run(rounds=0)
    [folder] = saved_guards(tmp_path, "probe")
    copy = tmp_path / "kept"
    load_guard(folder).save(copy)
    evidence = run(trained=str(copy), guard="input", test="behaviours", unseen=["look_alikes"])
    attempts = [f"trial/{what}.jsonl" for what in ("undefended", "probe")]
    exchanges = [f"trial/{what}.jsonl" for what in ("harmful", "harmless")]
    for kept in ("curves.json", *attempts, *exchanges):
        found = list(tmp_path.glob(f"artifacts/safeguards/*/*/{kept}"))
        assert len(found) == 2, "each of the settings has its own"
    arms = {e.arm for e in evidence}
    assert "probe/campaign" in arms
    assert "input/campaign" not in arms  # the guard's kind is its own, whatever is named
    assert not any(e.metric == "area_sources_left_out" for e in evidence)


def test_the_hardened_target_is_attacked_alone_and_behind_the_guard(run, tmp_path: Path):
    found = {(e.arm, e.metric): e for e in run(rounds=0, harden=True)}
    for arm in ("hardened", "hardened_and_guarded"):
        assert "undefended" in found[f"{arm}/campaign", "attack_success_rate"].controls
    assert found["hardened", "added_refusals"].n > 0
    assert found["hardened", "accuracy_change"].controls["before"] > 0
    assert list(tmp_path.glob("artifacts/safeguards/*/adapter/*/adapter_config.json"))


def test_an_overseer_that_has_written_is_let_go_of(run, tmp_path: Path, tiny_folder, monkeypatch):
    """A larger one's weights are most of a machine's memory, and the target is fine-tuned later."""
    overseer = shutil.copytree(tiny_folder, tmp_path / "overseer")
    seen = []

    async def wrote(constitution, chat, **_: object) -> Synthesised:
        seen.append(weakref.ref(lab_of[0].local(str(overseer))))
        return Synthesised((), (), {})

    lab_of: list[Lab] = []
    of_lab = Lab.chat

    def chat(lab: Lab, *names: str, **more) -> Chat:
        lab_of[:] = [lab]
        return of_lab(lab, *names, **more)

    def attacked(*_: object) -> None:
        gc.collect()
        seen.append(seen[0]())
        raise UserError("enough")

    monkeypatch.setattr(Lab, "chat", chat)
    monkeypatch.setattr("toprope.techniques.safeguards.study.synthesise", wrote)
    monkeypatch.setattr("toprope.techniques.safeguards.study.apart", attacked)
    with pytest.raises(UserError, match="enough"):
        run(overseer=str(overseer))
    assert len(seen) == 2
    assert seen[1] is None


def test_a_sentence_encoder_reads_from_outside(run, tiny_encoder: LocalModel):
    two = {"guard": "cascade", "external": tiny_encoder.name, "escalation": 0.5}
    found = {(e.arm, e.metric): e for e in run(rounds=0, **two)}
    assert "undefended" in found["cascade/campaign", "attack_success_rate"].controls
    alone, both = (found[kind, "compute_overhead"].value for kind in ("external", "cascade"))
    assert 0 < both < alone, "it's asked only where the probe passes something on"
    assert found["external", "latency_overhead"].value > 0
    assert not any(arm.startswith(("tokens", "outside")) for arm, _ in found)


def test_an_external_model_that_cant_read_is_told_before_anything_is_asked(
    run, monkeypatch, tiny_encoder: LocalModel, tiny_folder: Path, tmp_path: Path
):
    async def never(*_: object) -> None:
        raise AssertionError("asked")

    monkeypatch.setattr(Chat, "_ask", never)
    base = shutil.copytree(tiny_folder, tmp_path / "base")
    (base / "chat_template.jinja").unlink()
    with pytest.raises(UserError, match=r"is a sentence encoder.*of kind 'outside' needs"):
        run(guard="outside", external=tiny_encoder.name)
    with pytest.raises(UserError, match=r"has no chat template.*or a sentence encoder"):
        run(guard="cascade", external=str(base))


@pytest.mark.parametrize(
    ("settings", "complaint"),
    [
        ({"guard": "cascade"}, "external: MODEL"),
        ({"target": "openai/gpt-4o"}, "name a local target"),
        ({"held_out": ["prefill"]}, "'prefill' is learned from, and can't be held out too"),
        ({"attacks": ["charm"]}, "unknown attack 'charm'"),
        ({"budget": 0.0001}, r"0\.010% can't be set on about \d+ harmless exchanges"),
        ({"behaviours": ["look_alikes"]}, "'look_alikes' is harmless, and is named among the"),
        ({"trained": "nowhere"}, "no guard in nowhere"),
        ({"attacks": ["pair"]}, "the attack 'pair' can't be used in this study"),
        ({"test": "behaviours"}, "'behaviours' is learned from, and is the trial's too"),
        (
            {"guard": "cascade", "external": "openai/gpt-4o"},
            "external 'openai/gpt-4o' is a served model",
        ),
        ({"harden": True, "capability": "sentence_polarity"}, "sentence_polarity"),
        ({"attacked": ["nowhere"]}, "can't read nowhere"),
        ({"attacked": ["src"]}, "has a red-teaming study finished there"),
        ({"constitution": "mine.yaml"}, "name one .overseer."),
        ({"constitution": "mine.yaml", "overseer": "openai/x"}, "can't read mine.yaml"),
    ],
)
def test_what_cant_be_done_is_told_before_anything_is_asked(run, monkeypatch, settings, complaint):
    async def never(*_: object) -> None:
        raise AssertionError("asked")

    monkeypatch.setattr(Chat, "_ask", never)
    with pytest.raises(UserError, match=complaint) as caught:
        run(**settings)
    assert "\n" not in str(caught.value)
