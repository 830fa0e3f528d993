"""Linear axes."""

import pytest

from toprope.report.axes import axis_over


def test_values_are_placed_linearly_between_the_ends() -> None:
    axis = axis_over([], 100, 300, limits=(0.5, 1.0))

    assert [axis.place(value) for value in (0.5, 0.75, 1.0)] == [100, 200, 300]


def test_a_vertical_axis_runs_upwards() -> None:
    axis = axis_over([], 200, 0, limits=(0, 10))

    assert axis.place(2.5) == 150


def test_the_range_is_widened_to_whole_ticks() -> None:
    axis = axis_over([0.52, 0.797], 0, 1, ticks=6)

    assert axis.ticks == pytest.approx((0.5, 0.6, 0.7, 0.8))
    assert (axis.low, axis.high) == pytest.approx((0.5, 0.8))


@pytest.mark.parametrize("scale", [1e-9, 0.01, 1, 12345, 1e9])
@pytest.mark.parametrize("offset", [-3, 0, 0.37])
def test_ticks_are_evenly_spaced_cover_the_values_and_are_neither_few_nor_many(scale, offset):
    values = [scale * (offset + share) for share in (0.0, 0.3, 1.0)]

    axis = axis_over(values, 0, 1, ticks=6)

    gaps = [b - a for a, b in zip(axis.ticks, axis.ticks[1:], strict=False)]
    assert gaps == pytest.approx([axis.step] * len(gaps))
    assert axis.ticks[0] <= min(values) + 1e-9 * scale
    assert axis.ticks[-1] >= max(values) - 1e-9 * scale
    assert 3 <= len(axis.ticks) <= 8


def test_limits_are_kept_and_a_value_beyond_them_is_placed_at_the_edge() -> None:
    axis = axis_over([-50, 50], 0, 100, limits=(-1, 2))

    assert (axis.low, axis.high) == (-1, 2)
    assert (axis.place(-50), axis.place(50)) == (0, 100)
    assert not axis.holds(50)
    assert axis.holds(2)


@pytest.mark.parametrize("values", [[], [0.0], [0.7], [-4.0, -4.0], [float("nan")]])
def test_no_value_or_one_alone_still_gives_an_axis(values) -> None:
    axis = axis_over(values, 0, 1)

    assert axis.low < axis.high
    assert len(axis.ticks) >= 2
    assert all(axis.low < value < axis.high for value in values if value == value and value)
