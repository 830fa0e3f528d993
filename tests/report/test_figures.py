"""Figures: what stands where, and that no text becomes markup."""

from xml.etree import ElementTree

import pytest

from toprope.report.figures import IntervalRow, ReferenceLine, Series, interval_plot, line_plot
from toprope.report.svg import element, fit, text_width, wrap
from toprope.report.text import DECIMAL

WIDTHS = (340, 720)
HOSTILE = """</text></svg><script>alert(1)</script>"><img src=x onerror='alert(1)'>&amp;\x00"""


def parsed(svg: str) -> ElementTree.Element:
    """The drawing, without its namespace; fails where it isn't well-formed."""
    return ElementTree.fromstring(svg.replace('xmlns="http://www.w3.org/2000/svg"', "", 1))


def plot(*rows: IntervalRow, width: float = 720, **options) -> ElementTree.Element:
    return parsed(interval_plot(rows, title="A title", x_label="share", width=width, **options))


def texts(svg: ElementTree.Element) -> list[str]:
    return [text.text or "" for text in svg.iter("text")]


def whisker_and_dot(group: ElementTree.Element) -> tuple[float, float, float]:
    """Where a row's whisker begins and ends, and where its dot is."""
    line = next(each for each in group.findall("line") if each.get("y1") == each.get("y2"))
    dot = group.find("circle")
    assert dot is not None
    return float(line.attrib["x1"]), float(line.attrib["x2"]), float(dot.attrib["cx"])


@pytest.mark.parametrize("width", WIDTHS)
def test_dot_and_whisker_stand_where_their_values_are_on_the_axis(width: float) -> None:
    svg = plot(IntervalRow("a", 0.5, 0.25, 0.75), width=width, x_range=(0.0, 1.0))

    axis = next(each for each in svg.findall("line") if each.get("class") == "axis")
    left, right = float(axis.get("x1", "")), float(axis.get("x2", ""))
    places = whisker_and_dot(svg.findall("g")[0])
    assert places == pytest.approx(
        [left + share * (right - left) for share in (0.25, 0.75, 0.5)], abs=0.01
    )


@pytest.mark.parametrize("width", WIDTHS)
def test_every_row_shows_its_label_and_its_number_in_words(width: float) -> None:
    svg = plot(
        IntervalRow("Naive", 0.688, 0.671, 0.703),
        IntervalRow("Ceiling", 0.789, 0.78, 0.797, kind="reference"),
        width=width,
    )

    assert {"Naive", "68.8% (67.1–70.3)", "Ceiling", "78.9% (78.0–79.7)"} <= set(texts(svg))
    assert svg.get("viewBox", "").split()[2] == str(width)


def test_what_could_not_be_measured_is_said_and_not_drawn() -> None:
    svg = plot(IntervalRow("CCS", None, note="all runs failed"))

    row = svg.findall("g")[0]
    assert "not measurable" in texts(svg)
    assert row.findtext("title") == "CCS: not measurable. all runs failed"
    assert not row.findall("circle")
    assert not row.findall("line")


def test_a_whisker_that_leaves_the_range_ends_in_an_arrow_and_its_number_stays() -> None:
    svg = plot(IntervalRow("a", 0.5, -9, 0.75), x_range=(0.0, 1.0), numbers=DECIMAL)

    row = svg.findall("g")[0]
    assert len(row.findall("polyline")) == 1
    assert "0.50 (−9.00 to 0.75)" in texts(svg)


def test_a_value_beyond_the_range_has_no_dot() -> None:
    svg = plot(IntervalRow("a", 5.0, 0.5, 9.0), x_range=(0.0, 1.0))

    assert not svg.findall("g")[0].findall("circle")


def test_kinds_differ_in_shape_and_are_named_where_there_are_several() -> None:
    kinds = ("result", "control", "reference", "diagnostic")
    svg = plot(*(IntervalRow(kind.upper(), 0.5, 0.4, 0.6, kind=kind) for kind in kinds))

    assert set(kinds) <= set(texts(svg))
    marks = [
        next(
            (part.tag, part.get("fill"), len(part.get("points", "").split()))
            for part in group
            if part.tag in ("circle", "polygon")
        )
        for group in svg.findall("g")[:4]
    ]
    assert len(set(marks)) == 4


def test_one_kind_alone_needs_no_legend() -> None:
    assert "result" not in texts(plot(IntervalRow("a", 0.5, 0.4, 0.6)))


def test_reference_lines_are_drawn_and_named_unless_beyond_the_range() -> None:
    lines = [ReferenceLine(0.5, "inside"), ReferenceLine(7, "outside")]
    svg = plot(IntervalRow("a", 0.5, 0.4, 0.6), x_range=(0.0, 1.0), reference_lines=lines)

    assert "inside" in texts(svg)
    assert "outside" not in texts(svg)
    assert sum(each.get("class") == "reference" for each in svg.findall("line")) == 1


