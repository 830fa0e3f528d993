"""The page: self-contained, accessible, safe with hostile text, and written whole or not at all."""

import base64
import hashlib
import itertools
import os
import re
from dataclasses import replace
from functools import partial
from html.parser import HTMLParser
from pathlib import Path

import pytest

from toprope.errors import UserError
from toprope.report.figures import IntervalRow, ReferenceLine, interval_plot
from toprope.report.page import (
    Figure,
    Highlight,
    Machine,
    RunInfo,
    Section,
    Table,
    render,
    write_report,
)

HOSTILE = (
    "<script>window.pwned=1</script>",
    '"><img src=x onerror="window.pwned=1">',
    "'><svg onload=window.pwned=1>",
    "</svg><script>window.pwned=1</script>",
    "</style><script>window.pwned=1</script>",
    "</title></code></pre><iframe src=javascript:window.pwned=1>",
    "{{ 7 * 7 }}{% include 'report.html' %}",
    "]]><!-- --><!doctype html><base href=//evil.example>",
    "&lt;script&gt;&#60;script&#62;",
    "javascript:window.pwned=1",
    "\u202egnp.exe\x00\ud800",
)


class Outline(HTMLParser):
    """What a page is made of: its tags, their attributes, and its text."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str]]] = []
        self.text = ""
        self._open: list[str] = []
        self.texts: dict[str, str] = {}
        self.feed(page)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, {name: value or "" for name, value in attrs}))
        if tag not in ("meta", "img", "base", "link", "br"):
            self._open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        if tag in self._open:
            while self._open.pop() != tag:
                pass

    def handle_data(self, data: str) -> None:
        self.text += data
        if self._open:
            self.texts[self._open[-1]] = self.texts.get(self._open[-1], "") + data

    @property
    def shape(self) -> set[tuple[str, str]]:
        """Every (tag, attribute) that occurs."""
        return {(tag, name) for tag, attributes in self.elements for name in (*attributes, "")}

    def all(self, tag: str) -> list[dict[str, str]]:
        return [attributes for name, attributes in self.elements if name == tag]


def section_of(text: str) -> Section:
    """A section with everything that one can have, and `text` everywhere."""
    rows = [IntervalRow(text, 0.5, 0.4, 0.6, note=text), IntervalRow(text, None, note=text)]
    draw = partial(interval_plot, rows, x_label=text, reference_lines=[ReferenceLine(0.5, text)])
    section = Section(
        title=text,
        summary=[text, f"{text} 69.0–73.1"],
        highlights=[Highlight(text, text, text, main=True)],
        figures=[Figure(text, draw, text)],
        tables=[Table(text, [text, text], [[text, text]], frozenset({1}), frozenset({0}))],
        limits=[text],
        details=[(text, text)],
    )
    return replace(section, subsections=[section])


def run_of(text: str, run: RunInfo) -> RunInfo:
    return replace(
        run,
        name=text,
        created=text,
        toprope_version=text,
        machine=Machine(text, 2, text, text),
        command=text,
        config_yaml=text,
        studies=[(text, 1.0), (text, None)],
    )


@pytest.mark.parametrize("text", HOSTILE)
def test_text_from_data_or_models_never_becomes_markup(run_info: RunInfo, text: str) -> None:
    harmless = Outline(render(run_of("text", run_info), [section_of("text")] * 2))
    page = Outline(render(run_of(text, run_info), [section_of(text)] * 2))

    assert page.shape == harmless.shape
    assert [tag for tag, _ in page.elements].count("svg") == 8
    assert not {"script", "img", "iframe", "base", "object", "link"} & {t for t, _ in page.elements}
    assert not [name for _, name in page.shape if name.startswith("on")]
    ids = [attributes["id"] for _, attributes in page.elements if "id" in attributes]
    assert len(ids) == len(set(ids))


def test_hostile_text_is_shown_as_it_was_written(run_info: RunInfo) -> None:
    page = Outline(render(run_of(HOSTILE[0], run_info), []))

    assert page.texts["h1"] == HOSTILE[0]
    assert page.texts["title"].startswith(HOSTILE[0])


def test_characters_that_reorder_text_or_that_no_file_can_hold_are_replaced(run_info) -> None:
    html = render(run_of("\u202egnp.exe\x00\ud800", run_info), [section_of("\u202e\ud800")])

    assert html.encode("utf-8")
    assert not {"\u202e", "\x00"} & set(html)


def test_a_figure_that_was_not_built_from_escaped_parts_is_shown_as_text(run_info) -> None:
    figure = Figure("f", lambda *, title, width: "<svg><script>1</script></svg>")  # type: ignore
    page = Outline(render(run_info, [Section("s", ["p"], figures=[figure])]))

    assert not page.all("svg")
    assert "<svg><script>1</script></svg>" in page.text


def test_the_page_stands_alone(run_info: RunInfo) -> None:
    html = render(run_info, [section_of("text")])
    page = Outline(html)

    links = [a[name] for _, a in page.elements for name in ("src", "href", "srcset") if name in a]
    assert all(link.startswith("#") for link in links)
    assert "url(" not in html
    assert "@import" not in html
    # The one address in it is a namespace, which nothing fetches.
    assert set(re.findall(r"https?://[^\"' ]+", html)) == {"http://www.w3.org/2000/svg"}


def test_the_security_policy_allows_this_style_sheet_and_nothing_else(run_info: RunInfo) -> None:
    page = Outline(render(run_info, [section_of("text")]))

    policy = next(m["content"] for m in page.all("meta") if "http-equiv" in m)
    digest = base64.b64encode(hashlib.sha256(page.texts["style"].encode()).digest()).decode()
    assert policy == (
        f"default-src 'none'; style-src 'sha256-{digest}'; base-uri 'none'; form-action 'none'"
    )
    assert not [name for _, name in page.shape if name == "style"]


def test_tables_are_semantic_and_scroll_in_a_named_box(run_info: RunInfo) -> None:
    page = Outline(render(run_info, [section_of("text")]))

    scopes = [heading["scope"] for heading in page.all("th")]
    assert scopes == ["col", "col", "row"] * 2
    assert len(page.all("caption")) == len(page.all("table")) == 2
    boxes = [each for each in page.all("div") if each.get("role") == "region"]
    assert all(box["aria-label"] and box["tabindex"] == "0" for box in boxes)
    assert len(boxes) == 2


def test_headings_go_down_by_one_level_at_a_time(run_info: RunInfo) -> None:
    page = Outline(render(run_info, [section_of("text")]))

    levels = [int(tag[1]) for tag, _ in page.elements if re.fullmatch(r"h[1-6]", tag)]
    assert levels[0] == 1
    assert all(after - before <= 1 for before, after in itertools.pairwise(levels))


def test_a_reader_finds_cost_machine_and_how_to_reproduce_it(run_info: RunInfo) -> None:
    text = " ".join(Outline(render(run_info, [])).text.split())

    assert "5 min 12 s" in text
    assert "184,230 in 4,000 prompts" in text
    assert "A CPU, 2 cores" in text
    assert "install toprope 0.1.0 on Python 3.11.9 with PyTorch 2.13.0, and run:" in text
    assert "toprope climb config.yaml name" not in text
    assert "toprope climb config.yaml" in text
    assert "name: quickstart seed: 0" in text


def test_a_run_without_a_finished_study_says_so(run_info: RunInfo) -> None:
    assert "No study has finished yet" in render(run_info, [])


def test_what_was_not_recorded_is_not_invented(run_info: RunInfo) -> None:
    bare = replace(run_info, machine=Machine(), seed=None, created="", studies=[("a", None)])
    text = Outline(render(bare, [])).text

    assert "not recorded" in text
    assert "time not recorded" in text
    assert "None" not in text


def test_a_range_of_numbers_is_not_broken_between_lines(run_info: RunInfo) -> None:
    html = render(run_info, [Section("s", ["from 69.0–73.1% & more"])])

    assert 'from <span class="whole">69.0–73.1</span>% &amp; more' in html


def colours() -> dict[str, dict[str, str]]:
    """The style sheet's colours, by scheme."""
    import toprope.report

    style = Path(toprope.report.__file__).with_name("templates") / "style.html"
    blocks = re.findall(r":root \{(.*?)\}", style.read_text(encoding="utf-8"), re.DOTALL)
    return {
        scheme: dict(re.findall(r"--(\w+): (#[0-9a-f]{6});", block))
        for scheme, block in zip(("light", "dark"), blocks, strict=True)
    }


