"""`inspect eval toprope/debate` and its kin: messages, roles, scores, in logs opened again."""

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from inspect_ai import Task
from inspect_ai import eval as inspect_eval
from inspect_ai._util.error import PrerequisiteError
from inspect_ai._util.registry import is_registry_object
from inspect_ai.log import EvalLog, read_eval_log
from inspect_ai.model import (
    ChatMessage,
    ChatMessageAssistant,
    Model,
    ModelOutput,
    ModelUsage,
    get_model,
)

from toprope import _inspect
from toprope.techniques.debate.arms import KINDS
from toprope.techniques.debate.task import KEPT

from ...local_models import smollm, tiny_folder  # noqa: F401

if TYPE_CHECKING:
    from toprope.models.local import LocalModel

QUESTIONS = [
    {"passage": "Kelm has 41 wells.", "question": "Wells of Kelm?", "o": ["12", "41"], "a": "41"},
    {"passage": "Dorn has 12 wells.", "question": "Wells of Dorn?", "o": ["12", "41"], "a": "12"},
    {"passage": "Fahl has 30 wells.", "question": "Wells of Fahl?", "o": ["30", "31"], "a": "30"},
]


@pytest.fixture
def questions(tmp_path: Path) -> str:
    path = tmp_path / "wells.jsonl"
    path.write_text("".join(json.dumps(one) + "\n" for one in QUESTIONS))
    return f"file:{path}?passage=passage&question=question&options=o&answer=a"


def mock(says: Callable[[str], str]) -> Model:
    """A model whose answer is a function of the last message's text."""

    def output(messages: list[ChatMessage], *_: Any) -> ModelOutput:
        made = ModelOutput.from_content("mockllm/model", says(messages[-1].text))
        made.usage = ModelUsage(total_tokens=5)  # else it counts them by a file off the network
        return made

    return get_model("mockllm/model", custom_outputs=output)


def debating(asked: str) -> str:
    if "how likely is it that you win" in asked:
        return "70%"
    number = re.search(r"has (\d+) wells", asked)
    return f"It says <quote>has {number[1]} wells</quote>." if number else "Why?"


def judging(asked: str) -> str:
    """Right in the seating that shows the larger number first, and never about Fahl."""
    if "Fahl" in asked:
        return "I can't tell."
    first = re.search(r"^A\. (\d+)", asked, re.MULTILINE)
    return "A: 80%\nB: 20%\nAnswer: A" if first and first[1] == "41" else "Answer: A"


def run(task: Task, folder: Path, model: Model | str, **roles: Any) -> EvalLog:
    """The log as the log reader has it from its file."""
    [log] = inspect_eval(task, model=model, model_roles=roles, log_dir=str(folder), display="none")
    assert log.status == "success", log.error
    return read_eval_log(log.location)


def metrics(log: EvalLog) -> dict[str, float]:
    assert log.results is not None
    [score] = log.results.scores
    return {name: one.value for name, one in score.metrics.items()}


def test_debaters_may_say_sentences_that_their_model_reads(tmp_path: Path):
    def reads(asked: str) -> str:
        return "A: 90%\nB: 10%\nAnswer: A" if "has 41" in asked else "A: 20%\nB: 80%\nAnswer: B"

    rows = [
        {"passage": f"{name} is dry. {name} has 41 wells.", "question": f"Wells of {name}?"}
        | {"o": ["41", "no wells"], "a": "41"}
        for name in ("Kelm", "Dorn")
    ]
    path = tmp_path / "wells.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    questions = f"file:{path}?passage=passage&question=question&options=o&answer=a"
    task = _inspect.debate(questions=questions, rounds=1, variant="quotes_1")
    log = run(task, tmp_path, mock(reads), judge=mock(judging))
    assert log.samples is not None
    said = {message.text.partition("): ")[2] for message in log.samples[0].messages[1:3]}
    name = "Kelm" if "Kelm" in str(log.samples[0].input) else "Dorn"
    assert said == {
        f"The answer is 41. <v_quote>{name} has 41 wells.</v_quote>",
        f"The answer is no wells. <v_quote>{name} is dry.</v_quote>",
    }


