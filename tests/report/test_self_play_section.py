"""What the report says of self-play: before and after, for debate and its control."""

from pathlib import Path

from toprope.techniques.debate.report.self_play import kept, section

from . import debates
from .debates import self_play_rows


def drawn(title: str) -> str:
    [figure] = [one for one in section(self_play_rows()).figures if one.title == title]
    return str(figure.draw(title=title, width=720))


def test_the_finding_is_the_gain_and_the_difference_of_both_gains() -> None:
    assert section(self_play_rows()).summary[0] == (
        "Before strong-debater was trained to win, the judge weak-judge was right in 60.0% "
        "(56.0–64.0) of debates on passages; after 2 trainings in 68.0% (64.0–72.0): a difference "
        "of 8.0 points (95% interval 4.0–12.0), clear of zero. Over what the same training does "
        "for consultancy, that is 9.0 points (5.0–13.0), clear of zero."
    )


def test_debate_and_consultancy_are_drawn_after_each_training() -> None:
    svg = drawn("Judge accuracy before and after each training")
    order = [
        "Debate, untrained",
        "Debate, after training 1",
        "Debate, after training 2",
        "Consultancy, untrained",
        "Consultancy, after training 2",
    ]
    places = [svg.index(f">{name}<") for name in order]
    assert places == sorted(places)
    gains = drawn("Gain in accuracy over the untrained model")
    for text in ("untrained", "published", "Debate&#39;s gain less consultancy&#39;s"):
        assert f">{text}<" in gains


def test_signs_of_reward_hacking_are_told_by_their_intervals() -> None:
    words = " ".join(section(self_play_rows()).summary)
    assert (
        "In debate, after training 2, changed, clear of zero: words of a speech by 12.00 "
        "(10.00–14.00), quotes of a speech that are in the passage by −0.30 (−0.34 to −0.26) and "
        "speeches that quote words with their answer in them by 25.0 points (21.0–29.0); not clear "
        "of zero: quotes of a speech that aren't in the passage."
    ) in words
    assert (
        "70.0% (66.0–74.0) arguing for the right answer, 50.0% (46.0–54.0) for a wrong one" in words
    )


def test_what_could_not_be_measured_is_told() -> None:
    rows = [row for row in self_play_rows() if row.arm != "headline"]
    rows.append(debates.made("headline", "accuracy_gain", None, study="self_play", notes="too few"))
    shown = section(rows)
    assert shown.summary[0] == (
        "No finding can be stated for strong-debater: no gain could be measured."
    )
    assert shown.tables[-1].rows == [["Headline", "Accuracy gain", "too few"]]


def test_the_same_seating_before_and_after_and_pairs_stand_side_by_side(tmp_path: Path) -> None:
    [part] = kept(debates.leave_self_play(tmp_path))
    details = dict(part.details)
    [title] = [one for one in details if one.startswith("Debate, after training 1, right")]
    page = details[title]
    assert page.index(">Debate, untrained<") < page.index(">Debate, after training 1<")
    [pair] = [body for name, body in part.details if "learned from" in name]
    assert "Preferred, rated 0.90" in pair
    assert "Other, rated 0.20" in pair
    assert part.tables[0].rows[0][:6] == [
        "Debate, after training 1",
        "1",
        "2",
        "3",
        "0.70 to 0.50",
        "0.00 to 1.00",
    ]


def test_every_figure_can_be_drawn_at_both_widths() -> None:
    for figure in section(self_play_rows()).figures:
        for width in (340, 720):
            assert f'viewBox="0 0 {width} ' in figure.draw(title="t", width=width)