def test_names_of_reference_lines_close_to_each_other_do_not_overlap() -> None:
    lines = [ReferenceLine(0.50, "supervisor"), ReferenceLine(0.51, "ceiling")]
    svg = plot(IntervalRow("a", 0.5, 0.4, 0.6), x_range=(0.0, 1.0), reference_lines=lines)

    heights = {each.text: each.get("y") for each in svg.iter("text")}
    assert heights["supervisor"] != heights["ceiling"]


def test_seeds_are_drawn_as_points_behind_the_dot() -> None:
    svg = plot(IntervalRow("a", 0.5, 0.4, 0.6, points=(0.41, 0.5, 0.62)))

    assert len(svg.findall("g")[0].findall("circle")) == 4


def test_no_rows_at_all_still_give_a_figure() -> None:
    assert plot().get("viewBox")


def test_a_screen_reader_gets_a_name_and_the_numbers() -> None:
    svg = plot(IntervalRow("Naive", 0.688, 0.671, 0.703))

    assert svg.get("role") == "img"
    assert svg.get("aria-label") == svg.findtext("title") == "A title"
    assert "Naive: 68.8% (67.1–70.3)." in (svg.findtext("desc") or "")


@pytest.mark.parametrize("width", WIDTHS)
def test_no_text_becomes_markup(width: float) -> None:
    rows = [IntervalRow(HOSTILE, 0.5, 0.4, 0.6, note=HOSTILE), IntervalRow(HOSTILE, None)]
    curve = Series(HOSTILE, [0, 1], [0, 1])
    drawings = (
        interval_plot(
            rows,
            title=HOSTILE,
            description=HOSTILE,
            x_label=HOSTILE,
            reference_lines=[ReferenceLine(0.5, HOSTILE)],
            width=width,
        ),
        line_plot([curve], title=HOSTILE, x_label=HOSTILE, y_label=HOSTILE, width=width),
    )

    for drawing in drawings:
        svg = parsed(drawing)
        assert {each.tag for each in svg.iter()} <= {
            *("svg", "title", "desc", "g", "text", "line", "circle", "polyline", "polygon")
        }
        assert not [name for each in svg.iter() for name in each.attrib if name.startswith("on")]
        assert svg.findtext("title") == HOSTILE.replace("\x00", "\N{REPLACEMENT CHARACTER}")


def test_children_that_are_not_markup_are_escaped_and_so_are_attributes() -> None:
    built = element("text", "<b>", element("title", "&"), class_='"><script>')

    assert built == ('<text class="&#34;&gt;&lt;script&gt;">&lt;b&gt;<title>&amp;</title></text>')


def test_a_curve_is_interrupted_where_it_has_no_value() -> None:
    gap = float("nan")
    svg = parsed(
        line_plot(
            [Series("a", [1, 2, 3, 4, 5], [0.1, 0.2, gap, 0.4, 0.5], kind="control")],
            title="t",
            x_label="seed",
            y_label="accuracy",
        )
    )

    curve = svg.findall("g")[0]
    assert [len(line.get("points", "").split()) for line in curve.findall("polyline")] == [2, 2]
    assert len(curve.findall("circle")) == 4


def test_a_band_runs_along_both_of_its_edges() -> None:
    band = Series("a", [0, 1, 2], [0.5, 0.6, 0.7], low=[0.4, 0.5, 0.6], high=[0.6, 0.7, 0.8])
    svg = parsed(line_plot([band], title="t", x_label="x", y_label="y"))

    polygon = svg.find("polygon")
    assert polygon is not None
    assert len(polygon.get("points", "").split()) == 6


def test_curves_differ_by_dash_and_are_named() -> None:
    curves = [Series(name, [0, 1], [0, 1]) for name in ("one", "two", "three")]
    svg = parsed(line_plot(curves, title="t", x_label="x", y_label="y"))

    dashes = [line.get("stroke-dasharray") for line in svg.iter("polyline")]
    assert len(set(dashes)) == 3
    assert {"one", "two", "three"} <= set(texts(svg))


def test_a_label_is_cut_to_its_room_with_an_ellipsis() -> None:
    cut = fit("a label that is much too long", 100, 13)

    assert cut.endswith("…")
    assert text_width(cut, 13) <= 100
    assert fit("short", 100, 13) == "short"


def test_a_label_is_broken_between_words_and_only_its_last_line_is_cut() -> None:
    lines = wrap("cities, small-model to a-model-with-a-very-long-name", 160, 13, 2)

    assert lines[0] == "cities, small-model"
    assert lines[1].startswith("to a-model")
    assert lines[1].endswith("…")
    assert all(text_width(line, 13) <= 160 for line in lines)
    assert wrap("", 160, 13, 2) == []


def test_an_endless_label_costs_no_more_than_a_long_one() -> None:
    assert len(" ".join(wrap("word " * 10_000, 1e6, 13, 2))) <= 200