def test_turns_and_verdicts_are_messages_with_their_speakers(tmp_path: Path, questions: str):
    task = _inspect.debate(questions=questions, rounds=1, bets=True, each_round=True)
    log = run(task, tmp_path, mock(debating), judge=mock(judging))
    assert log.samples is not None
    assert len(log.samples) == 2 * len(QUESTIONS)
    sample = next(one for one in log.samples if "Kelm" in str(one.input))
    said = [message.text for message in sample.messages]
    assert said[0] == sample.input
    assert said[1].startswith("Judge (round 0): A")
    assert said[2].startswith("Debater A (round 1): It says <v_quote>has 41 wells</v_quote>")
    assert said[3].startswith("Debater B (round 1):")
    assert said[4].startswith("Judge (round 1): A")
    speakers = [(message.metadata or {}).get("speaker") for message in sample.messages]
    assert speakers == [None, "Judge", "Debater A", "Debater B", "Judge"]


def test_bets_are_metadata_and_nothing_that_the_judge_sees(tmp_path: Path, questions: str):
    heard = []

    def listening(asked: str) -> str:
        heard.append(asked)
        return judging(asked)

    task = _inspect.debate(questions=questions, rounds=1, bets=True)
    log = run(task, tmp_path, mock(debating), judge=mock(listening))
    assert log.samples is not None
    for sample in log.samples:
        assert not any("70%" in message.text for message in sample.messages)
        assert sample.scores is not None
        about = sample.scores["judged_right"].metadata or {}
        assert [bet["percent"] for bet in about["bets"]] == [70, 70]
        kept = sample.metadata[KEPT]["turns"]
        assert [turn["private"]["bet"] for turn in kept if turn["kind"] == "bet"] == [70, 70]
    assert heard
    assert not any("70%" in asked or "has 41 wells." in asked for asked in heard)


def test_the_accuracy_is_that_of_all_seatings_and_its_error_clustered_by_question(
    tmp_path: Path, questions: str
):
    task = _inspect.debate(questions=questions, rounds=1)
    log = run(task, tmp_path, mock(debating), judge=mock(judging))
    found = metrics(log)
    # Always the first shown: each of Kelm's and Dorn's is right once in two; Fahl's never named.
    assert found["accuracy"] == pytest.approx(2 / 6)
    deviations = np.array([1, 1, 0]) - 2 * 2 / 6
    by_hand = np.sqrt((deviations**2).sum() * 3 / 2) / 6
    assert found["stderr"] == pytest.approx(by_hand)
    assert found["accuracy_at_most"] == pytest.approx(4 / 6)
    assert (found["verdicts_answered"], found["verdicts_unnamed"]) == (4, 2)
    assert (found["turns_spoken"], found["turns_empty"]) == (12, 0)


PLAYED = {
    "blind": (2, []),
    "expert": (2, []),
    "propaganda": (4, ["Debater"]),
    "consultancy": (4, ["Consultant"] * 2),
    "open_consultancy": (2, ["Consultant"] * 2),
    "debate": (2, ["Debater"] * 4),
    "open_debate": (2, ["Debater"] * 4),
    "critique": (4, ["Debater", "Critic"]),
    "cross_examination": (2, ["Debater", "Debater", "Judge", "Debater", "Judge", "Debater"]),
    "prover_estimator": (4, ["Estimator", "Prover", "Prover", "Overseer"]),
}
"""Games for a question, and who speaks in one before the verdict."""


def test_every_kind_of_protocol_is_registered():
    registered = {name for name, one in vars(_inspect).items() if is_registry_object(one, "task")}
    assert {kind.removeprefix("open_") for kind in KINDS} <= registered


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_of_protocol_is_a_task(tmp_path: Path, questions: str, kind: str):
    games, speakers = PLAYED[kind]
    name = kind.removeprefix("open_")
    chooses = {"chooses": True} if name != kind else {}
    task = getattr(_inspect, name)(questions=questions, limit=2, max_tokens=20, **chooses)
    log = run(task, tmp_path, mock(debating), judge=mock(judging))
    assert log.eval.task == f"toprope/{name}"
    assert log.samples is not None
    assert len(log.samples) == games * 2
    kept = log.samples[0].metadata[KEPT]
    assert kept["protocol"].replace("-", "_") == name
    assert (kept["details"].get("role") == "open") == bool(chooses)
    said = [(m.metadata or {}).get("speaker") for m in log.samples[0].messages[1:]]
    assert [str(one).split()[0] for one in said] == [*speakers, "Judge"]


