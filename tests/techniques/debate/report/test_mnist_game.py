"""The picture of a game."""

import re
from xml.etree import ElementTree

from toprope.techniques.debate.mnist.records import GameRecord, Reveal
from toprope.techniques.debate.report.mnist_game import game_picture


def _game(lie: int | None, rules: str = "precommitted liar first") -> GameRecord:
    beliefs = [[0.1] * 10, [0.0, 0.9, 0.0, 0.0, 0.0, 0.0, 0.0, 0.1, 0.0, 0.0]]
    reveals = tuple(
        Reveal(row=k, column=2, honest=k == 1, beliefs=tuple(beliefs[k])) for k in range(2)
    )
    image = ((0, 0, 255, 0), (0, 0, 128, 0), (0, 0, 0, 0), (0, 0, 0, 0))
    return GameRecord(image=image, truth=1, lie=lie, rules=rules, reveals=reveals, honest_won=True)


def test_the_picture_shows_pixels_in_order_by_side_and_the_judges_belief() -> None:
    svg = str(game_picture(_game(7)))

    root = ElementTree.fromstring(svg)
    texts = [one.text for one in root.iter() if one.tag.endswith("text")]
    assert {"1", "2", "honest agent", "liar", "truth: 1", "lie: 7"} <= set(texts)
    assert len([one for one in root.iter() if one.tag.endswith("rect")]) == 3  # two lit, one frame
    described = next(one.text for one in root.iter() if one.tag.endswith("desc"))
    assert described == (
        "pixel 1 by the liar at row 0, column 2: truth 0.10, lie 0.10; pixel 2 by the honest agent "
        "at row 1, column 2: truth 0.90, lie 0.10. In the end the judge sides with the truth."
    )


def test_without_commitment_the_likeliest_other_class_is_drawn() -> None:
    svg = str(game_picture(_game(None)))

    assert "likeliest other" in svg
    assert "any other digit" in svg


def test_what_a_record_holds_is_escaped() -> None:
    svg = str(game_picture(_game(7, rules="<script>alert(1)</script>")))

    assert "<script" not in svg
    assert re.search("&lt;script", svg)
