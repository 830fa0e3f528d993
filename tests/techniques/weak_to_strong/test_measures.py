"""From predictions to evidence, against numbers counted by hand."""

from typing import Any

import numpy as np
import pytest

from toprope.evidence import Cost, Evidence
from toprope.techniques.weak_to_strong.measures import (
    CONTROLS,
    LITTLE,
    PUBLISHED_PGR,
    UNBOUNDED,
    Measures,
    Outcome,
)

SEEDS, ITEMS = 5, 200
TRUTH = np.arange(ITEMS) % 2
ABOUT = {
    "study": "weak_to_strong",
    "overseer": "weak",
    "target": "strong",
    "dataset": "made up",
    "split": "ab12",
    "seed": 7,
    "truth": "ground_truth",
    "config_hash": "c0ffee",
}


def right_on(share: float, *, seed: int) -> np.ndarray:
    """[S, N]: right on exactly this share of the items of each seed, others at each."""
    rng = np.random.default_rng(seed)
    wrong_SN = np.stack([rng.permutation(ITEMS) >= share * ITEMS for _ in range(SEEDS)])
    return np.where(wrong_SN, 1 - TRUTH, TRUTH)


def outcome(shares: dict[str, float], **fields: Any) -> Outcome:
    said = {arm: right_on(share, seed=i) for i, (arm, share) in enumerate(shares.items())}
    usual = {
        "said": said,
        "truth": TRUTH,
        "groups": np.arange(ITEMS) // 2,
        "costs": {arm: Cost(seconds=float(i)) for i, arm in enumerate(said)},
    }
    return Outcome(**(usual | fields))


SHARES = {
    "supervisor": 0.6,
    "ceiling": 0.9,
    "ceiling_ensemble": 0.95,
    "zero_shot": 0.5,
    "zero_shot_calibrated": 0.625,
    "random_errors": 0.8,
    "naive": 0.75,
    "ccs": 0.5,
}


def evidence(found: Outcome, headline: str = "naive") -> dict[tuple[str, str], Evidence]:
    """(arm, metric) -> the row."""
    measures = Measures(
        outcome=found,
        methods=tuple(arm for arm in found.said if arm not in CONTROLS),
        headline=(headline, "chosen by lot"),
        about=ABOUT,
        rng=np.random.default_rng(0),
        resamples=300,
    )
    rows = list(measures.evidence())
    by_name = {(row.arm, row.metric): row for row in rows}
    assert len(by_name) == len(rows)
    return by_name


@pytest.fixture(scope="module")
def rows() -> dict[tuple[str, str], Evidence]:
    return evidence(outcome(SHARES))


def test_accuracies_are_the_shares_of_right_answers(rows):
    for arm, share in SHARES.items():
        row = rows[arm, "accuracy"]
        assert row.value == pytest.approx(share)
        assert row.low < share < row.high
        assert (row.n, row.unit) == (SEEDS, "seeds")
    assert rows["ceiling", "gap"].value == pytest.approx(0.9 - 0.6)


def test_items_outside_a_seeds_test_do_not_count():
    found = outcome(SHARES)
    outside_SN = np.random.default_rng(1).random((SEEDS, ITEMS)) < 0.8
    said = {arm: np.where(outside_SN, -1, x_SN) for arm, x_SN in found.said.items()}
    rows = evidence(outcome(SHARES, said=said))
    for arm, x_SN in found.said.items():
        expected = (x_SN == TRUTH)[~outside_SN].mean()
        assert rows[arm, "accuracy"].value == pytest.approx(expected)


def test_performance_gap_recovered_is_the_closed_form(rows):
    """(student - supervisor) / (ceiling - supervisor): Burns et al. 2023, section 3."""
    for method, expected in (("naive", 0.5), ("ccs", -1 / 3)):
        row = rows[method, "pgr"]
        assert row.value == pytest.approx(expected)
        assert row.low < expected < row.high
        assert row.controls == {"supervisor": 0.0, "ceiling": 1.0}
        assert row.baseline == PUBLISHED_PGR
        assert (row.role, row.better) == ("result", "higher")


@pytest.mark.parametrize("ceiling", [0.6, 0.61, 0.3])
def test_without_a_clear_gap_there_is_no_pgr(ceiling: float):
    """Equal to the supervisor, within noise of it, or clearly under it."""
    rows = evidence(outcome({**SHARES, "ceiling": ceiling}))
    for arm in ("naive", "ccs", "headline"):
        row = rows[arm, "pgr"]
        assert (row.value, row.low, row.high) == (None, None, None)
        assert LITTLE in row.notes
    assert rows["ceiling", "gap"].value == pytest.approx(ceiling - 0.6)
    assert rows["naive", "accuracy"].value is not None


