"""A supervisor that reads debates: what it reads, what its student doesn't, and the controls."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from toprope.data.debated import joined
from toprope.data.examples import Dataset, Example
from toprope.errors import UserError
from toprope.lab import Lab
from toprope.models.heads import one_hot
from toprope.models.local import LocalModel
from toprope.report.sections import section_for
from toprope.study import make_study
from toprope.techniques.weak_to_strong.debates import Panel, control_arms, inputs
from toprope.techniques.weak_to_strong.measures import CONTROLS

from ...data.transcript_lines import game, write
from .conftest import HALF1, HALF2, TEST, TRUTH, Recorder, make_trial
from .test_study import evidence, write_data

Says = Callable[[Example, Sequence[int]], str]


def honest(example: Example, shown: Sequence[int]) -> str:
    """Words that differ by the truth, in either seating."""
    return ("Paris Paris Paris", "nineteen minus seven")[example.label]


def debate(path: Path, data: Dataset, says: Says) -> str:
    rows = [
        game(one.id, one.text, says(one, shown), shown=shown)
        for one in data.examples
        for shown in ([0, 1], [1, 0])
    ]
    return write(path, rows)


@pytest.fixture(scope="module")
def name(tmp_path_factory: pytest.TempPathFactory) -> str:
    return write_data(tmp_path_factory.mktemp("data") / "cities.jsonl", 120)


@pytest.fixture(scope="module")
def transcripts(tmp_path_factory: pytest.TempPathFactory, name: str) -> str:
    folder = tmp_path_factory.mktemp("debates")
    data = Lab(folder).data(name)
    # The last eight examples' debates were lost.
    data = Dataset(data.name, data.examples[:-8], data.label_names, data.answers)
    return debate(folder / "debate.jsonl", data, honest)


@pytest.fixture(scope="module")
def rows(
    tmp_path_factory: pytest.TempPathFactory, tiny_folder: Path, name: str, transcripts: str
) -> list:
    return evidence(
        tmp_path_factory.mktemp("run"),
        tiny_folder,
        name,
        debates=[transcripts],
        methods=["naive"],
        depths=[1.0],
    )


def test_an_example_stands_whole_behind_what_was_said(name: str, transcripts: str, tmp_path: Path):
    debated = joined(Lab(tmp_path).data(name), [transcripts], fewest=40)
    first, second = inputs(debated)
    for text, example in zip(first, debated.data.examples, strict=True):
        assert text.endswith(f"\n{example.text}")
        assert honest(example, ()) in text
        assert "A. false\nB. true" not in text
        assert "A. no\nB. yes" in text
        assert "secret" not in text
    assert "A. yes\nB. no" in second[0]


def test_a_panel_says_the_mean_of_its_members():
    members = Recorder(0.2), Recorder(0.6)
    panel = Panel(members)
    labels = one_hot(TRUTH[HALF1], 2)
    np.testing.assert_allclose(panel.fit(HALF1, labels)(TEST)[:, 1], 0.4)
    np.testing.assert_allclose(panel.relabel(HALF1, labels, np.zeros(len(HALF1)))[:, 1], 0.4)
    assert len(panel.several(HALF1, labels)) == 6
    assert [[how for how, _, _ in one.log] for one in members] == [
        ["fit", "relabel", "several"]
    ] * 2
    panel.forget()
    assert not members[0].log


def test_a_control_differs_from_the_trial_in_its_supervisor_alone():
    weak, plain, student = Recorder(0.9), Recorder(0.3), Recorder()

    def rng() -> np.random.Generator:
        return np.random.default_rng(5)

    trial = make_trial(weak=weak, student=student, rungs=(), rng=rng())
    arms = control_arms(trial, {"without_debates": plain}, "naive", rng)
    assert list(arms) == ["supervisor_without_debates", "headline_without_debates"]
    for train in arms.values():
        train()
    assert not weak.log
    [(_, items, labels_NC)] = plain.log
    np.testing.assert_array_equal(items, HALF1)
    np.testing.assert_array_equal(labels_NC, one_hot(TRUTH[HALF1], 2))
    [(_, items, labels_NC)] = student.log
    np.testing.assert_array_equal(items, HALF2)
    np.testing.assert_allclose(labels_NC[:, 1], 0.3)


def test_a_controls_folds_are_the_trials_own():
    def rng() -> np.random.Generator:
        return np.random.default_rng(5)

    rungs = Recorder(), Recorder()
    said = []
    for rung in rungs:
        trial = make_trial(rungs=(rung,), rng=rng())
        rung.relabel = lambda items, labels_NC, folds: said.append(folds) or labels_NC  # type: ignore[method-assign]
        if rung is rungs[0]:
            trial.arms(("bootstrapping",))["bootstrapping"]()
        else:
            control_arms(trial, {"shuffled_debates": trial.weak}, "bootstrapping", rng)[
                "headline_shuffled_debates"
            ]()
    np.testing.assert_array_equal(*said)


def test_a_study_with_debates_has_its_controls_and_gains(rows: list):
    found = {(row.arm, row.metric): row for row in rows}
    accuracies = {arm for arm, metric in found if metric == "accuracy"}
    controls = {
        f"{arm}_{control}"
        for arm in ("supervisor", "headline")
        for control in ("without_debates", "shuffled_debates")
    }
    assert accuracies == {*CONTROLS, "naive", "headline", *controls}
    for arm in ("supervisor", "headline"):
        student = "naive" if arm == "headline" else arm
        for control, metric in (
            ("without_debates", "gain_over_no_debates"),
            ("shuffled_debates", "gain_over_shuffled_debates"),
        ):
            gain = found[arm, metric]
            by_hand = found[student, "accuracy"].value - found[f"{arm}_{control}", "accuracy"].value
            assert gain.value == pytest.approx(by_hand)
            assert gain.low <= gain.value <= gain.high
            assert gain.role == "result"
    assert "8 examples weren't debated" in found["supervisor", "gain_over_no_debates"].notes
    assert "an ensemble of 2" in found["supervisor", "gain_over_no_debates"].notes


def test_what_was_said_is_what_helps(rows: list):
    """The words tell the truth, so that a supervisor that reads them is right; another example's
    tell it nothing."""
    found = {(row.arm, row.metric): row for row in rows}
    assert found["supervisor", "accuracy"].value > 0.95
    assert found["supervisor", "gain_over_no_debates"].low > 0
    assert found["supervisor", "gain_over_shuffled_debates"].low > 0


def test_the_report_tells_what_debates_bring(rows: list):
    section = section_for("weak_to_strong", rows)
    assert "Reading debates about each example changes" in " ".join(section.summary)
    table = next(one for one in section.tables if "debates" in one.caption)
    assert [row[0] for row in table.rows] == [
        "Supervisor",
        "Headline method",
        "PGR of the gap without debates",
    ]
    assert all(table.rows[0][1:])


def test_the_student_reads_the_examples_alone_and_each_text_is_read_once(
    tmp_path: Path, tiny_folder: Path, name: str, transcripts: str, monkeypatch: pytest.MonkeyPatch
):
    asked: list[tuple[list[str], bool]] = []
    activations = Lab.activations

    def spying(lab: Lab, model: str, texts: Sequence[str], **settings: Any) -> Any:
        asked.append((list(texts), "continuations" in settings))
        return activations(lab, model, texts, **settings)

    monkeypatch.setattr(Lab, "activations", spying)
    evidence(tmp_path, tiny_folder, name, debates=[transcripts], methods=["naive"], depths=[0.5])
    debated = joined(Lab(tmp_path).data(name), [transcripts], fewest=40)
    plain = [texts for texts, answered in asked if answered]
    assert plain == [debated.data.texts] * 2  # as supervisor and as student, here one model
    behind = [texts for texts, answered in asked if not answered]
    assert behind[:2] == inputs(debated)
    assert len(behind) == 4  # two seatings, and two of others' debates: for all seeds together
    assert sorted(map(len, behind)) == [112] * 4
    assert behind[2] != behind[0]


def test_the_debates_are_part_of_what_a_study_is(
    tmp_path: Path, tiny_folder: Path, name: str, transcripts: str
):
    lab = Lab(tmp_path)
    data = lab.data(name)
    other = debate(tmp_path / "other.jsonl", data, lambda example, shown: "Nothing.")

    def prints(debates: list[str]) -> list[str]:
        settings = {"overseer": str(tiny_folder), "target": str(tiny_folder), "data": name}
        return make_study("weak_to_strong", {**settings, "debates": debates}).datasets(lab)

    assert len({str(prints(one)) for one in ([], [transcripts], [other])}) == 3


def test_the_limit_is_of_examples_that_were_debated(
    tmp_path: Path, tiny_folder: Path, name: str, transcripts: str
):
    rows = evidence(
        tmp_path,
        tiny_folder,
        name,
        debates=[transcripts],
        methods=["naive"],
        limit=60,
        depths=[0.5],
    )
    [gain] = [r for r in rows if (r.arm, r.metric) == ("supervisor", "gain_over_no_debates")]
    assert gain.value is not None


def test_debates_of_something_else_are_refused_before_a_model_is_read(
    tmp_path: Path, tiny_folder: Path, name: str
):
    path = write(tmp_path / "debate.jsonl", [game("x", "Another question?", "Yes.")])
    with pytest.raises(UserError, match=r"0 of 120 examples of 'cities' were debated in .*40 are"):
        evidence(tmp_path, tiny_folder, name, debates=[path], methods=["naive"])


def test_a_study_in_lora_mode_reads_debates_too(tmp_path: Path, tiny_folder: Path):
    name = write_data(tmp_path / "few.jsonl", 48)
    path = debate(tmp_path / "debate.jsonl", Lab(tmp_path).data(name), honest)
    rows = evidence(
        tmp_path,
        tiny_folder,
        name,
        debates=[path],
        mode="lora",
        methods=["naive"],
        lora_rank=2,
        lora_epochs=1,
    )
    accuracies = {row.arm: row for row in rows if row.metric == "accuracy"}
    for arm in ("supervisor", "supervisor_without_debates", "supervisor_shuffled_debates"):
        assert accuracies[arm].cost.tokens > 48, arm
    # An ensemble of two reads twice as many texts, and longer ones.
    tokens = [accuracies[f"supervisor{end}"].cost.tokens for end in ("", "_without_debates")]
    assert tokens[0] > 2 * tokens[1]


@pytest.mark.model
def test_a_real_model_hears_what_is_said(
    tmp_path: Path,
    smollm: LocalModel,
    monkeypatch: pytest.MonkeyPatch,
):
    """SmolLM2-135M, told in plain words whether the statement is true, knows it."""

    def plain(example: Example, shown: Sequence[int]) -> str:
        return f"The atlas says that this statement is {('false', 'true')[example.label]}."

    monkeypatch.setattr(Lab, "local", lambda *_: smollm)
    path = debate(tmp_path / "debate.jsonl", Lab(tmp_path).data("cities", limit=60), plain)
    settings = {"limit": 60, "methods": ["naive"], "depths": [0.5]}
    rows = evidence(tmp_path, Path(smollm.name), "cities", debates=[path], **settings)
    found = {(row.arm, row.metric): row.value for row in rows}
    assert found["supervisor", "accuracy"] > 0.9
    assert found["supervisor", "gain_over_shuffled_debates"] > 0.1
