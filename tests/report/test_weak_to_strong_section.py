"""What the report says of weak-to-strong evidence: the finding, and only what the numbers show."""

import re

import pytest

from toprope.techniques.weak_to_strong.report import section


def replaced(rows, arm, metric, **changes):
    """The rows, one of them changed."""
    return [
        row.model_copy(update=changes) if (row.arm, row.metric) == (arm, metric) else row
        for row in rows
    ]


def moved(rows, arm, value, low, high):
    """The rows with another accuracy for an arm."""
    return replaced(rows, arm, "accuracy", value=value, low=low, high=high)


def told(rows) -> str:
    return " ".join(section(rows).summary)


def drawn(rows, figure: int = 0) -> str:
    return section(rows).figures[figure].draw(title="t", width=720)


def test_the_finding_comes_first_with_its_interval_and_how_the_method_was_chosen(study) -> None:
    assert section(study()).summary[0] == (
        "The labels of weak-model taught strong-model to 71.2% on cities (95% interval 69.0–73.1). "
        "The supervisor itself scores 64.0%, and the same student trained on true labels 78.9%: "
        "the headline method (confidence, chosen without ground truth by agreement on held-out "
        "labels) recovers 0.48 of that gap (0.31–0.60)."
    )


def test_models_of_the_catalog_have_the_names_that_their_makers_gave(study) -> None:
    lead = section(study(overseer="smollm2-135m", target="qwen2.5-coder-0.5b")).summary[0]

    assert "The labels of SmolLM2-135M-Instruct taught Qwen2.5-Coder-0.5B-Instruct to" in lead


def test_without_a_clear_gap_no_pgr_is_given_anywhere(study) -> None:
    shown = section(study(gap=False))

    assert (
        "the gap between them, 1.0 points (95% interval −1.0 to 3.2), isn't clear of zero, so no "
        "performance gap recovered (PGR) is given."
    ) in shown.summary[0]
    assert "recovers" not in " ".join(shown.summary)
    assert shown.highlights[0].value == "none given"
    assert [figure.title for figure in shown.figures] == [
        "Accuracy of the supervisor, the student and its controls"
    ]
    assert {row[2] for row in shown.tables[0].rows} == {"", "not measurable"}


def test_where_no_pgr_is_given_for_another_reason_the_notes_say_which(study) -> None:
    why = "the ceiling is below the supervisor"
    rows = replaced(study(gap=False), "headline", "pgr", notes=why)
    rows = replaced(rows, "ceiling", "gap", value=-0.05, low=-0.07, high=-0.03)

    assert section(rows).summary[0].endswith(f"(PGR) is given: {why}.")


@pytest.mark.parametrize(
    ("naive", "words"),
    [
        ((0.600, 0.590, 0.610), "the headline method is better: its interval lies wholly above"),
        ((0.800, 0.790, 0.810), "the headline method is worse: its interval lies wholly below"),
        ((0.688, 0.671, 0.703), "isn't shown to be better: the two intervals overlap"),
        ((0.670, 0.650, 0.690), "isn't shown to be better: the two intervals overlap"),
        ((0.735, 0.725, 0.745), "isn't shown to be better: the two intervals overlap"),
    ],
)
def test_a_method_beats_naive_training_only_if_its_whole_interval_does(study, naive, words) -> None:
    assert words in told(moved(study(), "naive", *naive))


def test_other_methods_that_stand_apart_from_naive_training_are_named(study) -> None:
    assert (
        "Other methods whose interval lies wholly above naive training's: Filtered labels."
    ) in told(study())
    assert "No other method's interval stands apart from naive training's." in told(
        moved(study(), "filtered", 0.69, 0.68, 0.70)
    )


@pytest.mark.parametrize(
    ("random_errors", "words"),
    [
        ((0.600, 0.590, 0.610), "the headline method's interval lies wholly above that"),
        ((0.751, 0.738, 0.764), "so the supervisor's errors mislead the student more than random"),
        ((0.720, 0.700, 0.740), "this run doesn't show that the supervisor's errors mislead"),
    ],
)
def test_the_random_errors_control_is_told_as_it_came_out(study, random_errors, words) -> None:
    assert words in told(moved(study(), "random_errors", *random_errors))


def test_labels_brought_something_out_only_if_asking_does_clearly_worse(study, row) -> None:
    doubt = "this run doesn't show that the supervisor's labels bring out more than asking does"

    assert doubt not in told(study())
    assert doubt in told(moved(study(), "zero_shot", 0.70, 0.68, 0.72))

    def calibrated(*numbers: float) -> str:
        more = row("zero_shot_calibrated", "accuracy", numbers, role="control")
        return told([*study(), more])

    assert "with its leaning to one answer taken out 58.0%" in calibrated(0.58, 0.56, 0.60)
    assert doubt not in calibrated(0.58, 0.56, 0.60)
    assert doubt in calibrated(0.70, 0.68, 0.72)


