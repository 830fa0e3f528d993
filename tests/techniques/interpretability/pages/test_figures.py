"""The figures: bars as high as counts are on a logarithmic scale, scores beside their controls."""

import re
from itertools import pairwise

import pytest

from toprope.techniques.interpretability.pages.figures import histogram_plot, scores_plot, short

EDGES = [2.0 ** (n / 4) for n in range(-8, 17)]


def bars(svg: str) -> list[tuple[float, float, float, str]]:
    """(x, width, height, what it says) of each."""
    found = re.findall(
        r'<rect x="([\d.]+)" y="[\d.]+" width="([\d.]+)" height="([\d.]+)"[^>]*>'
        r"<title>([^<]*)",
        svg,
    )
    return [(float(x), float(width), float(height), said) for x, width, height, said in found]


def test_bars_are_on_a_log_scale() -> None:
    counts = [0] * 24
    counts[10:14] = [1, 10, 100, 1000]
    drawn = bars(histogram_plot(EDGES, counts))

    heights = [height for _, _, height, _ in drawn]
    steps = [b - a for a, b in pairwise(heights)]
    assert steps == pytest.approx([steps[0]] * 3, abs=0.03)
    assert heights[0] > 5  # a single count is seen
    assert [said.split(": ")[1] for *_, said in drawn] == ["1", "10", "100", "1,000"]


def test_empty_bins_at_the_ends_take_no_room_and_those_between_do() -> None:
    counts = [0] * 24
    counts[4], counts[7] = 5, 5
    (x1, width, _, _), (x2, *_) = bars(histogram_plot(EDGES, counts))
    assert x2 - x1 == pytest.approx(3 * (width + 1), abs=0.05)
    assert x2 + width == pytest.approx(331, abs=0.05)  # 340 wide, 8 of margin, 1 between bars


def test_octaves_are_labelled_where_bins_divide_octaves() -> None:
    svg = histogram_plot(EDGES, [7] * 24)
    labels = re.findall(r">([\d.]+)</text>", svg)
    assert labels == ["1", "10", "0.25", "1", "4", "16"]  # after those of counts


def test_a_peak_is_drawn_where_its_value_lies() -> None:
    def places(svg: str) -> list[float]:
        return [float(x) for x in re.findall(r'<line x1="([\d.]+)"[^>]*class="reference"', svg)]

    edges, counts = [0.0, 1.0, 2.0, 3.0, 4.0], [3, 3, 3, 3]
    starts = [x for x, *_ in bars(histogram_plot(edges, counts))]
    at_edge, between, beyond = places(histogram_plot(edges, counts, [1.0, 2.5, 99.0]))
    assert at_edge == pytest.approx(starts[1], abs=0.02)
    assert between == pytest.approx((starts[2] + starts[3]) / 2, abs=0.02)
    assert beyond == pytest.approx(332, abs=0.02)


def test_a_histogram_without_counts_can_be_drawn() -> None:
    assert bars(histogram_plot([0.0, 1.0], [0])) == []


@pytest.mark.parametrize(
    ("value", "text"), [(0.25, "0.25"), (4.0, "4"), (1 / 3, "0.333"), (-2.0, "−2"), (0.0, "0")]
)
def test_short_numbers(value: float, text: str) -> None:
    assert short(value) == text


def test_each_score_is_followed_by_its_controls(interval) -> None:
    shuffled = ("shuffled", interval(0.5, 0.4, 0.6))
    svg = scores_plot(
        [
            ("detection", interval(0.84, 0.78, 0.89), [shuffled]),
            ("fuzzing", interval(0.7, 0.6, 0.8), []),
        ]
    )
    rows = re.findall(r"<g><title>([^<]*)</title>", svg)
    assert rows == [
        "detection: 0.84 (0.78–0.89).",
        "shuffled: 0.50 (0.40–0.60).",
        "fuzzing: 0.70 (0.60–0.80).",
    ]
    assert svg.count('class="control hollow"') == 2  # its mark, and the legend's
