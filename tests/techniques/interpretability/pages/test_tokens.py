"""Tokens as a page shows them: shaded by activation, white space visible, nothing that runs."""

import re
from html.parser import HTMLParser

import pytest

from toprope.techniques.interpretability.pages.tokens import LEVELS, level, spelled, window_html


class Spans(HTMLParser):
    """Each span's classes, title and text; any other tag but `i` is an error."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.spans: list[tuple[set[str], str, str]] = []
        self.feed(str(html))
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        assert (tag, set(given)) == ("i", set()) or tag == "span"
        assert set(given) <= {"class", "title"}
        if tag == "span":
            classes = set((given.get("class") or "").split())
            self.spans.append((classes, given["title"] or "", ""))

    def handle_data(self, data: str) -> None:
        classes, title, text = self.spans[-1]
        self.spans[-1] = (classes, title, text + data)


@pytest.mark.parametrize(
    ("activation", "highest", "expected"),
    [
        (0.0, 8.0, 0),
        (1e-9, 8.0, 1),
        (4.0, 8.0, LEVELS // 2),
        (8.0, 8.0, LEVELS),
        (9.0, 8.0, LEVELS),
        (float("nan"), 8.0, 0),
        (float("inf"), 8.0, LEVELS),
        (3.0, 0.0, 0),
    ],
)
def test_a_shade_is_linear_up_to_the_latents_highest(activation, highest, expected) -> None:
    assert level(activation, highest) == expected


def test_every_token_says_its_activation_and_the_peak_is_marked_by_more_than_colour(window) -> None:
    shown = window_html(window((" the", " bill", " was"), (1.5, 6.0, 0.0)), highest=8.0)

    assert Spans(shown).spans == [
        ({f"s{level(1.5, 8)}"}, "1.50", " the"),
        ({f"s{level(6, 8)}", "p"}, "6.00", " bill"),
        (set(), "0", " was"),
    ]


def test_a_hard_negative_shows_where_the_neighbour_fires(window) -> None:
    shown = window_html(window((" a", " dog"), kind="hard", centre=1), highest=8.0)
    assert [classes for classes, _, _ in Spans(shown).spans] == [set(), {"n"}]

    random = window_html(window((" a", " dog"), kind="random", centre=1), highest=8.0)
    assert [classes for classes, _, _ in Spans(random).spans] == [set(), set()]


@pytest.mark.parametrize(
    ("token", "in_text", "alone"),
    [
        (" vote", " vote", "·vote"),
        ("\n\n", "↵↵", "↵↵"),
        ("\tif", "⇥if", "⇥if"),
        ("    return", "····return", "····return"),
        (" ", "·", "·"),
        ("a\u00a0b", "a⍽b", "a⍽b"),
        ("\r\n", "␍↵", "␍↵"),
        ("<b>\u202e\n<i>", "<b>\ufffd↵<i>", "&lt;b&gt;\ufffd↵&lt;i&gt;"),
    ],
)
def test_white_space_is_visible(window, token: str, in_text: str, alone: str) -> None:
    ((_, _, text),) = Spans(window_html(window((token,), (1.0,)), 1.0)).spans
    assert text == in_text
    assert re.sub("</?i>", "", spelled(token)) == alone


def test_a_token_without_text_is_seen_where_it_fires(window) -> None:
    shown = window_html(window(("🙂", "", ""), (0.0, 2.0, 0.0)), highest=2.0)
    face, part = Spans(shown).spans
    assert face[2] == "🙂"
    assert "p" in part[0]
    assert part[2] == "▯"


def test_hostile_tokens_stay_text(window, hostile) -> None:
    values = tuple(float(i + 1) for i in range(len(hostile)))
    spans = Spans(window_html(window(hostile, values), highest=8.0)).spans

    assert [text for _, _, text in spans][:5] == list(hostile[:5])
    assert spans[5][2] == "\ufffdgnp.exe" + "\ufffd" * 3 + "[2J\ufffd"
