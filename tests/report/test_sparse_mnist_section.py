"""What the report says of debates over digits."""

from pathlib import Path

import pytest

from toprope.techniques.debate.report.sparse_mnist import kept, section

from . import debates
from .debates import digit_rows


def drawn(title: str, width: int = 720) -> str:
    [figure] = [one for one in section(digit_rows()).figures if one.title == title]
    return str(figure.draw(title=title, width=width))


def test_the_finding_stands_beside_the_judge_alone_and_the_publication() -> None:
    assert section(digit_rows()).summary[0] == (
        "A judge that sees 6 pixels, which an honest player and a liar pick in turn, sides with "
        "the truth for 88.9% (95% interval 84.9–92.9) of the digits (the liar first, committed to "
        "a lie: the worst of nine counts); on as many random pixels it is right for 59.4% "
        "(55.4–63.4). The debate gains 29.5 points (25.5–33.5), clear of zero. The published "
        "88.9%, up from 59.4%, is within that interval."
    )


def test_commitment_order_and_agents_are_told_by_their_intervals() -> None:
    words = " ".join(section(digit_rows()).summary)
    assert "Committed, liar first gains 5.0 points (3.0–7.0) over no commitment, clear" in words
    assert "gains 1.0 points (−3.0 to 5.0) over the liar second, not clear of zero" in words
    assert (
        "Agents that learned by self-play, without search (6 pixels, committed, liar first, "
        "trained agents): 70.0% (66.0–74.0), over the untrained ones 20.0 points (16.0–24.0), "
        "clear of zero. In 2 of 2 kinds of games their gain is clear of zero."
    ) in words


def test_each_number_of_pixels_has_its_figure_with_single_judges_and_the_published() -> None:
    svg = drawn("Judge's accuracy with 4 pixels")
    for text in ("Judge alone, random pixels", "Free, liar first", "published", "published alone"):
        assert f">{text}<" in svg
    assert svg.count('fill-opacity="0.35"') == 3 * len(debates.RULES)
    assert "85.2% (81.2–89.2)" in svg


def test_games_are_drawn_the_headlines_first_won_and_lost(tmp_path: Path) -> None:
    [part] = kept(debates.leave_digits(tmp_path))
    assert part.title == "Games: 4 pixels, committed, liar first"
    assert part.summary[0].endswith("The truth won 6 of 9 single games.")
    assert [figure.title for figure in part.figures] == [
        "A 1; the liar claims a 7; the truth wins",
        "A 1; the liar claims a 7; the truth wins",
        "A 1; the liar claims a 7; the liar wins",
    ]


@pytest.mark.parametrize(("pictures", "drawn"), [(1, 2), (3, 4)])
def test_as_many_games_are_drawn_as_was_asked_for(tmp_path: Path, pictures: int, drawn: int):
    [part] = kept(debates.leave_digits(tmp_path, pictures=pictures))
    assert len(part.figures) == drawn


def test_every_figure_fits_its_width(tmp_path: Path) -> None:
    shown = section(digit_rows())
    for figure in (*shown.figures, *kept(debates.leave_digits(tmp_path))[0].figures):
        for width in (340, 720):
            assert f'viewBox="0 0 {width} ' in figure.draw(title="t", width=width)
