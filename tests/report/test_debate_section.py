"""What the report says of text debates: the finding beside its controls, and only what is shown."""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from toprope.evidence import Evidence
from toprope.techniques.debate.report import kept, section
from toprope.techniques.debate.report.exchange import exchange
from toprope.techniques.debate.report.reliability import calibration

from . import debates
from .debates import debate_rows


def replaced(rows: Sequence[Evidence], arm: str, metric: str, **changes: Any) -> list[Evidence]:
    found = [
        row.model_copy(update=changes) if (row.arm, row.metric) == (arm, metric) else row
        for row in rows
    ]
    assert found != list(rows)
    return found


def told(rows: Sequence[Evidence]) -> str:
    return " ".join(section(rows).summary)


def drawn(rows: Sequence[Evidence], title: str) -> str:
    [figure] = [one for one in section(rows).figures if one.title == title]
    return str(figure.draw(title=title, width=720))


def test_the_finding_stands_beside_blind_expert_and_chance() -> None:
    assert section(debate_rows()).summary[0] == (
        "With strong-debater arguing (debate), the judge weak-judge is right in 70.0% (95% "
        "interval 66.0–74.0) of games on 200 questions of passages; it is right in 50.0% without "
        "hearing anyone and 90.0% reading the passage itself (by chance 50%). It closes 50.0% "
        "(40.0–60.0) of that gap."
    )


def test_without_a_clear_gap_no_share_is_given_and_the_reason_is() -> None:
    why = "the gap from the blind to the expert judge isn't clear of zero: 1.0 points (-2.0 to 4.0)"
    rows = replaced(
        debate_rows(), "debate", "gap_closed_share", value=None, low=None, high=None, notes=why
    )
    shown = section(rows)
    assert f"Which share of that gap it closes isn't given: {why}." in shown.summary[0]
    assert ("Gap closed", "none given") in [(one.label, one.value) for one in shown.highlights]
    [missing] = [one for one in shown.tables if one.caption.startswith("What couldn't be measured")]
    assert ["Debate", "Gap closed share", why] in missing.rows
    assert ["Debate", "Honest elo", "the honest side won all or none"] in missing.rows


@pytest.mark.parametrize(
    ("low", "high", "words"),
    [(0.06, 0.14, "clear of zero. The"), (-0.02, 0.22, "this run doesn't show a difference")],
)
def test_consultancy_is_beaten_only_by_a_whole_interval(
    low: float, high: float, words: str
) -> None:
    rows = replaced(debate_rows(), "headline", "gain_over_consultancy", low=low, high=high)
    assert words in told(rows)
    assert "A true difference of 6.0 points in accuracy would be found with 80% power." in told(
        rows
    )


def test_confidence_is_told_at_both_thresholds_beside_the_published() -> None:
    assert (
        "before round 1, 70.0% (68.0–72.0) on average that they win, and 78.0% (76.0–80.0) before "
        "round 2: a rise of 8.0 points (6.0–10.0). In the end both bet above 75% in 40.0% "
        "(36.0–44.0) of games (published: 61.7%), and 75% or more in 50.0% (46.0–54.0) (71.7%); "
        "two bets sum to over 100% in 80.0% (76.0–84.0)."
    ) in told(debate_rows())
    svg = drawn(debate_rows(), "Overconfidence")
    assert ">published, above 75%<" in svg
    assert ">published, 75% or more<" in svg


def test_accuracy_is_drawn_with_lines_for_chance_blind_and_expert() -> None:
    svg = drawn(debate_rows(), "Judge accuracy by protocol")
    for text in ("blind", "expert", "chance", "Consultancy", "70.0% (66.0–74.0)"):
        assert f">{text}<" in svg
    assert 'fill-opacity="0.08"' in svg  # the gap is shaded


def test_rounds_are_whole_numbers_on_their_axis() -> None:
    for title in ("How sure debaters are to win, round by round", "The judge's drift"):
        svg = drawn(debate_rows(), title)
        assert not re.search(r">\d+\.5<", svg.split("<polyline")[-1])
        assert ">1<" in svg
        assert ">2<" in svg


