"""A latent's page: what is given is on it, what isn't leaves no trace, nothing on it is markup."""

import base64
import hashlib
import re
from dataclasses import fields, replace
from html.parser import HTMLParser
from pathlib import Path

import pytest

from toprope.errors import UserError
from toprope.techniques.interpretability.examples import EDGES, LatentExamples
from toprope.techniques.interpretability.pages import (
    Group,
    Histogram,
    LatentPage,
    Neighbour,
    groups_of,
    histogram_of,
    write_page,
)
from toprope.techniques.interpretability.pages.page import render
from toprope.techniques.interpretability.pages.tokens import LEVELS

# What of each optional field must be read on the page.
SHOWN = {
    "label": ["the label"],
    "labelled_by": ["the explainer"],
    "interpretable": ["Interpretable", "yes"],
    "scores": ["the scorer", "0.84 (0.78–0.89)", "the shuffled label", "0.53 (0.45–0.60)"],
    "recurrence": ["in 3 of 4", "best cosine 0.91"],
    "rate": ["0.236%", "one token in 424"],
    "histogram": ["Activations", "1.00–2.00: 1,000"],
    "groups": ["Strongest", "the note", " bill", "Hard negatives", " dog", "The texts are the"],
    "neighbours": ["Neighbours", "77", "0.61", "the neighbour"],
    "promoted": ["promoted", "1.90"],
    "suppressed": ["suppressed", "−1.40"],
    "steered": ["Steering", "0.550", "0.0500", "steered"],
    "corpus": ["a web crawl"],
    "definition": ["the definition"],
    "index": [],
}