def test_diagnostics_of_the_headline_method_are_told_in_words(study) -> None:
    assert (
        "The headline student disagrees with its supervisor on 18.2% of the test examples. Where "
        "the supervisor is wrong, the student repeats the error 61.0% of the time; where it is "
        "right, the student agrees 92.0% of the time."
    ) in told(study())


def test_a_headline_that_is_naive_training_is_not_compared_with_itself(study) -> None:
    rows = moved(study(), "headline", 0.688, 0.671, 0.703)
    rows = replaced(rows, "headline", "accuracy", notes="naive, chosen by default")

    assert "The headline method is naive training itself." in told(rows)


def test_supervisor_and_ceiling_frame_the_figure(study) -> None:
    svg = drawn(study())

    assert svg.index(">Supervisor<") < svg.index(">Naive<") < svg.index(">Ceiling<")
    assert ">supervisor<" in svg
    assert ">ceiling<" in svg
    assert ">CCS (unsupervised)<" in svg
    assert 'fill-opacity="0.08"' in svg  # the gap is shaded


def test_the_headline_method_stands_out_once(study) -> None:
    shown = section(study())
    names = [row[0] for row in shown.tables[0].rows]

    assert names.count("Confidence loss (headline)") == 1
    assert "Headline method" not in names
    assert shown.tables[0].strong == {names.index("Confidence loss (headline)")}


@pytest.mark.parametrize(
    "changes",
    [
        {"notes": "chosen anew for each seed"},
        {"notes": "confidence, in most seeds", "value": 0.715},
    ],
)
def test_a_headline_chosen_anew_for_each_seed_has_a_row_of_its_own(study, changes) -> None:
    rows = replaced(study(), "headline", "accuracy", **changes)

    assert "Headline method" in [row[0] for row in section(rows).tables[0].rows]


def test_a_small_gap_does_not_stretch_the_pgr_axis_without_end(study) -> None:
    rows = replaced(study(), "naive", "pgr", value=0.3, low=-40.0, high=55.0)
    svg = drawn(rows, figure=1)

    assert "0.30 (−40.00 to 55.00)" in svg
    ticks = re.findall(r'class="muted">([−\d.]+)</text>', svg)
    assert ticks == ["−1", "0", "1", "2"]


def test_the_figure_to_beat_is_marked_where_it_is_recorded(study) -> None:
    assert ">literature<" not in drawn(study(), figure=1)
    rows = replaced(study(), "naive", "pgr", baseline=0.8)
    assert ">literature<" in drawn(rows, figure=1)
    assert "Literature: the figure to beat" in section(rows).figures[1].caption


def test_limits_name_what_the_protocol_can_not_show(study) -> None:
    limits = " ".join(section(study()).limits)

    for words in ("frozen activations", "imitation saliency", "pretraining leakage", "overlap"):
        assert words in limits


def test_several_settings_are_shown_side_by_side_and_each_in_full(study) -> None:
    rows = study() + study(gap=False, dataset="arithmetic") + study(dataset="boolq")
    rows = [
        row.model_copy(update={"value": 0.2, "low": 0.1, "high": 0.3})
        if (row.dataset, row.arm, row.metric) == ("boolq", "headline", "pgr")
        else row
        for row in rows
    ]
    shown = section(rows)

    assert shown.summary == [
        "In 2 of 3 settings, the ceiling is clearly above the supervisor. There the headline "
        "method, chosen without ground truth, recovers from 0.20 to 0.48 of that gap (the "
        "performance gap recovered, PGR). No PGR is given in the other one.",
        "The headline method's interval lies wholly above that of naive training on the same "
        "labels in 0 of 3 settings, and wholly below it in 0; in 3 the two overlap.",
    ]
    assert [(row[0], row[1]) for row in shown.tables[0].rows] == [
        ("cities", "0.48 (0.31–0.60)"),
        ("arithmetic", "not measurable"),
        ("boolq", "0.20 (0.10–0.30)"),
    ]
    assert [part.title for part in shown.subsections] == ["cities", "arithmetic", "boolq"]
    assert "on boolq" in shown.subsections[2].summary[0]


def test_incomplete_evidence_is_called_that(study) -> None:
    rows = [row for row in study() if row.arm not in ("ceiling", "headline")]

    assert section(rows).summary[0] == (
        "No finding can be stated: no accuracy was recorded for the headline method and ceiling."
    )


def test_a_method_of_ones_own_is_shown_under_its_own_name(study, row) -> None:
    rows = [*study(), row("my_method", "accuracy", (0.7, 0.69, 0.71))]

    assert ">My method<" in drawn(rows)