def contrast(one: str, other: str) -> float:
    """The contrast ratio of WCAG 2.2, from 1 to 21."""

    def luminance(colour: str) -> float:
        channels = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
        linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
        return sum(w * c for w, c in zip((0.2126, 0.7152, 0.0722), linear, strict=True))

    light, dark = sorted((luminance(one), luminance(other)), reverse=True)
    return (light + 0.05) / (dark + 0.05)


def test_contrast_is_measured_as_the_standard_says() -> None:
    assert contrast("#ffffff", "#000000") == pytest.approx(21)
    assert contrast("#777777", "#ffffff") == pytest.approx(4.48, abs=0.01)  # a known near miss


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("ink", ["ink", "muted", "accent"])
@pytest.mark.parametrize("paper", ["paper", "wash"])
def test_text_has_the_contrast_that_wcag_asks_for(scheme: str, ink: str, paper: str) -> None:
    palette = colours()[scheme]

    assert contrast(palette[ink], palette[paper]) >= 4.5


def test_a_report_replaces_the_last_one_and_leaves_nothing_else(tmp_path, run_info) -> None:
    path = tmp_path / "report.html"
    write_report(path, run=run_info, sections=[])
    write_report(path, run=replace(run_info, name="again"), sections=[])

    assert Outline(path.read_text(encoding="utf-8")).texts["h1"] == "again"
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("blow", [OSError(28, "No space left on device"), KeyboardInterrupt()])
def test_an_interrupted_write_leaves_the_last_report(tmp_path, run_info, monkeypatch, blow) -> None:
    path = tmp_path / "report.html"
    path.write_text("the last one")

    def fail(*_: object) -> None:
        raise blow

    monkeypatch.setattr(os, "replace", fail)

    with pytest.raises((UserError, KeyboardInterrupt)):
        write_report(path, run=run_info, sections=[])

    assert path.read_text() == "the last one"
    assert list(tmp_path.iterdir()) == [path]


def test_a_report_that_can_not_be_written_is_one_line(tmp_path: Path, run_info: RunInfo) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match=r"can't write the report .*: File exists"):
        write_report(tmp_path / "file" / "report.html", run=run_info, sections=[])
