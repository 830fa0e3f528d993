"""The report in a real browser: nothing runs, nothing scrolls sideways, everything prints."""

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from toprope.evidence import Evidence
from toprope.report.page import RunInfo, write_report
from toprope.report.sections import generic_section, section_for
from toprope.techniques.redteam import findings

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

pytestmark = pytest.mark.browser

PAYLOADS = (
    "<script>window.pwned=1</script>",
    '"><img src=x onerror="window.pwned=1">',
    "</svg><script>window.pwned=1</script>",
    "</style><svg onload=window.pwned=1>",
    "a-name-without-any-place-to-break-it-" * 8,
)


@pytest.fixture(scope="module")
def phone(chromium: "Browser") -> Iterator["Page"]:
    page = chromium.new_page(viewport={"width": 360, "height": 740})
    yield page
    page.close()


@pytest.fixture(scope="module")
def report(tmp_path_factory, run_info: RunInfo, study) -> Path:
    path = tmp_path_factory.mktemp("report") / "report.html"
    several = study() + study(gap=False, dataset="arithmetic")
    write_report(path, run=run_info, sections=[section_for("weak_to_strong", several)])
    return path


@pytest.fixture(scope="module")
def hostile_report(tmp_path_factory, run_info: RunInfo, study) -> Path:
    """All that data and models can name, named by an attacker."""
    path = tmp_path_factory.mktemp("hostile") / "report.html"
    script, image, drawing, style, long = PAYLOADS
    rows = study(dataset=script, overseer=image, target=drawing, unit=style, config_hash=long)
    rows += study(dataset=long, overseer=script, split=image, config_hash=drawing)
    rows = [row.model_copy(update={"notes": style}) for row in rows]
    named = [
        row.model_copy(update={"arm": text, "metric": text, "study": text, "controls": {text: 0.5}})
        for row, text in zip(rows, PAYLOADS, strict=False)
    ]
    run = replace(run_info, name=script, command=image, config_yaml=long, studies=[(drawing, 1.0)])
    sections = [section_for("weak_to_strong", rows), generic_section(named)]
    write_report(path, run=run, sections=sections)
    return path


@pytest.fixture(scope="module")
def findings_report(tmp_path_factory, run_info: RunInfo) -> Path:
    """A red-teaming report whose target answered what an attacker would have it answer."""
    run = tmp_path_factory.mktemp("run")
    folder = run / "artifacts" / "redteam" / "of-this-target"
    folder.mkdir(parents=True)
    lines = [
        {
            "id": text,
            "cluster": 1,
            "request": text,
            "behaviour": text,
            "category": text,
            "family": text,
            "strategy": text,
            "messages": [{"role": "user", "content": text}],
            "prefill": "",
            "response": text,
            "outcome": "judged",
            "score": 1.0,
            "successes": 1,
            "target": {"name": text},
        }
        for text in PAYLOADS
    ]
    for name in (findings.FILE, findings.ATTEMPTS):
        (folder / name).write_text("".join(json.dumps(line) + "\n" for line in lines))
    row = Evidence(
        study="redteam",
        arm="campaign",
        role="control",
        metric="attack_success_rate",
        value=1.0,
        low=0.5,
        high=1.0,
        n=5,
        unit="behaviours",
        better="neither",
        overseer="",
        target=PAYLOADS[0],
        dataset=PAYLOADS[1],
        seed=0,
        truth="model",
        config_hash="x",
        notes=PAYLOADS[2],
    )
    path = run / "report.html"
    sections = [section_for("redteam", [row], run / "artifacts")]
    write_report(path, run=run_info, sections=sections)
    return path


def overflow(page: "Page") -> int:
    """By how many pixels the page is wider than its window."""
    return page.evaluate("document.scrollingElement.scrollWidth - innerWidth")