class Read(HTMLParser):
    """A page's tags with their attributes, and the text outside of its style sheet."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str]]] = []
        self.text, self.style = "", ""
        self._in_style = False
        self.feed(page)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, {name: value or "" for name, value in attrs}))
        self._in_style = tag == "style"

    def handle_endtag(self, tag: str) -> None:
        self._in_style = False

    def handle_data(self, data: str) -> None:
        if self._in_style:
            self.style += data
        else:
            self.text += data


def test_all_that_is_given_is_on_the_page(page: LatentPage) -> None:
    optional = {one.name for one in fields(LatentPage)} - {"latent", "dictionary", "highest"}
    assert set(SHOWN) == optional
    read = Read(render(page))
    for texts in SHOWN.values():
        for text in texts:
            assert text in read.text
    assert {"href": "latent-77.html"} in [given for tag, given in read.tags if tag == "a"]
    assert {"href": "index.html"} in [given for tag, given in read.tags if tag == "a"]


@pytest.mark.parametrize("name", [name for name in SHOWN if SHOWN[name]])
def test_what_is_not_given_is_not_shown(page: LatentPage, name: str) -> None:
    read = Read(render(replace(page, **{name: None})))
    words = [word for word in SHOWN[name] if word not in ("yes", "77", "promoted")]
    assert [word for word in words if word in read.text] == []
    assert "None" not in read.text


def test_a_latent_of_which_nothing_is_known_has_a_page() -> None:
    read = Read(render(LatentPage(latent=5, dictionary="d", highest=0.0)))
    assert read.text.split() == ["5", "d", "·", "latent", "5", "Latent", "5"]


def test_a_dead_latent_says_so() -> None:
    read = Read(render(LatentPage(latent=5, dictionary="d", highest=0.0, rate=0.0)))
    assert "on no token that was read" in read.text


def test_hostile_text_stays_text(hostile_page: LatentPage, hostile: tuple[str, ...]) -> None:
    html = render(hostile_page)
    read = Read(html)

    tags = {tag for tag, _ in read.tags}
    assert not tags & {"script", "img", "iframe", "base", "link", "object", "embed", "form"}
    names = {name for _, given in read.tags for name in given}
    assert not [name for name in names if name.startswith("on") or name in ("style", "src")]
    assert [text for text in hostile[:5] if text not in read.text] == []
    assert not re.search("[\u202e\u2066\x00\x1b\ud800]", html)


def test_the_policy_allows_this_style_sheet_and_nothing_else(page: LatentPage) -> None:
    read = Read(render(page))
    (policy,) = [given["content"] for tag, given in read.tags if "http-equiv" in given]
    digest = base64.b64encode(hashlib.sha256(read.style.encode()).digest()).decode()
    assert policy == (
        f"default-src 'none'; style-src 'sha256-{digest}'; base-uri 'none'; form-action 'none'"
    )


@pytest.mark.parametrize("href", ["javascript:alert(1)", "//evil.example", "http://x", "a b", ""])
def test_links_stay_beside_the_page(href: str) -> None:
    with pytest.raises(ValueError, match="link"):
        Neighbour(1, 0.5, href=href)
    with pytest.raises(ValueError, match="link"):
        LatentPage(latent=1, dictionary="d", highest=1.0, index=href)


def test_a_histogram_has_one_edge_more_than_bins() -> None:
    with pytest.raises(ValueError, match="2 edges of 2 bins"):
        Histogram((0.0, 1.0), (1, 2))


def test_the_file_is_written_whole_or_not_at_all(page: LatentPage, tmp_path: Path) -> None:
    path = write_page(page, tmp_path / "pages")
    assert path == tmp_path / "pages" / "latent-1234.html"
    assert path.read_text(encoding="utf-8") == render(page)
    assert list(path.parent.iterdir()) == [path]

    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="can't write the page"):
        write_page(page, tmp_path / "file")


def test_examples_become_groups(window) -> None:
    strata = [window((f"t{i}",), (float(i + 1),), quantile=i // 2) for i in range(8)]
    examples = LatentExamples(
        latent=1,
        rows=100,
        firings=9,
        peaks=9,
        highest=9.0,
        mean=4.0,
        histogram=(0,) * 40 + (9,) + (0,) * 23,
        top=(window(("top",), (9.0,)),),
        strata=tuple(strata),
        score=(),
        hard=tuple(window((f"h{i}",), kind="hard") for i in range(5)),
        random=(),
    )

    groups = groups_of(examples, most=3)

    assert [(one.title, "".join(w.text for w in one.windows)) for one in groups] == [
        ("Strongest", "top"),
        ("Quantile 4 of 4", "t7t6"),
        ("Quantile 3 of 4", "t5t4"),
        ("Quantile 2 of 4", "t3t2"),
        ("Quantile 1 of 4", "t1t0"),
        ("Hard negatives", "h0h1h2"),
    ]
    assert groups[1].note == "drawn at random; peaks 7.00–8.00"
    histogram = histogram_of(examples)
    assert histogram is not None
    assert histogram.edges == tuple(EDGES.tolist())
    assert histogram_of(replace(examples, firings=0)) is None


def test_windows_are_shaded_by_the_latents_highest_and_not_by_their_own(window) -> None:
    weak = window((" weak",), (2.0,))
    html = render(LatentPage(1, "d", highest=8.0, groups=(Group("g", (weak,)),)))
    assert f'<span class="s{LEVELS // 4} p" title="2.00"> weak</span>' in html


def test_text_is_readable_on_every_shade_in_both_schemes(page: LatentPage) -> None:
    """WCAG 2.1's 4.5 : 1 for text, from the style sheet's own colours."""
    style = Read(render(page)).style
    shares = [float(one) for one in re.findall(r"/ calc\(([\d.]+) \* var\(--strongest\)", style)]
    assert len(shares) == LEVELS
    assert shares == sorted(shares)
    strengths = [float(one) for one in re.findall(r"--strongest: ([\d.]+)", style)]
    tints = [tuple(map(int, one.split())) for one in re.findall(r"--tint: ([\d ]+)", style)]
    papers, inks = (
        [tuple(bytes.fromhex(one)) for one in re.findall(rf"--{name}: #(\w+)", style)]
        for name in ("paper", "ink")
    )
    assert [len(each) for each in (strengths, tints, papers, inks)] == [2, 2, 2, 2]

    for strongest, tint, paper, ink in zip(strengths, tints, papers, inks, strict=True):
        for share in shares:
            a = share * strongest
            ground = [a * t + (1 - a) * p for t, p in zip(tint, paper, strict=True)]
            light, dark = sorted((_luminance(ground), _luminance(ink)), reverse=True)
            assert (light + 0.05) / (dark + 0.05) >= 4.5


def _luminance(colour) -> float:
    linear = [c / 255 for c in colour]
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in linear]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]
