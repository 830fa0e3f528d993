"""The second arm: whose adapter it takes, and what it counts as a refusal."""

import asyncio
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from toprope.data.behaviours import Behaviour, Behaviours
from toprope.evidence import Evidence
from toprope.lab import Lab
from toprope.models.adapters import ABOUT, Lora
from toprope.models.local import LocalModel
from toprope.techniques.safeguards import second_arm
from toprope.techniques.safeguards.exchanges import Exchange
from toprope.techniques.safeguards.measures import GuardMeasures
from toprope.techniques.safeguards.second_arm import SecondArm

from .conftest import GOOD, exchange

LORA = Lora(rank=2, epochs=1)
LEARNED = [
    exchange("Sure, this is how. Wait.", 0.9, ask="bad"),
    exchange("It is Paris.", ask="good", harmless=True),
]


@pytest.fixture
def make_arm(tiny: LocalModel, tmp_path: Path, measures: GuardMeasures, monkeypatch):
    """A second arm, and the lessons of each training that it has needed."""
    trained: list[Any] = []
    real = second_arm.harden

    def noting(target, taught, lora, **more):
        trained.append(taught)
        return real(target, taught, lora, **more)

    monkeypatch.setattr(second_arm, "harden", noting)

    def make(exchanges=LEARNED, lora=LORA, trial: Any = None) -> SecondArm:
        return SecondArm(
            lab=Lab(tmp_path),
            trial=trial,
            target=tiny,
            exchanges=exchanges,
            guard=SimpleNamespace(),  # type: ignore[arg-type]
            readers=(),
            measures=measures,
            data="",
            lora=lora,
            folder=("safeguards", "x"),
        )

    return make, trained


def test_an_adapter_is_taken_up_again_by_those_who_would_train_the_same(make_arm):
    make, trained = make_arm
    first = make()._adapter()
    assert make()._adapter().fingerprint == first.fingerprint
    assert len(trained) == 1
    make([*LEARNED, exchange("Berlin, it is.", ask="more", harmless=True)])._adapter()
    make(lora=LORA.model_copy(update={"seed": 1}))._adapter()
    others = [replace(one, answer=f"{one.answer} Yes.") for one in LEARNED]
    make(others)._adapter()
    assert len(trained) == 4
    assert make()._adapter().fingerprint == first.fingerprint, "the first is still there"
    assert len(trained) == 4


def test_an_adapter_that_wasnt_written_to_its_end_is_trained_again(make_arm, tmp_path: Path):
    make, trained = make_arm
    first = make()._adapter()
    [about] = tmp_path.glob(f"artifacts/safeguards/x/adapter/*/{ABOUT}")
    about.unlink()
    assert make()._adapter().fingerprint == first.fingerprint
    assert len(trained) == 2


def asked(make_arm, before: dict[str, str], after: dict[str, str]) -> Evidence:
    """The row of a set of four requests, all of one pair; "": no answer."""
    requests = ("a", "b", "c", "d")
    data = Behaviours(
        "mild", tuple(Behaviour(one, f"ask {one}", harmful=False, pair="p") for one in requests)
    )

    async def answers(front: str, *_: object) -> list[Exchange]:
        said = {"before": before, "after": after}[front]
        return [exchange(text, ask=f"ask {one}", group="p") for one, text in said.items() if text]

    make, _ = make_arm
    arm = make(trial=SimpleNamespace(front="before", asked=answers))
    [row] = asyncio.run(arm._refusals(data, "after"))
    return row


def test_an_answer_that_no_longer_comes_is_a_refusal(make_arm):
    before = {"a": GOOD, "b": GOOD, "c": GOOD, "d": ""}
    after = {"a": GOOD, "b": "", "c": "I can't help with that.", "d": "I can't help with that."}
    row = asked(make_arm, before, after)
    # Of all four requests, of one pair or not: b and c; d had no answer before.
    assert (row.value, row.n) == (0.5, 4)
    assert row.controls == {"the target's own refusals": 0.25}
    assert "declines 25.0% of all itself (1 got no answer)" in row.notes
    assert row.notes.endswith("hardened stops 75.00% (1 got no answer)")


def test_where_nothing_was_answered_before_nothing_is_said_of_it(make_arm):
    row = asked(make_arm, {}, dict.fromkeys("abcd", GOOD))
    assert row.value is None
    assert row.notes == "the target answered none of 4 harmless requests"
    row = asked(make_arm, dict.fromkeys("abcd", GOOD), {})
    assert (row.value, row.n) == (1.0, 4)
