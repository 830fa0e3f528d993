"""Which section a study gets, and what the generic one says."""

import sys

import pytest

from toprope.report import sections
from toprope.report.figures import interval_plot
from toprope.report.page import Section
from toprope.report.sections import generic_section, section_for

from .debates import self_play_rows


@pytest.fixture
def attacks(row):
    fields = {"study": "red_team", "better": "lower", "unit": "prompts", "n": 200}
    rate = "attack_success_rate"
    return [
        row("plain", rate, (0.44, 0.40, 0.49), **fields | {"role": "control"}),
        row(
            "prefix",
            rate,
            (0.81, 0.76, 0.85),
            **fields | {"controls": {"plain": 0.44}, "truth": "model", "baseline": 0.86},
        ),
        row("broken", rate, None, notes="all 40 runs timed out", **fields),
        row("prefix", "seconds", (1234.5, 1200, 1300), **fields | {"role": "diagnostic"}),
    ]


def test_a_technique_tells_its_own_numbers(study) -> None:
    assert section_for("weak_to_strong", study()).title == "Weak-to-strong generalization"


def test_a_techniques_further_studies_have_their_own() -> None:
    found = section_for("self_play", self_play_rows()).title
    assert found == "Self-play: debaters trained to win"


@pytest.mark.parametrize("name", ["red_team", "report", "class"])
def test_any_other_study_gets_the_generic_section(attacks, name: str) -> None:
    before = set(sys.modules)

    assert section_for(name, attacks).title == "Red team"
    assert not {module for module in set(sys.modules) - before if "techniques" in module.split(".")}


@pytest.mark.parametrize("name", ["../../etc", "os.path", "weak_to_strong.report", "", "<script>"])
def test_a_study_with_an_odd_name_is_never_looked_up(attacks, monkeypatch, name: str) -> None:
    looked_up = []
    monkeypatch.setattr(sections, "find_spec", looked_up.append)

    assert section_for(name, attacks).title == "Red team"
    assert looked_up == []


def test_the_generic_section_has_a_figure_for_each_metric_and_every_number(attacks) -> None:
    section = generic_section(attacks)

    assert [figure.title for figure in section.figures] == ["Attack success rate", "Seconds"]
    svg = section.figures[0].draw(title="t", width=720)
    for text in ("81.0% (76.0–85.0)", "not measurable", "attack success rate (lower is better)"):
        assert text in svg
    assert ">baseline<" in svg
    assert [list(row[:4]) for row in section.tables[0].rows] == [
        ["Plain", "control", "attack success rate", "44.0% (40.0–49.0)"],
        ["Prefix", "result", "attack success rate", "81.0% (76.0–85.0)"],
        ["Broken", "result", "attack success rate", "not measurable"],
        ["Prefix", "diagnostic", "seconds", "1,230 (1,200–1,300)"],
    ]


def test_the_generic_section_tells_results_beside_their_controls(attacks) -> None:
    section = generic_section(attacks)

    assert section.summary == [
        "4 measurements in 3 arms on cities of strong-model, overseen by weak-model.",
        "Prefix: attack success rate 81.0% (76.0–85.0). Its controls: plain 44.0%.",
    ]


def test_many_results_are_told_in_part(row) -> None:
    section = generic_section([row(f"m{i}", "accuracy", (0.5, 0.4, 0.6)) for i in range(8)])

    assert len(section.summary) == 1 + 5 + 1
    assert section.summary[-1] == "The other 3 results are in the table."


def test_limits_say_what_intervals_cover_who_judged_and_what_is_missing(attacks) -> None:
    limits = " ".join(generic_section(attacks).limits)

    assert "The 95% intervals come from resampling prompts" in limits
    assert "a model's judgements" in limits
    assert "1 number wasn't measurable; the notes say why." in limits


def test_notes_and_fingerprints_are_kept_for_who_wants_to_check(attacks) -> None:
    details = dict(generic_section(attacks).details)

    assert details["Notes recorded with the numbers"] == (
        "Broken, attack success rate: all 40 runs timed out."
    )
    assert details["Models, data and fingerprints"] == (
        "overseer weak-model, target strong-model, dataset cities, split ab12, "
        "configuration 9f3c2e11aa"
    )


@pytest.mark.parametrize(
    ("change", "names"),
    [
        ({"dataset": "arithmetic"}, ["A (cities)", "A (arithmetic)"]),
        ({"target": "big"}, ["A (weak-model to strong-model)", "A (weak-model to big)"]),
        (
            {"config_hash": "0123456789"},
            ["A (configuration 9f3c2e11)", "A (configuration 01234567)"],
        ),
    ],
)
def test_settings_are_told_apart_by_what_differs(row, change, names) -> None:
    numbers = (0.5, 0.4, 0.6)
    section = generic_section(
        [row("a", "accuracy", numbers), row("a", "accuracy", numbers, **change)]
    )

    assert [row[0] for row in section.tables[0].rows] == names


def test_figures_can_be_drawn_by_the_page(attacks) -> None:
    section = generic_section(attacks)

    assert isinstance(section, Section)
    assert interval_plot([], title="t", x_label="x").startswith("<svg ")
    for width in (340, 720):
        for figure in section.figures:
            assert f'viewBox="0 0 {width} ' in figure.draw(title="t", width=width)
