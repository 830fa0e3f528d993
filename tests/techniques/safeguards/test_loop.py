"""The closed loop's end. What it collects and learns is tested with the study."""

from typing import Any

import pytest

from toprope.techniques.safeguards.loop import Loop


@pytest.mark.parametrize(
    ("shares", "gained"),
    [([0.9], True), ([0.9, 0.5], True), ([0.5, 0.5], False), ([0.9, 0.4, 0.6], False)],
)
def test_a_round_has_gained_if_less_came_through_than_in_the_one_before(shares, gained):
    none: Any = None
    loop = Loop(none, none, none, [], [], [], 1, "probe")
    for share in shares:
        loop.rounds.append([("b", i < 10 * share) for i in range(10)])
    assert loop.gained == gained
