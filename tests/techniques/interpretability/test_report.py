"""What the report says of a folder of features: shares beside their controls, and nothing that
wasn't measured."""

from typing import Any

import pytest

from toprope.evidence import Evidence
from toprope.report.page import Section
from toprope.techniques.interpretability.report import section

DEFINITION = "a latent is interpretable if its label tells where it fires; not scored: 2 dead"
OTHERS, NOTHING = "another latent's label", "no information"


def row(
    arm: str, metric: str, numbers: tuple[float, float, float] | None, **fields: Any
) -> Evidence:
    value, low, high = numbers or (None, None, None)
    usual = {
        "study": "interpretability",
        "role": "result" if numbers else "diagnostic",
        "n": 100,
        "unit": "latents",
        "better": "higher",
        "controls": {"frozen": 0.4},
        "overseer": "qwen2.5-coder-0.5b",
        "target": "smollm2-135m",
        "dataset": "mixed",
        "split": "ab12",
        "seed": 0,
        "truth": "ground_truth",
        "config_hash": "9f3c2e11aa",
    }
    return Evidence(arm=arm, metric=metric, value=value, low=low, high=high, **(usual | fields))


def score(arm: str, value: float, other: float, metric: str = "balanced_accuracy_trained"):
    return row(
        arm,
        metric,
        (value, value - 0.02, value + 0.02),
        controls={OTHERS: other, NOTHING: 0.5},
    )


def rate(arm: str, value: float, **controls: float) -> Evidence:
    numbers = (value, value - 0.1, value + 0.1)
    return row(arm, "interpretable", numbers, notes=DEFINITION, controls=controls)


@pytest.fixture
def evidence() -> list[Evidence]:
    return [
        row("seed-0", "fvu", (0.15, 0.14, 0.16), better="lower", unit="documents"),
        row("seed-0", "l0", (32.0, 32.0, 32.0), role="diagnostic", better="neither"),
        row("seed-0", "dead", (0.012, 0.01, 0.02), better="lower"),
        row("frozen", "fvu", (0.40, 0.39, 0.41), role="control", better="lower"),
        row("frozen", "l0", (31.0, 31.0, 31.0), role="control", better="neither"),
        row("seed-0", "shared_with_seed", (0.203, 0.18, 0.22)),
        row("seed-0", "ce_recovered", (0.9, 0.88, 0.92), unit="documents"),
        score("consensus/token-statistics", 0.62, 0.51),
        score("consensus/explainer", 0.72, 0.52),
        score("random-0/explainer", 0.58, 0.5),
        rate("seed-0/explainer", 0.5, **{OTHERS: 0.03, "frozen": 0.2, "random-0": 0.12}),
        rate("consensus/token-statistics", 0.3, **{OTHERS: 0.02}),
        rate("consensus/explainer", 0.6, **{OTHERS: 0.02, "random-consensus": 0.1}),
        row("frozen/explainer", "interpretable", (0.2, 0.1, 0.3), role="control"),
        row("random-consensus/explainer", "interpretable", (0.1, 0.05, 0.2), role="control"),
        row("random-0/token-statistics", "interpretable", None, notes="none was scored: 3 dead"),
    ]


@pytest.fixture
def told(evidence: list[Evidence]) -> Section:
    return section(evidence)


def test_the_rate_of_the_explainers_labels_of_the_consensus_comes_first(told):
    assert told.title == "Interpretability"
    assert told.summary[0] == (
        "Of the latents drawn from SmolLM2-135M-Instruct's dictionary 'consensus' 60.0% "
        "(50.0–70.0) are interpretable by the labels of 'explainer'; by another latent's label "
        "2.0%; of the same model with random weights 10.0%."
    )
    main = [one for one in told.highlights if one.main]
    assert [(one.label, one.value) for one in main] == [
        ("Interpretable, consensus, explainer", "60.0%")
    ]


