"""`inspect eval toprope/redteam`: its samples, its transcripts and its refusals."""

from pathlib import Path

import pytest
from inspect_ai import eval as inspect_eval
from inspect_ai._util.error import PrerequisiteError
from inspect_ai.model import ModelOutput, ModelUsage, get_model

from toprope._inspect import redteam
from toprope.techniques.redteam.task import KEPT

from .conftest import NO


def test_a_sample_is_attacked_up_to_its_first_success(tmp_path: Path):
    outputs = [ModelOutput.from_content("mockllm/model", text) for text in [NO, "Step 1: ..."] * 9]
    for output in outputs:
        output.usage = ModelUsage(total_tokens=5)  # else it counts them by a file off the network
    task = redteam(attacks="direct,prefix_injection", limit=3)
    [log] = inspect_eval(
        task,
        model=get_model("mockllm/model", custom_outputs=outputs),
        log_dir=str(tmp_path),
        display="none",
        max_samples=1,
    )
    assert log.status == "success"
    assert log.results is not None
    assert log.results.scores[0].metrics["mean"].value == 1
    assert log.samples is not None
    for sample in log.samples:
        kept = sample.metadata[KEPT]
        assert (kept["family"], kept["strategy"]) == ("prefix_injection", "absolutely")
        assert sample.messages[-1].text == "Step 1: ..."
        assert "Absolutely!" in sample.messages[0].text


@pytest.mark.parametrize(
    ("settings", "complaint"),
    [
        ({"attacks": "gcg"}, "toprope redteam"),
        ({"attacks": "pair"}, "attacker=MODEL"),
        ({"behaviours": "behavior"}, "did you mean 'behaviours'"),
    ],
)
def test_a_mistake_is_one_line(settings: dict, complaint: str):
    with pytest.raises(PrerequisiteError, match=complaint):
        redteam(**settings)
