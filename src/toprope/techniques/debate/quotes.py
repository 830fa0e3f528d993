"""Quotes: what a debater quotes is looked up in the passage and marked for the judge.

Khan et al. 2024 (arXiv 2402.06782), after Michael et al. 2023: a debater quotes by
<quote>...</quote>; what stands in the passage is shown to the judge as <v_quote>, what doesn't as
<u_quote>. Small models quote in their own ways too: <blockquote> is read alike, and four words and
more between quotation marks are marked where they stand in the passage, and left as they are where
they don't: they may be anybody's. Spaces, case and what stands around the words don't matter, nor
does the end of the last word where the text broke off within a quote. A quote of a word or a number
that does stand there proves nothing and isn't marked, nor is one of the question, which the judge
reads itself. Marks that the debater sets count for nothing.
"""

import re
from dataclasses import dataclass

MINIMUM = 8
"""Characters, spaces put together, below which a match is chance and a quote isn't marked."""

WORDS = 4
"""Between quotation marks, below which they're no quote."""

_TAG = r"\s*(?:[vu]_|block)?quote(?:\s+\w+\s*=[^<>\n]{0,80})?\s*>"
# A closing tag of any of the four, or none where the text broke off; or what quotation marks hold.
_QUOTE = re.compile(
    rf"<{_TAG}(.*?)(?:<\s*/{_TAG}|(?=<{_TAG})|\Z)"
    r"|[\"\u201c]([^\"\u201c\u201d<>]*)[\"\u201d](?!\w)",
    re.S | re.I,
)
# The angle that opens a mark is enough to be taken for one.
_STRAY = re.compile(rf"<\s*/?(?:{_TAG}|\s*(?:[vu]_|block)quote\b)", re.I)
_CLOSED = re.compile(rf"<\s*/{_TAG}\Z", re.I)
_HALF_TAG = re.compile(r"<\s*/?\s*\w{0,11}\Z")
_AROUND = " \t\n.,;:!?\"'*"
_TYPOGRAPHY = str.maketrans(
    {"\u2018": "'", "\u2019": "'", "\u201c": '"', "\u201d": '"', "\u2026": "..."}
)


@dataclass(frozen=True)
class Marked:
    """A text whose quotes are marked, and how many were found in the passage and how many not."""

    text: str
    verified: int
    unverified: int


def mark(text: str, passage: str, *, known: str = "", minimum: int = MINIMUM) -> Marked:
    """The text with each quote as <v_quote> or <u_quote>.

    Args:
        known: what the judge reads itself.
    """
    source, open_to_all = plain(passage), plain(known)
    counts = {"v": 0, "u": 0}

    def marked(quote: re.Match[str]) -> str:
        is_tagged = quote[1] is not None
        inside = _bare(quote[1] if is_tagged else quote[2]).strip()
        broke_off = is_tagged and quote.end() == len(text) and not _CLOSED.search(quote[0])
        if broke_off:
            inside = _HALF_TAG.sub("", inside).strip()
        words = plain(inside).strip(_AROUND)
        stands = bool(words) and holds(source, words)
        if broke_off and words and not stands and holds(source, words, goes_on=True):
            # Of a number that is all there was room for: 18 of 1889 would be another number.
            inside = inside.rpartition(" ")[0] if words[-1].isdigit() else inside
            words, stands = plain(inside).strip(_AROUND), bool(inside)
        is_enough = len(words) >= minimum
        if not is_tagged and not (stands and is_enough and len(words.split()) >= WORDS):
            return quote[0]
        if (stands and not is_enough) or (not stands and words and holds(open_to_all, words)):
            return inside
        kind = "v" if stands else "u"
        counts[kind] += 1
        return f"<{kind}_quote>{inside}</{kind}_quote>"

    parts, at = [], 0
    for quote in _QUOTE.finditer(text):
        parts += [_bare(text[at : quote.start()]), marked(quote)]
        at = quote.end()
    parts.append(_bare(text[at:]))
    return Marked("".join(parts), counts["v"], counts["u"])


def quoted(words: str) -> str:
    """Words that stand in the passage, marked so."""
    return f"<v_quote>{words}</v_quote>"


def verified_quotes(text: str) -> list[str]:
    """What is marked in a text as standing in the passage."""
    return re.findall(r"<v_quote>(.*?)</v_quote>", text, re.S)


def _bare(text: str) -> str:
    """The text without marks, those included that appear as others go."""
    while (less := _STRAY.sub("", text)) != text:
        text = less
    return text


def holds(text: str, words: str, *, goes_on: bool = False) -> bool:
    """Whether the words stand there whole: 14 isn't in 140, in 1,142 or in 14.5.

    Args:
        goes_on: the last word may be longer there.
    """
    end = "" if goes_on else r"(?!\w)(?![.,]\d)"
    return re.search(rf"(?<!\w)(?<!\d[.,]){re.escape(words)}{end}", text) is not None


def plain(text: str) -> str:
    """As quotes and passages are compared: without typography, line breaks and case."""
    return " ".join(text.translate(_TYPOGRAPHY).split()).casefold()