def test_every_rate_stands_beside_the_controls_that_there_are(told):
    assert told.summary[1].endswith(
        "50.0% (40.0–60.0) are interpretable by the labels of 'explainer'; by another latent's "
        "label 3.0%; with a decoder that stayed random 20.0%; of the same model with random "
        "weights 12.0%."
    )
    assert told.summary[2].endswith(
        "30.0% (20.0–40.0) are interpretable by the labels of 'token statistics'; by another "
        "latent's label 2.0%."
    )
    # A control's own rate is no finding.
    assert not any("'frozen'" in line or "'random" in line for line in told.summary)
    assert any("1 number wasn't measurable" in limit for limit in told.limits)


def test_dictionaries_are_told_beside_the_frozen_decoder(told):
    assert told.summary[3:] == [
        "A dictionary leaves 15.0% (14.0–16.0) of the variance on held-out texts unexplained, with "
        "a decoder that stayed random 40.0% (39.0–41.0).",
        "20.3% (18.0–22.0) of its latents are in another seed's dictionary too.",
        "In the layer's place it keeps 90.0% (88.0–92.0) of what the layer adds to the model's "
        "predictions over its mean.",
    ]
    table = told.tables[0]
    assert [list(line[:5]) for line in table.rows] == [
        ["seed-0", "0.150 (0.140–0.160)", "", "32.0 (32.0–32.0)", "1.2% (1.0–2.0)"],
        ["frozen", "0.400 (0.390–0.410)", "", "31.0 (31.0–31.0)", ""],
    ]


def test_each_score_stands_beside_anothers_label_in_the_same_unit(told):
    assert [list(line) for line in told.tables[1].rows] == [
        *(
            [f"consensus, {who}", "balanced accuracy trained", own, other, "50.0%", "100"]
            for who, own, other in (
                ("token statistics", "62.0% (60.0–64.0)", "51.0%"),
                ("explainer", "72.0% (70.0–74.0)", "52.0%"),
            )
        ),
        [
            "random-0, explainer",
            "balanced accuracy trained",
            "58.0% (56.0–60.0)",
            "50.0%",
            "50.0%",
            "100",
        ],
    ]
    drawn = told.figures[0].draw(title="t", width=720)
    assert "consensus, explainer, trained, another" in drawn
    assert "52.0%" in drawn
    assert "random-0" not in drawn


def test_other_shares_stand_beside_their_controls(evidence):
    stable = row(
        "consensus/explainer", "label_stability", (0.7, 0.6, 0.8), controls={"others": 0.3}
    )
    unknown = row("seed-0", "absorption", None, unit="letters", n=0, notes="too few")
    table = section([*evidence, stable, unknown]).tables[2]
    assert [list(line) for line in table.rows] == [
        ["seed-0", "shared with seed", "20.3% (18.0–22.0)", "frozen 40.0%", "100 latents"],
        [
            "consensus, explainer",
            "label stability",
            "70.0% (60.0–80.0)",
            "others 30.0%",
            "100 latents",
        ],
        ["seed-0", "absorption", "not measurable", "frozen 40.0%", "0 letters"],
    ]


def test_the_definition_is_said_under_the_rates(told):
    [rates] = [one for one in told.figures if one.title == "Interpretable latents"]
    assert rates.caption == "A latent is interpretable if its label tells where it fires."


def test_nothing_measured_is_said_so():
    shown = section([row("consensus", "fvu_above_seeds", None, notes="no feature recurs")])
    assert shown.summary == [
        "Dictionaries of SmolLM2-135M-Instruct were made; nothing of them could be measured."
    ]
    assert shown.highlights == []


def test_each_target_has_a_part_of_its_own(evidence):
    other = [one.model_copy(update={"target": "./mine"}) for one in evidence]
    shown = section([*evidence, *other])
    assert [part.title for part in shown.subsections] == ["SmolLM2-135M-Instruct", "./mine"]
    assert [line.split(" 60.0%")[0] for line in shown.summary] == [
        "Of the latents drawn from SmolLM2-135M-Instruct's dictionary 'consensus'",
        "Of the latents drawn from ./mine's dictionary 'consensus'",
    ]