@pytest.mark.parametrize("name", ["hostile_report", "findings_report"])
def test_nothing_runs_and_nothing_is_fetched(phone: "Page", request, name: str) -> None:
    hostile_report: Path = request.getfixturevalue(name)
    requests, messages = [], []
    phone.on("request", lambda request: requests.append(request.url))
    phone.on("console", lambda message: messages.append(message.text))
    phone.on("dialog", lambda dialog: messages.append(dialog.message))

    phone.goto(hostile_report.as_uri())

    assert phone.evaluate("window.pwned") is None
    assert phone.locator("script, img, iframe, [onload], [onerror]").count() == 0
    assert requests == [hostile_report.as_uri()]
    assert messages == []  # not even a breach of the security policy


def test_what_a_target_said_is_folded_away(phone: "Page", findings_report: Path) -> None:
    phone.goto(findings_report.as_uri())
    said = phone.get_by_text(f"TARGET: {PAYLOADS[0]}").first
    assert not said.is_visible()
    phone.get_by_text(f"Transcript {PAYLOADS[0]}").first.click()
    assert said.is_visible()


@pytest.mark.parametrize("name", ["report", "hostile_report", "findings_report"])
def test_nothing_scrolls_sideways(phone: "Page", request, name: str) -> None:
    phone.goto(request.getfixturevalue(name).as_uri())

    for width in (320, 360, 420, 768, 1200):
        phone.set_viewport_size({"width": width, "height": 740})
        assert overflow(phone) <= 0, f"at {width} pixels"


@pytest.mark.parametrize(("width", "shown"), [(360, "narrow"), (1200, "wide")])
def test_the_figure_that_fits_is_shown_and_its_text_stays_within_it(
    phone: "Page", report: Path, width: int, shown: str
) -> None:
    phone.set_viewport_size({"width": width, "height": 740})
    phone.goto(report.as_uri())

    visible = phone.locator("figure svg:visible")
    assert visible.count() == phone.locator(f"figure .{shown} svg").count() > 0
    outside = visible.evaluate_all(
        """drawings => drawings.flatMap(svg => [...svg.querySelectorAll('text')].filter(text => {
            const box = text.getBBox(), view = svg.viewBox.baseVal
            return box.x < -0.5 || box.x + box.width > view.width + 0.5
                || box.y < 0 || box.y + box.height > view.height
        })).map(text => text.textContent)"""
    )
    assert outside == []


def test_text_on_a_phone_is_large_enough_to_read(phone: "Page", report: Path) -> None:
    phone.set_viewport_size({"width": 340, "height": 740})
    phone.goto(report.as_uri())

    smallest = phone.evaluate(
        """() => Math.min(...[...document.querySelectorAll('figure .narrow text')].map(text =>
            text.getScreenCTM().a * parseFloat(text.getAttribute('font-size'))))"""
    )
    assert smallest >= 10


def test_the_page_follows_the_colour_scheme_and_prints_on_white(phone, report: Path) -> None:
    phone.goto(report.as_uri())

    def paper() -> str:
        return phone.evaluate("getComputedStyle(document.body).backgroundColor")

    phone.emulate_media(color_scheme="dark")
    dark = paper()
    phone.emulate_media(color_scheme="light")
    light = paper()
    phone.emulate_media(color_scheme="dark", media="print")
    printed = paper()
    phone.emulate_media(color_scheme="light", media="screen")

    assert light == printed == "rgb(255, 255, 255)"
    assert dark == "rgb(20, 24, 28)"


def test_it_prints_with_its_folded_parts(phone: "Page", report: Path) -> None:
    phone.goto(report.as_uri())
    folded = phone.locator("details:not([open]) .text").first

    visible = "element => element.checkVisibility({contentVisibilityAuto: true})"
    assert not folded.evaluate(visible)
    phone.emulate_media(media="print")
    assert folded.evaluate(visible)
    phone.emulate_media(media="screen")

    pdf = phone.pdf(prefer_css_page_size=True)
    assert pdf.startswith(b"%PDF-")
    assert len(pdf) > 20_000