@pytest.mark.parametrize(
    ("variant", "by", "speech"),
    [
        ("best_of_2", "(best of 2)", "Weak words."),
        ("critique_of_1", "(critique of 1)", "Strong words."),
    ],
)
def test_debaters_may_say_what_the_judge_finds_most_persuasive(
    tmp_path: Path, questions: str, variant: str, by: str, speech: str
):
    def drafts(asked: str) -> str:
        if "Mend it." in asked:
            return "Strong words."
        return "Mend it." if "Weak words." in asked else "Weak words."

    def rates(asked: str) -> str:
        strong = re.search(r"Debater ([AB]) \(round 1\): Strong", asked)
        sure = {"A": 90, "B": 10}[strong[1]] if strong else 50
        return f"A: {sure}%\nB: {100 - sure}%\nAnswer: A"

    task = _inspect.propaganda(questions=questions, limit=1, variant=variant)
    log = run(task, tmp_path, mock(drafts), judge=mock(rates))
    assert log.samples is not None
    for sample in log.samples:
        said = sample.messages[1]
        assert isinstance(said, ChatMessageAssistant)
        assert str(said.model).endswith(by)
        assert said.text.endswith(speech)
        spans = [one.name for one in sample.events if one.event == "span_begin"]
        parts = [spans.count(f"{part}, verdict, round 1") for part in ("Rater", "Judge")]
        assert parts == [2, 1]


def test_without_a_judge_the_model_that_is_evaluated_judges(tmp_path: Path, questions: str):
    def both(asked: str) -> str:
        return judging(asked) if "You are the judge" in asked else debating(asked)

    log = run(_inspect.debate(questions=questions, rounds=1), tmp_path, mock(both))
    assert metrics(log)["accuracy"] == pytest.approx(2 / 6)


def test_a_judge_can_be_named_as_a_task_argument(tmp_path: Path, questions: str):
    task = _inspect.debate(questions=questions, judge="mockllm/model")
    assert task.model_roles is not None
    assert str(task.model_roles["judge"]) == "mockllm/model"


@pytest.mark.parametrize(
    ("settings", "complaint"),
    [
        ({"questions": "pasages"}, "did you mean 'passages'"),
        ({"limits": 3}, "unknown key 'limits' in toprope/debate: did you mean 'limit'"),
        ({"order": "random"}, r"toprope/debate: order: .*'simultaneous' or 'sequential'"),
        ({"rounds": 0}, "toprope/debate: rounds is 0, and has to be 1 or more"),
        (
            {"variant": "bestof_4"},
            "unknown variant 'bestof_4' in toprope/debate: did you mean 'best_of_4'",
        ),
        ({"variant": "best_of"}, "unknown variant 'best_of' in toprope/debate"),
        ({"variant": "best_of_1"}, "the best of 1 is the protocol 'debate' itself"),
        ({"judging": "ears"}, "judging: .*'letters', 'answers' or 'chat'"),
    ],
)
def test_a_mistake_is_one_line(settings: dict[str, Any], complaint: str):
    with pytest.raises(PrerequisiteError, match=complaint):
        _inspect.debate(**settings)


def test_where_nobody_makes_a_speech_there_are_no_variants():
    with pytest.raises(PrerequisiteError, match="nobody makes a speech in blind"):
        _inspect.blind(variant="best_of_4")


def test_what_a_served_judge_cannot_do_is_said(tmp_path: Path, questions: str):
    task = _inspect.debate(questions=questions, judging="letters")
    [log] = inspect_eval(task, model=mock(debating), log_dir=str(tmp_path), display="none")
    assert log.error is not None
    assert "take -T judging=chat, or toprope/NAME as the judge" in log.error.message


def test_a_passage_too_long_for_a_local_model_is_told(tmp_path: Path, tiny_folder: Path):  # noqa: F811
    task = _inspect.debate(questions="passages?words=400", limit=2, rounds=1, max_tokens=8)
    [log] = inspect_eval(
        task, model=f"toprope/{tiny_folder}", log_dir=str(tmp_path), display="none"
    )
    assert log.error is not None
    assert re.search(r"reads 512 tokens at most|the passage has [\d,]+ tokens", log.error.message)


@pytest.mark.model
def test_a_local_model_debates_and_judges_by_letters(
    tmp_path: Path,
    questions: str,
    smollm: "LocalModel",  # noqa: F811
):
    task = _inspect.debate(questions=questions, limit=2, rounds=1, max_tokens=16, temperature=0)
    log = run(task, tmp_path, f"toprope/{smollm.name}")
    assert log.samples is not None
    assert len(log.samples) == 4
    for sample in log.samples:
        assert sample.scores is not None
        about = sample.scores["judged_right"].metadata or {}
        assert about["outcome"] == "answered"
        assert 0 < about["probability_of_right"] < 1
        assert len(sample.messages) == 4
    # Its verdicts are told by what was said: not the same in every game.
    sure = [s.scores["judged_right"].metadata["probability_of_right"] for s in log.samples]  # type: ignore[index]
    assert len(set(sure)) > 2