def test_every_result_with_a_value_has_its_controls(rows):
    results = [row for row in rows.values() if row.role == "result"]
    assert {row.arm for row in results} == {"naive", "ccs", "headline"}
    expected = {arm: SHARES[arm] for arm in CONTROLS}
    for row in results:
        if row.metric == "accuracy":
            assert row.controls == pytest.approx(expected)
    controls = {row.arm for row in rows.values() if row.role == "control"}
    assert controls == set(CONTROLS)


def test_the_headline_is_its_methods_row_and_names_it_first(rows):
    for metric in ("accuracy", "pgr"):
        headline, method = rows["headline", metric], rows["naive", metric]
        assert headline.notes == "naive, chosen by lot"
        assert headline.value == method.value
    unclear = evidence(outcome({**SHARES, "ceiling": 0.6}))["headline", "pgr"]
    assert unclear.notes.startswith("naive, chosen by lot; ")


def test_the_unsupervised_method_is_called_so(rows):
    for metric in ("accuracy", "pgr"):
        assert rows["ccs", metric].notes.startswith("unsupervised")
        assert not rows["naive", metric].notes


def test_costs_are_each_arms_own(rows):
    for i, arm in enumerate(SHARES):
        assert rows[arm, "accuracy"].cost == Cost(seconds=float(i))


def test_what_is_shared_is_on_every_row(rows):
    for row in rows.values():
        assert row.model_dump().items() >= ABOUT.items()


def small(*, copies: int) -> dict[tuple[str, str], Evidence]:
    """Two seeds of six items, each of which is there so often. The supervisor is right on 4 of the
    5, and on 1 of the 3, that it is asked about; the student agrees on 3 of the 5 that the
    supervisor has right, and on 1 of the 3 that it has wrong."""
    truth = np.array([0, 1, 0, 1, 0, 1])
    supervisor = np.array([[0, 1, 0, 1, 1, -1], [1, 0, 0, -1, -1, -1]])
    student = np.array([[0, 1, 1, 0, 1, -1], [0, 1, 0, -1, -1, -1]])
    said = dict.fromkeys((*CONTROLS, "naive"), supervisor) | {"naive": student}
    said = {arm: np.tile(x_SN, copies) for arm, x_SN in said.items()}
    truth = np.tile(truth, copies)
    costs = dict.fromkeys(said, Cost())
    return evidence(Outcome(said, truth, np.arange(len(truth)), costs))


def test_diagnostics_by_hand():
    rows = small(copies=20)
    misfit = rows["naive", "misfit"]
    assert misfit.value == pytest.approx(1 - 4 / 8)
    assert (misfit.role, misfit.better) == ("diagnostic", "neither")
    right = rows["naive", "agreement_where_supervisor_right"]
    wrong = rows["naive", "agreement_where_supervisor_wrong"]
    assert right.value == pytest.approx(3 / 5)
    assert wrong.value == pytest.approx(1 / 3)
    assert (right.better, wrong.better) == ("higher", "lower")


def test_a_share_that_too_many_resamples_leave_undefined_is_not_measurable():
    """Of six items, a resample often has none that the supervisor has wrong."""
    row = small(copies=1)["naive", "agreement_where_supervisor_wrong"]
    assert (row.value, row.low, row.high) == (None, None, None)
    assert row.notes == UNBOUNDED


def test_agreement_with_a_supervisor_that_is_never_wrong_is_not_measurable():
    rows = evidence(outcome({**SHARES, "supervisor": 1.0}))
    row = rows["naive", "agreement_where_supervisor_wrong"]
    assert row.value is None
    assert "never wrong" in row.notes
    assert rows["naive", "agreement_where_supervisor_right"].value == pytest.approx(0.75)


def test_an_arm_that_is_always_right_still_has_an_interval():
    """Clopper and Pearson's, each of the 100 groups a trial: 1 - 0.025^(1/100) below 1."""
    row = evidence(outcome({**SHARES, "ceiling": 1.0}))["ceiling", "accuracy"]
    assert row.value == row.high == 1
    assert row.low == pytest.approx(0.025 ** (1 / 100))
