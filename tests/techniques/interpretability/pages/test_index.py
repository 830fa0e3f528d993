"""The index: a plain table of latents, light, and safe with hostile labels."""

import base64
import hashlib
import html as markup
import re
from dataclasses import replace
from pathlib import Path

import pytest

from toprope.report.page import Highlight
from toprope.techniques.interpretability.pages import (
    IndexPage,
    IndexRow,
    LatentPage,
    index_row,
    write_index,
)
from toprope.techniques.interpretability.pages.index import render


def cells(html: str) -> list[list[str]]:
    """The texts of the table's body."""
    body = html.partition("<tbody>")[2].partition("</tbody>")[0]
    rows = [row for row in body.split("<tr>") if row.strip()]
    return [[re.sub("<[^>]*>", "", cell).strip() for cell in row.split("<td>")] for row in rows]


def test_a_page_gives_its_row(page: LatentPage) -> None:
    html = render(IndexPage("d", [index_row(page)]))
    assert cells(html) == [
        ["1234", "the label", "0.84 0.78–0.89", "0.53 0.45–0.60", "yes", "0.2360%", "75%"]
    ]
    assert '<a href="latent-1234.html">1234</a>' in html


def test_what_is_not_known_is_left_empty_and_zero_is_not(page: LatentPage) -> None:
    bare = LatentPage(latent=4, dictionary="d", highest=0.0)
    dead = replace(bare, latent=5, rate=0.0)
    rare = replace(bare, latent=6, rate=1e-9, interpretable=False)
    html = render(IndexPage("d", [index_row(bare), index_row(dead), index_row(rare)]))
    assert cells(html) == [
        ["4", "", "", "", "", "", ""],
        ["5", "", "", "", "", "0%", ""],
        ["6", "", "", "", "no", "0.0000%", ""],
    ]


def test_a_latent_without_a_page_has_no_link() -> None:
    html = render(IndexPage("d", [IndexRow(4, "label")]))
    assert "<a " not in html


def test_what_the_dictionary_is_stands_above_its_latents() -> None:
    index = IndexPage(
        "the dictionary",
        [IndexRow(1)],
        facts=["2.1M tokens"],
        score="Detection",
        control="Shuffled",
        definition="the definition",
        highlights=[Highlight("Dead", "0.8%", "of all")],
    )
    text = re.sub("<[^>]*>", "", render(index).partition("<body>")[2])
    for said in ("the dictionary", "1 latent", "2.1M tokens", "Detection", "Shuffled", "0.8%"):
        assert said in text
    assert "Interpretable: the definition" in text


def test_hostile_labels_stay_text(hostile: tuple[str, ...]) -> None:
    rows = [IndexRow(i, text) for i, text in enumerate(hostile)]
    html = render(
        IndexPage(hostile[0], rows, facts=hostile, score=hostile[1], definition=hostile[3])
    )
    assert len(re.findall("<script", html)) == 1  # its own
    assert not re.search("<(img|svg|iframe)", html)
    assert not re.search("[\u202e\u2066\x00\x1b\ud800]", html)
    with pytest.raises(ValueError, match="link"):
        IndexRow(1, href="javascript:alert(1)")


def test_the_policy_allows_this_script_and_this_style_alone() -> None:
    html = render(IndexPage("d", [IndexRow(1)]))
    for tag in ("style", "script"):
        (inside,) = re.findall(rf"<{tag}>(.*?)</{tag}>", html, flags=re.DOTALL)
        digest = base64.b64encode(hashlib.sha256(inside.encode()).digest()).decode()
        assert f"{tag}-src 'sha256-{digest}'" in markup.unescape(html)
    assert "default-src 'none'" in html
    assert "unsafe" not in html


def test_rows_are_light(interval, tmp_path: Path) -> None:
    """A dictionary of 16,384 latents with labels of 50 characters stays below 4 MB."""
    row = IndexRow(
        16000,
        "x" * 50,
        interval(0.84, 0.78, 0.89),
        interval(0.53, 0.45, 0.6),
        True,
        0.00236,
        0.75,
        "latent-16000.html",
    )
    sizes = []
    for many in (10, 110):
        path = write_index(IndexPage("d", [row] * many), tmp_path)
        assert path == tmp_path / "index.html"
        sizes.append(path.stat().st_size)
    assert (sizes[1] - sizes[0]) / 100 * 16384 < 4e6
