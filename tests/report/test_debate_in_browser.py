"""The sections on debates in a real browser, with all that a model can say said by an attacker."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from toprope.report.page import RunInfo, write_report
from toprope.techniques.debate.report import kept, section, self_play, sparse_mnist

from . import debates

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

pytestmark = pytest.mark.browser

PAYLOADS = (
    "<script>window.pwned=1</script>",
    '"><img src=x onerror="window.pwned=1">',
    "</td></table></details><script>window.pwned=1</script>",
    "<v_quote></q><svg onload=window.pwned=1>",
    "</style><u_quote>' onmouseover='window.pwned=1",
    "a-name-without-any-place-to-break-it-" * 8,
)
HOSTILE = " ".join(PAYLOADS)


@pytest.fixture(scope="module")
def phone(chromium: "Browser") -> Iterator["Page"]:
    page = chromium.new_page(viewport={"width": 360, "height": 740})
    yield page
    page.close()


def write(folder: Path, run_info: RunInfo, text: str) -> Path:
    """A report of all three sections, with what was kept, in which everything says `text`."""
    artifacts = debates.leave(folder, debates.games(text), name=text)
    debates.leave_self_play(folder, text)
    debates.leave_digits(folder)
    fields = {"overseer": text, "target": text, "dataset": text, "config_hash": text, "notes": text}
    rows = [
        row.model_copy(update=fields if row.arm != "headline" else fields | {"notes": row.notes})
        for row in debates.debate_rows()
    ]
    more = [row.model_copy(update=fields) for row in debates.self_play_rows()]
    digits = debates.digit_rows(overseer=text, dataset=text)
    sections = [
        replace(own.section(some), subsections=own.kept(artifacts))
        for own, some in ((_Texts, rows), (self_play, more), (sparse_mnist, digits))
    ]
    path = folder / "report.html"
    write_report(path, run=run_info, sections=sections)
    return path


class _Texts:
    section, kept = staticmethod(section), staticmethod(kept)


@pytest.fixture(scope="module")
def hostile(tmp_path_factory: pytest.TempPathFactory, run_info: RunInfo) -> Path:
    return write(tmp_path_factory.mktemp("hostile"), run_info, HOSTILE)


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory, run_info: RunInfo) -> Path:
    return write(tmp_path_factory.mktemp("plain"), run_info, "words")


def test_nothing_runs_and_nothing_is_fetched(phone: "Page", hostile: Path) -> None:
    requests, messages = [], []
    phone.on("request", lambda request: requests.append(request.url))
    phone.on("console", lambda message: messages.append(message.text))
    phone.on("dialog", lambda dialog: messages.append(dialog.message))

    phone.goto(hostile.as_uri())
    phone.evaluate("document.querySelectorAll('details').forEach(each => each.open = true)")

    assert phone.evaluate("window.pwned") is None
    assert phone.locator("script, img, iframe, [onload], [onerror], [onmouseover]").count() == 0
    assert requests == [hostile.as_uri()]
    assert messages == []  # not even a breach of the security policy


def test_what_was_said_stays_in_its_cell(phone: "Page", hostile: Path) -> None:
    phone.goto(hostile.as_uri())

    said = phone.locator("details td", has_text="window.pwned")
    assert said.count() > 10
    assert phone.locator("body > script, main > script").count() == 0
    # What closes tags in a text closes none on the page: all is where it was put.
    astray = "each => each.textContent.includes('window.pwned') && !each.closest('section')"
    assert not phone.locator("main > *").evaluate_all(f"all => all.some({astray})")


def test_transcripts_are_folded_away_and_stand_side_by_side(phone: "Page", plain: Path) -> None:
    phone.goto(plain.as_uri())
    bets = phone.get_by_text("Bets before round 1, for the reader alone").first
    assert not bets.is_visible()

    phone.get_by_text("Debate, right in all seatings").first.click()

    assert bets.is_visible()
    row = bets.locator("xpath=ancestor::tr")
    left, right = (cell.bounding_box() for cell in row.locator("td").all())
    assert left
    assert right
    assert left["y"] == right["y"]
    assert left["x"] + left["width"] <= right["x"] + 1


@pytest.mark.parametrize("name", ["plain", "hostile"])
def test_nothing_scrolls_sideways(phone: "Page", request, name: str) -> None:
    phone.goto(request.getfixturevalue(name).as_uri())
    phone.evaluate("document.querySelectorAll('details').forEach(each => each.open = true)")

    for width in (320, 360, 420, 768, 1200):
        phone.set_viewport_size({"width": width, "height": 740})
        wider = phone.evaluate("document.scrollingElement.scrollWidth - innerWidth")
        assert wider <= 0, f"at {width} pixels"


@pytest.mark.parametrize("width", [360, 1200])
def test_text_of_figures_stays_within_them_and_is_large_enough(
    phone: "Page", plain: Path, width: int
) -> None:
    phone.set_viewport_size({"width": width, "height": 740})
    phone.goto(plain.as_uri())

    visible = phone.locator("figure svg:visible")
    assert visible.count() > 10
    outside = visible.evaluate_all(
        """drawings => drawings.flatMap(svg => [...svg.querySelectorAll('text')].filter(text => {
            const box = text.getBoundingClientRect(), view = svg.getBoundingClientRect()
            return box.left < view.left - 1 || box.right > view.right + 1
                || box.top < view.top - 1 || box.bottom > view.bottom + 1
        })).map(text => text.textContent)"""
    )
    assert outside == []
    smallest = visible.evaluate_all(
        """drawings => Math.min(...drawings.flatMap(svg => [...svg.querySelectorAll('text')].map(
            text => text.getScreenCTM().a * parseFloat(text.getAttribute('font-size')))))"""
    )
    assert smallest >= 10


def test_it_prints_with_its_transcripts_on_white(phone: "Page", plain: Path) -> None:
    phone.goto(plain.as_uri())
    cell = phone.locator("details td").first
    visible = "element => element.checkVisibility({contentVisibilityAuto: true})"

    assert not cell.evaluate(visible)
    phone.emulate_media(media="print", color_scheme="dark")
    assert cell.evaluate(visible)
    background = phone.evaluate("getComputedStyle(document.body).backgroundColor")
    phone.emulate_media(media="screen", color_scheme="light")
    assert background == "rgb(255, 255, 255)"
