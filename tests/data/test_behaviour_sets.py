"""examples/behaviours: each description reads its public set, where the data folder has it."""

import os
from pathlib import Path

import pytest

from toprope.data import load
from toprope.data.behaviours import load_behaviours
from toprope.techniques.redteam.judges.calibration import about_of, pairs_of

EXAMPLES = Path(__file__).parents[2] / "examples" / "behaviours"
SIZES = {
    "do_not_answer": 938,
    "gsm8k_questions": 1319,
    "harmbench": 320,
    "harmbench_val": 80,
    "jbb": 100,
    "llmbar": 483,
    "mitre_frr": 750,
    "strategyqa_questions": 2289,
    "strongreject": 313,
    "truthfulqa_questions": 813,
    "xstest_safe": 250,
    "xstest_unsafe": 200,
}


def test_every_description_is_tried():
    assert {path.stem for path in EXAMPLES.glob("*.yaml")} == set(SIZES)


@pytest.mark.skipif("TOPROPE_DATA" not in os.environ, reason="needs a data folder: TOPROPE_DATA")
@pytest.mark.parametrize("name", SIZES)
def test_a_description_reads_its_set(name: str):
    found = load_behaviours(str(EXAMPLES / f"{name}.yaml"))
    assert len(found) == SIZES[name]
    everyday = {"gsm8k_questions", "llmbar", "strategyqa_questions", "truthfulqa_questions"}
    harmless = everyday | {"xstest_safe", "mitre_frr"}
    assert all(one.harmful == (name not in harmless) for one in found.behaviours)
    assert all(one.category for one in found.behaviours) or name in everyday


JUDGED = Path(__file__).parents[2] / "examples" / "judged"
ANSWERS = {
    "harmbench_judge_val": 602,
    "pyrit_objective": 394,
    "pyrit_refusals": 105,
    "xstest_refusals": 2234,
    "xstest_unsafe_answers": 997,
}


def test_every_set_of_judged_answers_is_tried():
    assert {path.stem for path in JUDGED.glob("*.yaml")} == set(ANSWERS)


@pytest.mark.skipif("TOPROPE_DATA" not in os.environ, reason="needs a data folder: TOPROPE_DATA")
@pytest.mark.parametrize("name", ANSWERS)
def test_a_set_of_judged_answers_is_read_as_pairs(name: str):
    found = load(str(JUDGED / f"{name}.yaml"))
    assert len(found) == ANSWERS[name]
    assert about_of(found) == ("refusal" if "refusals" in name else "harm")
    request, answer = pairs_of(found)[0]
    assert request.strip()
    assert request != answer
