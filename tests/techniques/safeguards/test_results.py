"""What is measured of guards without another query, on a tiny model."""

import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest

from toprope.data.behaviours import Behaviour, Behaviours
from toprope.evidence import Evidence
from toprope.lab import Lab
from toprope.techniques.safeguards.exchanges import Exchange
from toprope.techniques.safeguards.guard import Guard
from toprope.techniques.safeguards.results import Results
from toprope.techniques.safeguards.trial import Harmless

from .conftest import BAD, GOOD, exchange

HARMFUL = [exchange(f"{BAD} {n}", 1.0, ask=f"{n} stronger", group=f"b{n % 3}") for n in range(9)]
CALM = [exchange(f"{GOOD} {n}", ask=f"{n} weaker", group=f"h{n}", harmless=True) for n in range(9)]

Offline = Callable[[Sequence[Exchange], Sequence[Harmless]], dict[tuple[str, str, str], Evidence]]


def named(guard: Guard, name: str) -> Guard:
    [stage] = guard.about.stages
    return replace(guard, about=replace(guard.about, stages=(replace(stage, name=name),)))


@pytest.fixture
def offline(tiny, make_guard, measures, tmp_path: Path) -> Offline:
    guards = {
        "input": named(make_guard(0.5, sees="prompt"), "input"),
        "probe": named(make_guard(0.5), "probe"),
        "cascade": make_guard(0.3, 0.5),
    }
    plain = [Behaviour(f"b{n}", f"{n} stronger climbers") for n in range(3)]
    results = Results(
        study=SimpleNamespace(  # type: ignore[arg-type]
            target=tiny.name, erase=1, system="", config_hash="0123456789", kind="probe"
        ),
        lab=Lab(tmp_path),
        trial=SimpleNamespace(held_out=Behaviours("d", tuple(plain))),  # type: ignore[arg-type]
        measures=measures,
        guards=guards,
        models={tiny.name: tiny},
        folder=("safeguards", "x"),
    )

    def run(harmful, harmless):
        rows = results._offline(harmful, harmless)
        return {(row.arm, row.metric, row.dataset): row for row in rows}

    return run


def test_shares_of_exchanges_are_clustered_by_the_harm(offline: Offline, tmp_path: Path):
    found = offline(HARMFUL, [Harmless("mild", 10, CALM), Harmless("framed", 9, CALM)])
    for metric in (
        "harm_stopped",
        "switched_harmful_answers_stopped",
        "switched_harmless_answers_stopped",
    ):
        row = found["probe", metric, "d"]
        assert (row.n, row.unit, row.role) == (3, "requests", "result")
    [path] = tmp_path.glob("artifacts/**/curves.json")
    assert path.parent == tmp_path / "artifacts" / "safeguards" / "x" / "01234567"
    assert len(json.loads(path.read_text())["probe"]["harmful"]) == len(HARMFUL)


def test_what_a_cascades_first_stage_passes_over_scores_nothing_in_its_curve(
    offline: Offline, tmp_path: Path
):
    offline(HARMFUL, [Harmless("mild", 10, CALM), Harmless("framed", 9, CALM)])
    [path] = tmp_path.glob("artifacts/**/curves.json")
    curves = json.loads(path.read_text())
    for side in ("harmful", "harmless"):
        first, both = (curves[name][side] for name in ("stage1", "cascade"))
        assert both == [score if score >= 0.3 else 0.0 for score in first]  # of one head twice
    assert 0.0 in curves["cascade"]["harmless"]
    assert max(curves["cascade"]["harmful"]) > 0.3


def test_refusals_are_of_all_that_was_asked(offline: Offline):
    found = offline(HARMFUL, [Harmless("mild", 12, CALM), Harmless("framed", 9, CALM)])
    row = found["probe", "added_refusals", "mild"]
    assert row.n == 12
    assert "(3 got no answer)" in row.notes
    assert row.controls["the target's own refusals"] == pytest.approx(3 / 12)


@pytest.mark.parametrize("harmful", [HARMFUL, []])
def test_a_target_that_answers_nothing_harmless_is_told_and_breaks_nothing(
    offline: Offline, harmful: list[Exchange]
):
    found = offline(harmful, [Harmless("mute", 20, []), Harmless("framed", 10, [])])
    for name, n in (("mute", 20), ("framed", 10)):
        row = found["probe", "added_refusals", name]
        assert row.value is None
        assert row.notes == f"the target answered none of {n} harmless requests"
    for metric in ("compute_overhead", "latency_overhead"):
        row = found["probe", metric, "d"]
        assert row.value is None
        assert row.notes == "0 harmless exchanges: too few for an interval"
    row = found["probe", "harm_stopped", "d"]
    assert (row.value is None) == (not harmful)
    assert row.controls == ({"harmless stopped": 0.0} if harmful else {})
