"""The pages in a real browser: hostile text doesn't run, the index is searched and sorted."""

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from toprope.techniques.interpretability.pages import (
    IndexPage,
    IndexRow,
    LatentPage,
    write_index,
    write_page,
)

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

pytestmark = pytest.mark.browser


@pytest.fixture(scope="module")
def tab(chromium: "Browser") -> Iterator["Page"]:
    page = chromium.new_page(viewport={"width": 1200, "height": 800})
    yield page
    page.close()


@pytest.fixture(scope="module")
def rows(interval) -> list[IndexRow]:
    """400 latents, with scores from -0.2 to 0.2; 3 has none."""
    labels = {0: "Votes in parliament", 1: "budget votes", 2: "knitting", 12: "twelve"}
    return [
        IndexRow(
            i,
            labels.get(i, f"label {chr(97 + i % 26)}"),
            None if i == 3 else interval((i * 37 % 400) / 1000 - 0.2, -0.4, 0.9),
            interpretable=i % 2 == 0,
            rate=10.0 ** -(i % 5),
        )
        for i in range(400)
    ]


@pytest.fixture(scope="module")
def index(tmp_path_factory, rows) -> Path:
    return write_index(IndexPage("a dictionary", rows), tmp_path_factory.mktemp("index"))


@pytest.fixture(scope="module")
def hostile_files(tmp_path_factory, hostile, hostile_page: LatentPage) -> list[Path]:
    folder = tmp_path_factory.mktemp("hostile")
    rows = [IndexRow(i, text) for i, text in enumerate(hostile)]
    index = IndexPage(hostile[0], rows, hostile, hostile[1], hostile[2], hostile[3])
    return [write_page(hostile_page, folder), write_index(index, folder)]


def shown(tab: "Page") -> list[int]:
    return [int(one) for one in tab.locator("tbody th").all_inner_texts()]


def head(tab: "Page", column: int):
    return tab.locator("thead button").nth(column)


@pytest.mark.parametrize("which", [0, 1], ids=["page", "index"])
def test_nothing_hostile_runs_and_nothing_is_fetched(tab, hostile_files, which: int) -> None:
    path = hostile_files[which]
    requests, messages = [], []
    tab.on("request", lambda request: requests.append(request.url))
    tab.on("console", lambda message: messages.append(message.text))
    tab.on("pageerror", lambda error: messages.append(str(error)))

    tab.goto(path.as_uri())
    for span in tab.locator(".window span").all()[:10]:
        span.hover()

    assert tab.evaluate("window.pwned") is None
    assert tab.locator("img, iframe, [onload], [onerror], [onmouseover]").count() == 0
    assert requests == [path.as_uri()]
    assert messages == []  # not even a breach of the security policy


@pytest.mark.parametrize("which", [0, 1], ids=["page", "index"])
@pytest.mark.parametrize("width", [320, 400, 800, 1400])
def test_nothing_scrolls_sideways(tab, hostile_files, which: int, width: int) -> None:
    tab.set_viewport_size({"width": width, "height": 800})
    tab.goto(hostile_files[which].as_uri())
    assert tab.evaluate("document.scrollingElement.scrollWidth - innerWidth") <= 0


def test_the_peak_is_underlined_and_shades_follow_the_scheme(tab, tmp_path, page) -> None:
    tab.goto(write_page(page, tmp_path).as_uri())
    peak = tab.locator(".windows .p")
    assert peak.inner_text() == " bill"
    assert "underline" in peak.evaluate("it => getComputedStyle(it).textDecorationLine")

    shades = []
    for scheme in ("light", "dark"):
        tab.emulate_media(color_scheme=scheme)
        shades.append(peak.evaluate("it => getComputedStyle(it).backgroundColor"))
    tab.emulate_media(color_scheme="light")
    assert len(set(shades)) == 2
    assert all(shade.startswith("rgba") for shade in shades)


def test_the_index_is_searched_by_words_and_by_number(tab, index: Path) -> None:
    tab.goto(index.as_uri())
    search, found = tab.locator("input"), tab.locator("output")

    search.fill("VOTES")
    assert shown(tab) == [0, 1]
    assert found.inner_text() == "2 of 400 latents"
    search.fill("votes bud")
    assert shown(tab) == [1]
    search.fill("12")
    assert shown(tab) == [12, *range(120, 130)]
    search.fill("no such label")
    assert shown(tab) == []
    assert found.inner_text() == "0 of 400 latents"


def test_the_index_is_sorted_by_any_column(tab, index: Path, rows: list[IndexRow]) -> None:
    tab.goto(index.as_uri())
    scores = {row.latent: row.score.value for row in rows if row.score}

    head(tab, 2).click()
    assert shown(tab)[:5] == sorted(scores, key=lambda i: -round(scores[i], 2))[:5]
    head(tab, 2).click()
    lowest = sorted(scores, key=lambda i: round(scores[i], 2))
    assert shown(tab)[:5] == lowest[:5]
    assert tab.locator("th[aria-sort=ascending]").inner_text().startswith("Score")

    tab.locator("#more").click()
    assert shown(tab) == [*lowest, 3]  # the one without a score is last

    head(tab, 5).click()
    assert shown(tab)[:3] == [0, 5, 10]  # those that fire on every token
    head(tab, 1).click()
    assert tab.locator("tbody td:nth-child(2)").first.inner_text() == "budget votes"
    head(tab, 4).click()
    assert shown(tab)[:3] == [0, 2, 4]
    tab.locator("input").fill("votes")
    assert shown(tab) == [0, 1]  # the order outlasts a search


def test_only_the_first_are_laid_out_until_more_are_asked_for(tab, index: Path) -> None:
    tab.goto(index.as_uri())
    assert shown(tab) == list(range(200))
    assert tab.locator("output").inner_text() == "the first 200 of 400 latents"
    tab.locator("#more").click()
    assert shown(tab) == list(range(400))
    assert not tab.locator("#more").is_visible()


def test_without_scripts_it_is_the_whole_table(chromium: "Browser", index: Path) -> None:
    context = chromium.new_context(java_script_enabled=False)
    tab = context.new_page()
    tab.goto(index.as_uri())
    assert tab.locator("tbody tr:visible").count() == 400
    assert not tab.locator("input").is_visible()
    context.close()
