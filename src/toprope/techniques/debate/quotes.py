"""Quotes: what a debater quotes is looked up in the passage and marked for the judge.

Khan et al. 2024 (arXiv 2402.06782), after Michael et al. 2023: a debater quotes by
<quote>...</quote>; what stands in the passage is shown to the judge as <v_quote>, what doesn't as
<u_quote>. Small models quote in their own ways too: <blockquote>, or four words and more between
quotation marks, are looked up as well. Spaces, case and a stop at the end don't matter, a few words
in a row aren't enough to be a quote, and marks that the debater sets itself count for nothing.
"""

import re
from dataclasses import dataclass

MINIMUM = 8
"""Characters, spaces put together, below which a match is chance and a quote stays unverified."""

_TAG = r"(?:[vu]_|block)?quote>"
# A closing tag of any of the four, or none where the text broke off; or four words in quotation
# marks.
_QUOTE = re.compile(
    rf"<{_TAG}(.*?)(?:</{_TAG}|(?=<{_TAG})|\Z)|(?<![^\s(:])[\"\u201c]((?:[^\s\"\u201c\u201d<>]+\s+){{3,}}"
    r"[^\"\u201c\u201d<>]*)[\"\u201d]",
    re.S,
)
_STRAY = re.compile(rf"</?{_TAG}")
_TYPOGRAPHY = str.maketrans({"\u2018": "'", "\u2019": "'", "\u201c": '"', "\u201d": '"'})


@dataclass(frozen=True)
class Marked:
    """A text whose quotes are marked, and how many were found in the passage and how many not."""

    text: str
    verified: int
    unverified: int


def mark(text: str, passage: str, *, minimum: int = MINIMUM) -> Marked:
    """The text with each quote as <v_quote> or <u_quote>."""
    source = _plain(passage)
    counts = {"v": 0, "u": 0}

    def marked(quote: re.Match[str]) -> str:
        inside = _STRAY.sub("", quote[1] or quote[2] or "").strip()
        plain = _plain(inside).rstrip(".,;: ")
        kind = "v" if len(plain) >= minimum and plain in source else "u"
        counts[kind] += 1
        return f"<{kind}_quote>{inside}</{kind}_quote>"

    parts, at = [], 0
    for quote in _QUOTE.finditer(text):
        parts += [_STRAY.sub("", text[at : quote.start()]), marked(quote)]
        at = quote.end()
    parts.append(_STRAY.sub("", text[at:]))
    return Marked("".join(parts), counts["v"], counts["u"])


def _plain(text: str) -> str:
    return " ".join(text.translate(_TYPOGRAPHY).split()).casefold()