def test_every_rate_has_its_interval_in_a_table() -> None:
    tables = {table.caption: table for table in section(debate_rows()).tables}
    judging = tables["How well the judge judges"]
    assert list(judging.rows[3][:3]) == ["Debate", "70.0% (66.0–74.0)", "72.0% (68.0–76.0)"]
    assert judging.strong == {3}
    outcomes = tables["What became of turns, verdicts and quotes"]
    assert list(outcomes.columns) == ["", "Turns refused", "Quotes not in the passage"]
    assert outcomes.rows == [["Debate", "5.0% (4.0–6.0)", "30.0% (26.0–34.0)"]]


def test_a_trained_judge_stands_beside_itself_before() -> None:
    controls = {"chance": 0.5, "blind": 0.5, "expert": 0.9, "untrained": 0.61}
    rows = replaced(debate_rows(), "debate", "accuracy", controls=controls)
    assert "Before it learned from transcripts it was right in 61.0%." in told(rows)
    [table] = [
        one for one in section(rows).tables if one.caption.startswith("What the judge learn")
    ]
    assert table.rows == [["Debate", "70.0% (66.0–74.0)", "61.0%"]]


def test_several_settings_are_counted_side_by_side_and_each_in_full() -> None:
    null = replaced(
        debate_rows(overseer="other"), "headline", "gain_over_consultancy", low=-0.1, high=0.3
    )
    shown = section([*debate_rows(), *null])
    assert shown.summary[0].startswith("In 1 of 2 settings the judge is more accurate")
    assert [part.title for part in shown.subsections] == [
        "weak-judge to strong-debater",
        "other to strong-debater",
    ]
    assert len(shown.tables[0].rows) == 2


def test_where_nobody_argues_there_is_still_a_section() -> None:
    rows = [row for row in debate_rows() if row.arm in ("blind", "expert")]
    assert "nobody argued: accuracy blind 50.0% (46.0–54.0) and expert 90.0%" in told(rows)


def test_every_figure_can_be_drawn_at_both_widths() -> None:
    shown = section([*debate_rows(), *debate_rows(dataset="claims")])
    for part in (shown, *shown.subsections):
        for figure in part.figures:
            for width in (340, 720):
                assert f'viewBox="0 0 {width} ' in figure.draw(title="t", width=width)


# --- what was kept ---


def test_both_seatings_of_a_question_stand_side_by_side(tmp_path: Path) -> None:
    [part] = kept(debates.leave(tmp_path, debates.games()))
    titles = [title for title, _ in part.details]
    assert titles[0].startswith("Debate, right in all seatings: When words?")
    assert titles[1].startswith("Consultancy on it")
    assert [one for one in titles if "depends on the seating" in one]
    assert [one for one in titles if "wrong in all seatings" in one]
    page = part.details[0][1]
    assert page.index(">A is right<") < page.index(">B is right<")
    assert "Assigned the right answer" in part.details[1][1]
    assert "Assigned the wrong answer" in part.details[1][1]


def test_quotes_are_marked_and_bets_are_the_readers_alone() -> None:
    some = debates.games()["debate"][:2]
    page = str(exchange(some[0].question, [("one", some[0]), ("two", some[1])]))
    assert '<q class="verified">In words</q> <small>[verified]</small>' in page
    assert '<q class="unverified">never words</q> <small>[not in the passage]</small>' in page
    assert (
        "Bets before round 1, for the reader alone: Debater A 80%, Debater B 81%; together 161%"
    ) in page
    assert "Scratchpad, for the reader alone: words" in page
    assert "Verdict</strong>: A (right); 90% for the right answer" in page


def test_calibration_is_drawn_with_intervals_by_question() -> None:
    parts = calibration({"debate": debates.games()["debate"]})
    [table] = parts["tables"]
    # Of six answers: 0.9 twice (one of them wrong), 0.7 twice, 0.8 twice; by ranges of a tenth.
    assert [row[1:] for row in table.rows] == [
        ["70.0%", "50.0% (0.0–100.0)", "2", "2"],
        ["80.0%", "50.0% (0.0–100.0)", "2", "2"],
        ["90.0%", "50.0% (0.0–100.0)", "2", "2"],
    ]
    assert len(parts["figures"]) == 1
    assert calibration({})["figures"] == []


def test_a_run_that_left_nothing_has_no_transcripts(tmp_path: Path) -> None:
    assert kept(tmp_path) == []
